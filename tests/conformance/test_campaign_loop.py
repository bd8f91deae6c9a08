"""A campaign all the way round: imported, sent, read, left and bounced; then every figure is exactly right.

One server, its doors, a sink that answers like receivers do; readers come by HTTP with the addresses that
stand in the mails they got, and notices come back by SMTP to the envelope senders that the sink was given.
"""

from __future__ import annotations

import asyncio
import base64
import email
import re
import smtplib
import urllib.error
import urllib.request
from email.policy import default
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.campaigns.results.corpus import corpus
from tests.running import RunningServer, reachable_directory, wait_until
from tests.sink import Sink, SinkMail, running

PASSWORD = "correct horse 9"
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.44 NetType/WIFI Language/zh_CN"
)
HTML = (
    "<html><body><p>{{ name }}，您好！</p>"
    '<a href="https://shop.example/sale?a=1&amp;b=2">特卖</a> '
    '<a href="https://shop.example/of/{{ var1 }}">您的专区</a></body></html>'
)
GOOD, GONE, REFUSED = 20, 3, 2


@pytest.mark.timeout(300)
async def test_every_figure_is_right_when_everything_has_happened() -> None:
    async with running(Sink()) as sink:
        with reachable_directory("postroad-loop-") as directory:
            server = RunningServer(
                directory,
                hostname="news.shop.test",
                doors=("smtp", "http"),
                workers=1,
                sections={"delivery": {"relay": f"127.0.0.1:{sink.port}"}},
            )
            await asyncio.to_thread(server.start)
            try:
                task = await asyncio.to_thread(_send, server, directory)
                await sink.wait_for(GOOD, 120)
                mails = {mail.recipients[0]: mail for mail in sink.mails}
                await asyncio.to_thread(_go_round, server, task, mails)
            finally:
                await asyncio.to_thread(server.stop)


def _send(server: RunningServer, directory: Path) -> int:
    """Everything up to a task under way; its contacts come from a file in GB18030."""
    server.command("customer", "add", "shop", "--password-stdin", "--volume", "1000", stdin=f"{PASSWORD}\n")
    server.command("customer", "domain", "shop", "shop.test", "--verified")
    server.command("customer", "mailbox", "shop", "news@shop.test", "--password-stdin", stdin=f"{PASSWORD}\n")
    made = server.command("contact", "add-list", "shop", "读者")["list"]["id"]
    names = [f"reader{number:02}" for number in range(GOOD)]
    names += [f"unknown{number}" for number in range(GONE)] + [
        f"refused{number}" for number in range(REFUSED)
    ]
    rows = "\n".join(f"{name}@there.test,读者{at},专区{at}" for at, name in enumerate(names))
    file = directory / "readers.csv"
    file.write_bytes(f"address,fullname,var1\n{rows}\n".encode("gb18030"))
    imported = server.command("contact", "import", "shop", str(made), str(file))["import"]
    assert imported["added"] == GOOD + GONE + REFUSED
    page = directory / "letter.html"
    page.write_text(HTML, encoding="utf-8")
    template = server.command("template", "add", "shop", "letter", str(page), "--subject", "{{ name }}：特卖")
    added = server.command(
        *("task", "add", "shop", "--template", str(template["template"]["id"]), "--list", str(made)),
        *("--sender", "news@shop.test", "--track", "clicks"),
    )
    return int(added["task"]["id"])


