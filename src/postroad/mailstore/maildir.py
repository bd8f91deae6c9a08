"""The Maildir++ format: names of folders and files, flags in them, and a reader. Pure apart from the reader.

Folders are directories `.A.B` beside the inbox's `cur`, `new` and `tmp`; names are modified UTF-7 (RFC 3501
5.1.3), as Courier and Dovecot have it by default, and UTF-8 is read as well. Flags are letters behind `:2,`;
keywords are the letters a to z of the file `dovecot-keywords`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from .errors import BadKeyword
from .flags import NO_FLAGS, Flag, keyword
from .folder_names import INBOX, SEPARATOR
from .source import MAX_MAIL, BadMail, SourceMail, crlf

KEYWORDS_FILE = "dovecot-keywords"
NAME_FILE = "postroad-folder"  # the whole name of a folder whose directory could not bear it
MAX_KEYWORDS = 26  # letters
MAX_DIRECTORY = 255  # bytes of a file name on every common file system

_LETTERS = {
    Flag.DRAFT: "D",
    Flag.FLAGGED: "F",
    Flag.ANSWERED: "R",
    Flag.SEEN: "S",
    Flag.DELETED: "T",
}
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")
# Behind the unique part: `:2,FLAGS`, or with the characters used where a colon cannot be.
_INFO = re.compile(r"[:!;]2,(?P<flags>[A-Za-z]*)\Z")


def utf7_encode(text: str) -> str:
    """Return `text` in modified UTF-7, with the Maildir++ separator encoded as well."""
    encoded = []
    for match in re.finditer(r"(?P<plain>[ -%'-\-/0-~]+)|(?P<and>&)|(?P<other>[^ -~]+|\.)", text):
        if match["plain"]:
            encoded.append(match["plain"])
        elif match["and"]:
            encoded.append("&-")
        else:
            data = base64.b64encode(match["other"].encode("utf-16-be")).decode("ascii")
            encoded.append(f"&{data.rstrip('=').replace('/', ',')}-")
    return "".join(encoded)


def utf7_decode(text: str) -> str:
    """Undo `utf7_encode`; what is no modified UTF-7 stays as it is."""
    if not text.isascii():
        return text

    def decoded(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        data = match[1].replace(",", "/")
        try:
            return base64.b64decode(data + "=" * (-len(data) % 4), validate=True).decode("utf-16-be")
        except (binascii.Error, UnicodeDecodeError):
            return match[0]

    return _SHIFTED.sub(decoded, text)


def directory_name(folder: str) -> str:
    """Return the directory of a folder below the Maildir; "" for the inbox."""
    if folder == INBOX:
        return ""
    name = "." + ".".join(utf7_encode(level) for level in folder.split(SEPARATOR))
    if len(name) <= MAX_DIRECTORY:
        return name
    mark = hashlib.sha256(folder.encode()).hexdigest()[:16]
    return f"{name[: MAX_DIRECTORY - 40]}~{mark}"


def folder_of_directory(directory: str) -> str:
    """Return the folder of a Maildir++ directory; the inverse of `directory_name`."""
    levels = [utf7_decode(level) for level in directory.lstrip(".").split(".")]
    return SEPARATOR.join(level.replace(SEPARATOR, "_") for level in levels if level) or INBOX


def info(flags: Flag, keywords: Sequence[str], letters: Mapping[str, str]) -> str:
    """Return `:2,FLAGS` for a file name. `letters` are the folder's letters of keywords.

    Others are left out.
    """
    marks = sorted(letter for flag, letter in _LETTERS.items() if flag in flags)
    marks += sorted(letters[word] for word in keywords if word in letters)
    return ":2," + "".join(marks)


def flags_of_file(name: str, keywords: Mapping[str, str]) -> tuple[Flag, tuple[str, ...]]:
    """Return flags and keywords that a file name tells; `keywords` are the folder's by letter."""
    match = _INFO.search(name)
    if match is None:
        return NO_FLAGS, ()
    flags = NO_FLAGS
    for flag, letter in _LETTERS.items():
        if letter in match["flags"]:
            flags |= flag
    words = {keywords[letter] for letter in match["flags"] if letter in keywords}
    return flags, tuple(sorted(words))


def keywords_file(letters: Mapping[str, str]) -> str:
    """Return the text of `dovecot-keywords`: a number and a keyword a line."""
    return "".join(f"{ord(letter) - ord('a')} {word}\n" for word, letter in letters.items())


def read_keywords(directory: Path) -> dict[str, str]:
    """Return the keywords of a Maildir folder by letter; {} where there is no such file."""
    try:
        text = (directory / KEYWORDS_FILE).read_text("utf-8", "replace")[:100_000]
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, _, word = line.partition(" ")
        if number.isascii() and number.isdigit() and len(number) <= 2 and int(number) < MAX_KEYWORDS:
            try:
                found[chr(ord("a") + int(number))] = keyword(word.strip())
            except BadKeyword:
                continue
    return found


def is_maildir(directory: Path) -> bool:
    """Whether a directory is a Maildir folder."""
    return (directory / "cur").is_dir()


def maildir_folders(root: Path) -> list[tuple[str, Path]]:
    """List the folders of a Maildir: its inbox, Maildir++ ones (`.A.B`), and nested ones (`A/B`)."""
    found: list[tuple[str, Path]] = []
    stack: list[tuple[str, Path]] = [("", root)]
    while stack:
        name, directory = stack.pop()
        if is_maildir(directory):
            found.append((_whole_name(directory) or name or INBOX, directory))
        for child in sorted(directory.iterdir(), reverse=True):
            if child.name in ("cur", "new", "tmp") or not child.is_dir() or child.is_symlink():
                continue
            is_dotted = child.name.startswith(".")
            below = folder_of_directory(child.name) if is_dotted else utf7_decode(child.name)
            stack.append((f"{name}{SEPARATOR}{below}" if name else below, child))
    return found


def maildir_size(root: Path) -> int:
    """Return the bytes of all mails of a Maildir."""
    total = 0
    for _, directory in maildir_folders(root):
        for name in ("cur", "new"):
            if (directory / name).is_dir():
                with os.scandir(directory / name) as files:
                    total += sum(file.stat().st_size for file in files if file.is_file())
    return total


def maildir_mails(root: Path) -> Iterator[SourceMail | BadMail]:
    """Read all mails of a Maildir, folder by folder, oldest file names first."""
    for folder, directory in maildir_folders(root):
        letters = read_keywords(directory)
        files: list[tuple[str, str]] = []
        for name in ("new", "cur"):
            if (directory / name).is_dir():
                inside = (directory / name).iterdir()
                files += [(file.name, name) for file in inside if not file.name.startswith(".")]
        for file, name in sorted(files):
            path = directory / name / file
            try:
                known = path.stat()
                if not path.is_file():
                    continue
                if known.st_size > MAX_MAIL:
                    yield BadMail(str(path), f"the mail is larger than {MAX_MAIL} bytes", known.st_size)
                    continue
                data = path.read_bytes()
                received_at = datetime.fromtimestamp(known.st_mtime, UTC)
            except (OSError, ValueError, OverflowError) as error:
                yield BadMail(str(path), str(error), 0)
                continue
            flags, words = flags_of_file(file, letters)
            yield SourceMail(str(path), folder, crlf(data), flags, words, received_at, len(data))


def _whole_name(directory: Path) -> str | None:
    try:
        return (directory / NAME_FILE).read_text("utf-8")[:2000].strip() or None
    except (OSError, UnicodeDecodeError):
        return None
