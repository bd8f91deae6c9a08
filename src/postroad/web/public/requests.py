"""A reader's request as it comes from the server, without a framework: the few header fields that matter, a
small form, and answers as bytes. ASGI 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from postroad.web.shell.clients import Network, client_address

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 500
MAX_AGENT = 500  # bytes of a User-Agent that are kept; browsers send about 120
NOT_KEPT = (b"cache-control", b"no-store, no-cache, must-revalidate, private, max-age=0")
_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")


class FormTooLarge(Exception):
    """More came than any form of ours has."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what for."""

    user_agent: str
    purpose: str
    language: str
    ip: str | None


def caller_of(scope: Scope, trusted: Sequence[Network]) -> Caller:
    """Read the header once."""
    agent = language = b""
    purpose = b""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value
        elif name == b"accept-language":
            language = value
        elif name in _PURPOSES:
            purpose += b" " + value[:50]
    client = scope.get("client")
    ip = client[0] if client else None
    if trusted and ip is not None:
        ip = client_address(Request(scope), trusted)
    return Caller(
        agent[:MAX_AGENT].decode("latin-1"),
        purpose.decode("latin-1").lower(),
        language.decode("latin-1"),
        ip or None,
    )


async def read_body(receive: Receive) -> bytes:
    """A small body. Raises `FormTooLarge`."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_FORM_BYTES:
            raise FormTooLarge
        if not message.get("more_body"):
            return bytes(body)


def fields_of(body: bytes) -> list[tuple[str, str]]:
    """The fields of an urlencoded form; nothing for what is none."""
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return []


def is_one_click(body: bytes) -> bool:
    """Whether this is the POST of RFC 8058 3.2, urlencoded or multipart."""
    if ("List-Unsubscribe", "One-Click") in fields_of(body):
        return True
    head, found, rest = body.partition(b'name="List-Unsubscribe"')
    return bool(found) and head.startswith((b"--", b"\r\n--")) and rest.lstrip()[:9] == b"One-Click"


async def answer(
    send: Send,
    status: int,
    body: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    without_body: bool = False,
) -> None:
    """Send a whole answer; without its body for HEAD."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": b"" if without_body else body})
