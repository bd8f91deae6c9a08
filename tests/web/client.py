"""A visitor without a browser: drives the ASGI application in the test's own loop, and keeps its cookies."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message

from tests.web.house import PASSWORD

Fields = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    cookies: Sequence[str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Visitor:
    """Somebody at the pages."""

    app: ASGIApp
    cookies: dict[str, str] = field(default_factory=dict)
    language: str = "en"
    scheme: str = "http"
    client: str = "192.0.2.7"
    csrf: str = ""

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page."""
        return await self.request("GET", path, headers=headers)

    async def post(self, path: str, fields: Fields | None = None, **headers: str) -> Answer:
        """Send a form, with the CSRF token that the last page had."""
        body = urlencode(dict(fields or {}), doseq=True).encode()
        given = {"content-type": "application/x-www-form-urlencoded", "x-csrf-token": self.csrf, **headers}
        return await self.request("POST", path, body, given)

    async def act(self, path: str, fields: Fields) -> Answer:
        """Send a form as the pages' scripts do."""
        return await self.post(path, fields, accept="application/json")

    async def upload(self, path: str, fields: Fields, name: str, content: bytes) -> Answer:
        """Send a form with one file."""
        mark = "----------mark"
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, values in fields.items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = b"".join([*parts, head.encode(), content, f"\r\n--{mark}--\r\n".encode()])
        return await self.request(
            "POST",
            path,
            body,
            {
                "content-type": f"multipart/form-data; boundary={mark}",
                "x-csrf-token": self.csrf,
                "accept": "application/json",
            },
        )

    async def sign_in(self, address: str, password: str = PASSWORD) -> Answer:
        """Sign in and load the inbox, for its CSRF token."""
        answer = await self.post("/mail/login", {"username": address, "password": password})
        if answer.status == 303:
            await self.get((await self.get("/mail")).headers["location"])
        return answer

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its whole answer."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if waiting:
                return waiting.pop()
            await asyncio.Event().wait()
            raise AssertionError

        await self.app(self.scope(method, path, headers or {}, len(body)), receive, send)
        start = sent[0]
        pairs = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        cookies = [value for name, value in pairs if name == "set-cookie"]
        for cookie in cookies:
            for name, morsel in SimpleCookie(cookie).items():
                self.cookies[name] = morsel.value
        answer = Answer(
            start["status"], dict(pairs), cookies, b"".join(message.get("body", b"") for message in sent[1:])
        )
        found = re.search(rb'name="csrf" value="([^"]+)"', answer.body)
        if found:
            self.csrf = found[1].decode()
        return answer

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[asyncio.Queue[bytes]]:
        """Follow a stream: its pieces come through the queue."""
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        gone = asyncio.Event()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200, message
            else:
                pieces.put_nowait(message.get("body", b""))

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        task = asyncio.ensure_future(self.app(self.scope("GET", path, headers or {}, 0), receive, send))
        try:
            yield pieces
        finally:
            gone.set()
            await asyncio.wait([task], timeout=5)

    def scope(self, method: str, path: str, headers: Mapping[str, str], length: int) -> dict[str, Any]:
        route, _, query = path.partition("?")
        given = {"host": "mail.example", "accept-language": self.language, "accept": "text/html"}
        given.update({name.replace("_", "-").lower(): value for name, value in headers.items()})
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if length:
            given["content-length"] = str(length)
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": route,
            "raw_path": route.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": (self.client, 40000),
            "server": ("mail.example", 80),
        }
