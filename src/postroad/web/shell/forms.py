"""Reading what a browser sends: bounded forms, entry names, numbers. Nothing is trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_FORM_BYTES = 8 * 1024 * 1024  # a mail's text with its quotes; files have a limit of their own
MAX_FIELDS = 2000
MAX_ENTRIES = 1000  # of one bulk action; the list shows fewer

_ENTRY = re.compile(r"([1-9]\d{0,17})\.([1-9]\d{0,17})\Z")


@dataclass(frozen=True, slots=True)
class EntryName:
    """`folder.uid`: a mail in its folder, as forms and addresses name it."""

    folder_id: int
    uid: int

    def __str__(self) -> str:
        return f"{self.folder_id}.{self.uid}"


def entry_name(text: str) -> EntryName | None:
    """Parse `folder.uid`; None for anything else."""
    match = _ENTRY.match(text)
    return EntryName(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, in order; a name may stand several times."""

    fields: Sequence[tuple[str, str]]

    def get(self, name: str, limit: int = 1000) -> str:
        """The first value of a field, "" without one. Raises HTTP 400 when it is longer than `limit`."""
        for field, value in self.fields:
            if field == name:
                if len(value) > limit:
                    raise HTTPException(400, f"the field {name} is longer than {limit} characters")
                return value
        return ""

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for field, value in self.fields if field == name]

    def number(self, name: str) -> int:
        """A field that holds a positive number. Raises HTTP 400."""
        text = self.get(name)
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise HTTPException(400, f"the field {name} is no number")
        return int(text)

    def entries(self) -> list[EntryName]:
        """The mails that the form names. Raises HTTP 400 for none, too many, or a malformed one."""
        texts = self.all("entry")
        names = [name for name in map(entry_name, texts) if name is not None]
        if not names or len(names) != len(texts) or len(names) > MAX_ENTRIES:
            raise HTTPException(400, f"name 1 to {MAX_ENTRIES} messages")
        return names


async def read_form(request: Request, limit: int = MAX_FORM_BYTES) -> Form:
    """Read an urlencoded form of at most `limit` bytes. Raises HTTP 413, 415 and 400."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/x-www-form-urlencoded", ""):
        raise HTTPException(415, "a form was expected")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, "the form is too large")
    try:
        fields = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS, separator="&"
        )
    except ValueError as error:
        raise HTTPException(400, "the form has too many fields") from error
    return Form([(name, value.replace("\0", "")) for name, value in fields])


def local_path(text: str) -> str:
    """Where to go next, when it is a page of the webmail; "" for anything else (no open redirects)."""
    if not text.startswith("/mail") or len(text) > 2000 or not text.isprintable() or "\\" in text:
        return ""
    return text if text[5:6] in ("", "/", "?") else ""