def _go_round(server: RunningServer, task: int, mails: dict[str, SinkMail]) -> None:
    wait_until(
        lambda: _numbers(_call(server, "task", "list-task", id=task).find("task"))["send_status"] == 3,
        120,
        "the task did not finish",
    )
    readers = [mails[f"reader{number:02}@there.test"] for number in range(GOOD)]
    first_html = _html(readers[0])
    assert "读者0，您好！" in first_html
    # Six open, one of them twice and on a phone first; a proxy loads two more before anybody reads.
    for at in (0, 1, 2, 3, 4, 5, 0):
        _get(server, _pixel(readers[at]), PHONE if at == 0 else BROWSER)
    for at in (6, 7):
        _get(server, _pixel(readers[at]), "Mozilla/5.0")
    # Three click: one link each, one of them a link with its own value; a scanner follows one more.
    sale = [_links(reader)[0] for reader in readers]
    own = [_links(reader)[1] for reader in readers]
    assert _get(server, sale[0], BROWSER) == "https://shop.example/sale?a=1&b=2"
    assert _get(server, sale[1], BROWSER) == "https://shop.example/sale?a=1&b=2"
    assert _get(server, own[2], BROWSER) == "https://shop.example/of/%E4%B8%93%E5%8C%BA2"
    assert _get(server, sale[3], "python-requests/2.31") == "https://shop.example/sale?a=1&b=2"
    # Two leave by one click; a preview of the page makes nobody leave.
    for at in (8, 9):
        _post(server, _way_out(readers[at]), b"List-Unsubscribe=One-Click")
    _get(server, _way_out(readers[10]), "WhatsApp/2.23")
    # Three come back as bounces in three dialects, one as a delay, one as somebody's holiday.
    notices = list(corpus(1))
    bounces = [each.content for each in notices if each.failure == 1][:: len(notices) // 8][:2]
    bounces.append(next(each.content for each in notices if each.failure == 2))
    others = [
        next(each.content for each in notices if each.kind == kind) for kind in ("delayed", "auto-reply")
    ]
    for at, notice in enumerate([*bounces, *others], 11):
        with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=60) as client:
            client.sendmail("", [readers[at].sender], notice)

    def is_done() -> bool:
        days = [_numbers(each) for each in _call(server, "stask", "", id=task).findall("task")]
        overview = _numbers(_call(server, "track", "overview", id=task))
        return sum(day["failed"] for day in days) == GONE + REFUSED + 3 and overview["click_total"] == 3

    wait_until(is_done, 60, "what came back was not counted")
    (day,) = [_numbers(each) for each in _call(server, "stask", "", id=task).findall("task")]
    assert (day["totalsum"], day["total"], day["invalid"]) == (25, 25, 0)
    assert (day["success"], day["failed"]) == (GOOD - 3, GONE + REFUSED + 3)
    assert (day["email_not_exist"], day["over_quota"], day["user_reject"]) == (GONE + 2, 1, REFUSED)
    overview = _call(server, "track", "overview", id=task)
    figures = _numbers(overview)
    assert (figures["send_count"], figures["real_send_count"], figures["error_send_count"]) == (25, 17, 8)
    assert (figures["open_unique"], figures["open_total"]) == (6, 7)
    assert (figures["click_unique"], figures["click_total"]) == (3, 3)
    assert overview.findtext("open_ratio") == f"{6 / 17 * 100:.2f}%"
    links = {
        each.findtext("link"): _numbers(each)["click_total"]
        for each in _call(server, "track", "link-stat", id=task).findall("link")
    }
    assert links == {"https://shop.example/sale?a=1&b=2": 2, "https://shop.example/of/{{ var1 }}": 1}
    users = {
        each.findtext("email"): each.findtext("browser")
        for each in _call(server, "track", "open-detail", id=task).findall("user")
    }
    assert set(users) == {f"reader{number:02}@there.test" for number in range(6)}
    assert (users["reader00@there.test"], users["reader01@there.test"]) == ("WeChat Browser", "Chrome")
    shown = server.command("task", "show", "shop", str(task))["task"]
    assert shown["opens_with_machines"] == {"unique": 8, "total": 9}
    assert shown["clicks_with_machines"] == {"unique": 4, "total": 4}
    left = server.command("contact", "lists", "shop")["lists"]
    assert [each["contacts"] for each in left] == [25 - 2]
    suppressed = server.command("suppression", "list", "shop")["suppressions"]
    assert {each["address"] for each in suppressed} >= {"reader11@there.test", "reader12@there.test"}


def _call(server: RunningServer, script: str, do: str, **parameters: object) -> Any:
    query = "&".join(
        f"{name}={value}" for name, value in {**({"do": do} if do else {}), **parameters}.items()
    )
    request = urllib.request.Request(f"{server.web}/mm-ms/apinew/{script}.php?{query}")
    request.add_header("Authorization", "Basic " + base64.b64encode(f"shop:{PASSWORD}".encode()).decode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return ElementTree.fromstring(answer.read())


def _numbers(element: Any) -> dict[str, int]:
    return {each.tag: int(each.text) for each in element if (each.text or "").lstrip("-").isdigit()}


def _html(mail: SinkMail) -> str:
    message = email.message_from_bytes(mail.content, policy=default)
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def _pixel(mail: SinkMail) -> str:
    found = re.search(r'<img src="https://[^/]+(/t/o/[^"]+)"', _html(mail))
    assert found is not None
    return found[1]


def _links(mail: SinkMail) -> list[str]:
    return re.findall(r'href="https://[^/]+(/t/c/[^"]+)"', _html(mail))


def _way_out(mail: SinkMail) -> str:
    message = email.message_from_bytes(mail.content, policy=default)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.search(r"<https://[^/]+(/t/u/[^>]+)>", "".join(str(message["List-Unsubscribe"]).split()))
    assert found is not None
    return found[1]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere: where it leads is what is looked at."""


def _get(server: RunningServer, path: str, agent: str) -> str:
    """Ask as this program does; gives where it leads, if anywhere."""
    request = urllib.request.Request(f"{server.web}{path}", headers={"User-Agent": agent})
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=60) as answer:
            assert answer.status == 200
            return ""
    except urllib.error.HTTPError as error:
        assert error.code == 302, path
        return str(error.headers["Location"])


def _post(server: RunningServer, path: str, body: bytes) -> None:
    with urllib.request.urlopen(f"{server.web}{path}", body, timeout=60) as answer:
        assert answer.status == 200
