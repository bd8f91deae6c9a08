"""The small server behind `oa-mail.html`: an OA's mail module over Postroad's JSON API, with nothing else.

    python examples/oa_mail_server.py http://127.0.0.1:8025 8090

It serves the page, signs people in at the token endpoint, keeps their tokens to itself (the browser holds a
cookie), and passes calls on. The standard library is all it needs.
"""

from __future__ import annotations

import http.client
import json
import secrets
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

PAGE = Path(__file__).with_name("oa-mail.html")
MAX_BODY = 60 * 1024 * 1024
PASSED_ON = (
    *("content-type", "content-disposition", "content-security-policy", "x-content-type-options"),
    "retry-after",
)


class Handler(BaseHTTPRequestHandler):
    """One browser's request. `api` and `tokens` are set by `make_server`."""

    protocol_version = "HTTP/1.1"
    api = ""
    tokens: dict[str, str] = {}  # noqa: RUF012 - one for the whole server

    def do_GET(self) -> None:
        """The page, or a call that reads."""
        if self.path == "/":
            policy = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
            headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": policy}
            self._answer(200, PAGE.read_bytes(), headers)
        else:
            self._pass_on()

    def do_POST(self) -> None:
        """Signing in and out, or a call that changes."""
        # Only our own page can set this header: no form of a stranger's site calls in the reader's name.
        if self.headers.get("x-oa-mail") != "1":
            self._answer(403, b"{}")
        elif self.path == "/sign-in":
            self._sign_in(json.loads(self._body()))
        elif self.path == "/sign-out":
            token = self.tokens.pop(self._session(), "")
            self._form("/api/v1/token/revoke", {"token": token})
            self._answer(200, b"{}")
        else:
            self._pass_on()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _sign_in(self, asked: dict[str, str]) -> None:
        status, told = self._form("/api/v1/token", {"grant_type": "password", **asked})
        if status != 200:
            self._answer(status, json.dumps(told).encode())
            return
        session = secrets.token_urlsafe(32)
        self.tokens[session] = told["access_token"]
        cookie = f"oa={session}; HttpOnly; SameSite=Strict; Path=/"
        self._answer(200, b"{}", {"set-cookie": cookie})

    def _form(self, path: str, fields: dict[str, str]) -> tuple[int, dict[str, str]]:
        connection = self._connection()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, urlencode(fields), kind)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    def _pass_on(self) -> None:
        if not self.path.startswith("/api/v1/"):
            self._answer(404, b"{}")
            return
        body = self._body()
        headers = {"authorization": f"Bearer {self.tokens.get(self._session(), '')}"}
        for name in ("content-type", "idempotency-key", "last-event-id", "accept-language"):
            if self.headers.get(name):
                headers[name] = self.headers[name]
        connection = self._connection()
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        self.send_response(answer.status)
        for name in PASSED_ON:
            if answer.headers.get(name):
                self.send_header(name, answer.headers[name])
        self.send_header("connection", "close")
        self.end_headers()
        try:
            while piece := answer.read1(65536):  # as it comes: a live stream has no end
                self.wfile.write(piece)
                self.wfile.flush()
        except (OSError, ValueError, http.client.HTTPException):
            pass  # the browser has gone, or the stream's server: the browser comes back by itself
        finally:
            connection.close()
            self.close_connection = True

    def _connection(self) -> http.client.HTTPConnection:
        url = urlsplit(self.api)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname or "", url.port, timeout=60)

    def _session(self) -> str:
        cookie = SimpleCookie(self.headers.get("cookie", "")).get("oa")
        return cookie.value if cookie else ""

    def _body(self) -> bytes:
        length = int(self.headers.get("content-length") or 0)
        return self.rfile.read(min(length, MAX_BODY))

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def make_server(api: str, port: int) -> ThreadingHTTPServer:
    """A server on the loopback for the API at `api`; port 0 is any free one."""
    handler = type("OaHandler", (Handler,), {"api": api, "tokens": {}})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    address, wanted = sys.argv[1], int(sys.argv[2])
    print(f"http://127.0.0.1:{wanted}/")  # noqa: T201
    make_server(address, wanted).serve_forever()
