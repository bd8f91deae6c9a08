"""Health answers, and what stands in the way of being ready."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Network

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from postroad.server.health import Check, Health, Message


class Counted:
    """Counts, and gives metrics."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def answered(self, method: str, status: int, seconds: float) -> None:
        self.seen.append((method, status))

    async def text(self) -> bytes:
        return b"postroad_up 1\n"


async def well() -> str | None:
    return None


async def away() -> str | None:
    return "cannot connect"


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("a page")


async def get(
    path: str, checks: Mapping[str, Check], counted: Counted | None = None, address: str = "127.0.0.1"
) -> tuple[int, str]:
    """Status and body of a request from `address`."""
    counted = counted or Counted()
    health = Health(
        Starlette(routes=[Route("/mail", page)]),
        checks=checks,
        scrape=counted,
        count=counted,
        metrics_networks=(IPv4Network("127.0.0.0/8"),),
    )
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
        "client": (address, 1234),
    }
    await health(scope, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said).decode()


async def test_alive_is_not_ready() -> None:
    checks = {"database": away, "doors": well}
    assert await get("/healthz", checks) == (200, "ok\n")
    status, body = await get("/readyz", checks)
    assert (status, json.loads(body)) == (503, {"ready": False, "missing": {"database": "cannot connect"}})


async def test_ready_when_nothing_is_missing() -> None:
    assert (await get("/readyz", {"database": well, "doors": well}))[0] == 200


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 200), ("192.0.2.7", 403), ("::1", 403), ("", 403), ("unix", 403)]
)
async def test_metrics_are_for_listed_networks(address: str, status: int) -> None:
    answer = await get("/metrics", {}, address=address)
    assert answer[0] == status
    assert ("postroad_up 1" in answer[1]) == (status == 200)


async def test_everything_else_is_the_pages_and_is_counted() -> None:
    counted = Counted()
    assert await get("/mail?x=1", {}, counted) == (200, "a page")
    assert (await get("/nowhere", {}, counted))[0] == 404
    await get("/healthz", {}, counted)
    assert counted.seen == [("GET", 200), ("GET", 404)]
