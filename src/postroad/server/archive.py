"""What a backup is written into and read from: a directory, or one tar file (a name that ends in `.tar`)."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol


class BadArchive(Exception):
    """This is no backup, or not a whole one."""


class Writer(Protocol):
    """Takes the files of a backup, one after the other."""

    def add(self, name: str, data: bytes) -> None:
        """Write a small file."""

    def add_file(self, name: str, source: Path) -> None:
        """Take over a file, which is gone from where it was."""


class Reader(Protocol):
    """Gives the files of a backup."""

    def open(self, name: str) -> IO[bytes]:
        """Open one. Raises `BadArchive` when it is not there."""
        ...

    def names(self, below: str) -> list[str]:
        """All names that begin with `below`."""
        ...


@contextmanager
def writing(target: Path) -> Iterator[tuple[Writer, Path]]:
    """Write the archive `target`, which must not exist, and yield it with a directory for work beside it.

    Nothing stands at `target` before all of it is written and flushed. Raises `FileExistsError`, `OSError`.
    """
    target = target.absolute()
    if target.exists():
        raise FileExistsError(f"{target} exists already; name a new place")
    work = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    try:
        if target.suffix == ".tar":
            whole = work / "whole.tar"
            with open(os.open(whole, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:  # noqa: PTH123
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    yield _TarWriter(tar), work
                file.flush()
                os.fsync(file.fileno())
            whole.rename(target)
        else:
            whole = work / "whole"
            whole.mkdir(mode=0o700)
            yield _DirectoryWriter(whole), work
            os.sync()
            whole.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def reading(source: Path) -> Iterator[Reader]:
    """Read the archive `source`. Raises `BadArchive`."""
    if source.is_dir():
        yield _DirectoryReader(source)
        return
    try:
        tar = tarfile.open(source, "r:")  # noqa: SIM115
    except (OSError, tarfile.TarError) as error:
        raise BadArchive(f"{source} is no backup: {error}") from error
    with tar:
        yield _TarReader(tar)


class _DirectoryWriter:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, name: str, data: bytes) -> None:
        path = self._place(name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)

    def add_file(self, name: str, source: Path) -> None:
        source.rename(self._place(name))

    def _place(self, name: str) -> Path:
        path = self._directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


class _TarWriter:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), 0o600
        self._tar.addfile(member, io.BytesIO(data))

    def add_file(self, name: str, source: Path) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = source.stat().st_size, 0o600
        with source.open("rb") as file:
            self._tar.addfile(member, file)
        source.unlink()


class _DirectoryReader:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self, name: str) -> IO[bytes]:
        try:
            return (self._directory / name).open("rb")
        except FileNotFoundError:
            raise BadArchive(f"{self._directory} lacks {name}: it is no whole backup") from None

    def names(self, below: str) -> list[str]:
        top = self._directory / below
        return sorted(str(path.relative_to(self._directory)) for path in top.rglob("*") if path.is_file())


class _TarReader:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {member.name: member for member in tar if member.isreg()}

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        file = self._tar.extractfile(member) if member is not None else None
        if file is None:
            raise BadArchive(f"{self._tar.name!s} lacks {name}: it is no whole backup")
        return file

    def names(self, below: str) -> list[str]:
        return sorted(name for name in self._members if name.startswith(below))
