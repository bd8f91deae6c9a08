"""Fields as old pages send them: names of any case, text in UTF-8 or in the GBK of the page around the form.

URL-encoded forms by the URL Standard 5.1, read as classic ASP did: the first value of a name counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 100


class BadForm(Exception):
    """What was sent cannot be read as a form; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fields:
    """Values by name in lower case."""

    values: Mapping[str, str]

    def get(self, *names: str) -> str:
        """The first of these fields that is not empty, else ""."""
        return next((value for name in names if (value := self.values.get(name.lower()))), "")

    def has(self, *names: str) -> bool:
        """Whether one of these fields was sent, empty or not."""
        return any(name.lower() in self.values for name in names)


def as_text(data: bytes) -> str:
    """Text in UTF-8, or else in GB18030, of which GBK and GB2312 are parts; what is neither is marked so."""
    for charset in ("utf-8", "gb18030"):
        try:
            return data.decode(charset)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


def read_fields(data: bytes) -> Fields:
    """Read a query string or the body of a form. Raises `BadForm` for more than 100 fields."""
    pieces = data.split(b"&")
    if len(pieces) > MAX_FIELDS:
        raise BadForm(400, f"there are more than {MAX_FIELDS} fields")
    values: dict[str, str] = {}
    for piece in pieces:
        name, _, value = piece.replace(b"+", b" ").partition(b"=")
        if name:
            values.setdefault(as_text(unquote_to_bytes(name)).lower(), as_text(unquote_to_bytes(value)))
    return Fields(values)


async def read_form(request: Request) -> Fields:
    """Read the request's body as a URL-encoded form of at most 16 KiB. Raises `BadForm`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", ""):
        raise BadForm(415, "a URL-encoded form was expected")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BadForm(413, "the form is too large")
    return read_fields(bytes(body))
