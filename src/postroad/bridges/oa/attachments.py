"""Files of an OA's mails: `<data>/mail/000000/ID_NNNN.dat`, four bytes CR LF CR LF and then the file.

Names are made from checked ids, relative to a directory that is held open; links are never followed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = b"\r\n\r\n"
_MAIL_ID = re.compile(r"[A-Za-z0-9]{1,16}\Z")
_ATTACH_ID = re.compile(r"[0-9]{1,4}\Z")
_FILE = re.compile(r"([A-Za-z0-9]{1,16})_([0-9]{1,4})\.dat\Z")


class BadFile(Exception):
    """A file that is not there, or not what it should be; the message says what."""


def is_mail_id(text: str) -> bool:
    """Whether an id can name files."""
    return _MAIL_ID.match(text) is not None


def is_attach_id(text: str) -> bool:
    """Whether an id can number files."""
    return _ATTACH_ID.match(text) is not None


class DatFiles:
    """The directory of one data directory. Blocking: call it in a thread."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir / "mail" / "000000"

    def make(self) -> None:
        """Make the directory: for us and our group, which is where the OA belongs. Raises `OSError`."""
        owner = self.directory.parents[1].stat()
        for path, mode in ((self.directory.parent, 0o750), (self.directory, 0o2770)):
            with suppress(FileExistsError):
                path.mkdir()
                if os.geteuid() == 0:
                    os.chown(path, owner.st_uid, owner.st_gid)
                path.chmod(mode)

    def read(self, mail_id: str, attach_id: str, most_bytes: int) -> bytes:
        """Return a file's own bytes. Raises `BadFile`, also for one with more than `most_bytes`."""
        name = _name(mail_id, attach_id)
        try:
            with self._open() as directory:
                # Without O_NONBLOCK a pipe of that name would be waited for.
                descriptor = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
                )
            with os.fdopen(descriptor, "rb") as file:
                state = os.fstat(descriptor)
                if not stat.S_ISREG(state.st_mode):
                    raise BadFile(f"the file {name} is not a file")
                if state.st_size > most_bytes + len(PREFIX):
                    raise BadFile(f"the file {name} is larger than {most_bytes} bytes")
                content = file.read(most_bytes + len(PREFIX) + 1)
        except OSError as error:
            raise BadFile(f"the file {name} cannot be read: {error.strerror}") from error
        if not content.startswith(PREFIX):
            raise BadFile(f"the file {name} does not begin with CR LF CR LF")
        return content[len(PREFIX) :]

    def remove(self, files: Iterable[tuple[str, str]]) -> None:
        """Remove files (mail id, attach id) that are there."""
        with suppress(OSError), self._open() as directory:
            for mail_id, attach_id in files:
                with suppress(OSError, BadFile):
                    os.unlink(_name(mail_id, attach_id), dir_fd=directory)

    def older_than(self, moment: float, most: int) -> list[tuple[str, str]]:
        """List up to `most` files (mail id, attach id) last written before `moment` (seconds, epoch)."""
        found: list[tuple[str, str]] = []
        with suppress(OSError), os.scandir(self.directory) as entries:
            for entry in entries:
                name = _FILE.match(entry.name)
                with suppress(OSError):
                    if name and entry.stat(follow_symlinks=False).st_mtime < moment:
                        found.append((name[1], name[2]))
                if len(found) >= most:
                    break
        return found

    @contextmanager
    def _open(self) -> Iterator[int]:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _name(mail_id: str, attach_id: str) -> str:
    if not is_mail_id(mail_id) or not is_attach_id(attach_id):
        raise BadFile("an attachment's MailId is 1 to 16 letters and digits, its AttachId 1 to 4 digits")
    return f"{mail_id}_{attach_id}.dat"
