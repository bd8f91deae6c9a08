"""Signing on from an OA's pages in a real browser: forms and links on another site, as vendors print them.

The OA is at `localhost`, the webmail at `127.0.0.1`: to a browser two sites with nothing in common.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest
from playwright.async_api import BrowserContext, Page, Request, async_playwright, expect

from postroad.config import Integration, Oa
from postroad.db.pool import Database
from postroad.message.address import Address
from tests.bridges.conftest import LIN, doors
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.web.house import PASSWORD, House, open_house, served
from tests.web.mails import mail

PORTAL = Integration(name="portal", secret="a shared secret of 32 characters!", domains=("demo.example",))
MD5 = hashlib.md5(PASSWORD.encode()).hexdigest()


@dataclass
class Office:
    """An OA's web server: pages by path."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)

    def put(self, path: str, html: str, charset: str = "utf-8") -> str:
        """Publish a page; gives its address."""
        head = f'<!doctype html><meta charset="{charset}"><title>OA</title>'
        self.pages[path] = (head + html).encode(charset)
        return self.url + path

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request."""
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ")[1].decode().partition("?")[0]
        body = self.pages.get(path, b"<title>OA</title>nothing")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def open_office() -> AsyncIterator[Office]:
    office = Office()
    server = await asyncio.start_server(office.answer, "127.0.0.1", 0)
    office.url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield office


@dataclass
class Street:
    """A browser between the office and the webmail, and every request it made."""

    office: Office
    house: House
    context: BrowserContext
    requests: list[Request] = field(default_factory=list)

    async def at(self, html: str, charset: str = "utf-8") -> Page:
        """A tab at a page of the office."""
        page = await self.context.new_page()
        await page.goto(self.office.put("/oa/index.asp", html, charset))
        return page

    async def kept_secret(self, page: Page, *secrets: str) -> None:
        """No secret in the page that followed, in its address, in any Referer, in any answer's headers."""
        content = await page.content()
        referrer = await page.evaluate("document.referrer")
        for secret in secrets:
            assert secret not in content and secret not in page.url and secret not in referrer
            for request in self.requests:
                assert secret not in (await request.all_headers()).get("referer", "")
                answer = await request.response()
                assert answer is None or all(
                    secret not in value for value in (await answer.all_headers()).values()
                )


@pytest.fixture
def pictures() -> Path | None:
    """Where pictures are put for a person to look at, if somebody wants them."""
    wanted = os.environ.get("POSTROAD_PICTURES")
    return Path(wanted) if wanted else None


@pytest.fixture
async def street(database: Database, tmp_path: Path) -> AsyncIterator[Street]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this system")
    async with open_office() as office, async_playwright() as playwright:
        settings = Oa(redirect_hosts=(office.url.removeprefix("http://"),), integrations=(PORTAL,))
        hosts = settings.redirect_hosts
        beside = doors(database, settings)
        async with open_house(database, tmp_path, beside=beside, sign_on_hosts=hosts) as house, served(house):
            account = await house.account(LIN, "林晓")
            await house.deliver(account, mail("Invoice of May", message_id="1@x.example"))
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            context = await browser.new_context(locale="en-GB", timezone_id="Asia/Shanghai")
            context.set_default_timeout(15_000)
            street = Street(office, house, context)
            context.on("request", lambda request: street.requests.append(request))
            yield street
            await browser.close()


async def fill_and_send(page: Page, account: str, password: str) -> None:
    await page.fill('[name="fm_strAccount"]', account)
    await page.fill('[name="fm_strPassword"]', password)
    async with page.expect_navigation():
        await page.click("[type=submit]")


def chinese_box(base: str) -> str:
    return f"""<form action={base} method=post>
完整帐号: <input type=text name="fm_strAccount">
输入密码: <input type=password name="fm_strPassword">
<input type=submit value='登录Webmail'>
</form>"""


def english_box(base: str) -> str:
    return f"""<form action="{base}"method=post>
Full account:<input type=text name="fm_strAccount">
Enter password:<input type=password name="fm_strPassword">
<input type=submit value='login Webmail'>
</Form>"""


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_login_boxes_open_the_inbox(street: Street, slash: str) -> None:
    for box in (chinese_box, english_box):
        await street.context.clear_cookies()
        page = await street.at(box(f"{street.house.url}/mail{slash}"))
        await fill_and_send(page, LIN, PASSWORD)
        await page.wait_for_url(re.compile(r"/mail/folder/\d+$"))
        await expect(page.locator(".row-subject")).to_have_text(["Invoice of May"])
        cookies = await street.context.cookies(street.house.url)
        assert "postroad_session" in {cookie["name"] for cookie in cookies}
        assert {(cookie["sameSite"], cookie["httpOnly"]) for cookie in cookies} == {("Lax", True)}
        await street.kept_secret(page, PASSWORD)


async def test_a_gbk_page_sends_what_was_typed(street: Street) -> None:
    await street.house.accounts.set_password(Address.parse(LIN), "中文口令一二三四")
    page = await street.at(chinese_box(f"{street.house.url}/mail"), "gbk")
    await fill_and_send(page, LIN, "中文口令一二三四")
    await page.wait_for_url(re.compile(r"/mail/folder/\d+$"))
    await street.kept_secret(page, "中文口令一二三四")


async def test_after_a_wrong_password_one_goes_on_at_the_webmails_own_page(street: Street) -> None:
    page = await street.at(english_box(f"{street.house.url}/mail"))
    await fill_and_send(page, LIN, "not-the-password")
    assert page.url == f"{street.house.url}/mail"
    await expect(page.locator("#login-error")).to_have_text("The address or the password is wrong.")
    await expect(page.locator('[name="username"]')).to_have_value(LIN)
    await street.kept_secret(page, "not-the-password")
    await page.fill('[name="password"]', PASSWORD)
    await page.click(".welcome-form button")
    await page.wait_for_url(re.compile(r"/mail/folder/\d+$"))


@pytest.mark.parametrize("secret", [PASSWORD, MD5], ids=["password", "md5"])
async def test_a_link_to_login_asp_opens_each_page(street: Street, secret: str) -> None:
    for go, place in (("0", "/mail/summary"), ("1", "/mail/folder/"), ("4", "/mail/compose")):
        await street.context.clear_cookies()
        address = f"{street.house.url}/mail/login.asp?acc={LIN}&pwd={quote(secret)}&go={go}"
        page = await street.at(f'<a href="{address}">Webmail</a>')
        await page.click("a")
        await page.wait_for_url(lambda url, place=place: url.startswith(street.house.url + place))  # type: ignore[misc]
        await page.wait_for_selector("body[data-ready]")
        await street.kept_secret(page, secret, quote(secret))


async def test_a_link_that_posts_to_login_asp_shows_the_summary(street: Street) -> None:
    page = await street.at(
        f"""<form id=f method=post action="{street.house.url}/login.asp?go=0">
        <input type=hidden name=fm_strAccount value="{LIN}">
        <input type=hidden name=fm_strPassword value="{MD5.upper()}"></form>
        <a href="#" onClick="document.getElementById('f').submit(); return false">Webmail</a>"""
    )
    async with page.expect_navigation(url="**/mail/summary"):
        await page.click("a")
    await expect(page.locator(".summary-subject")).to_have_text(["Invoice of May"])
    await expect(page.locator(".summary-line")).to_have_text("1 unread message in the inbox")
    await street.kept_secret(page, MD5, MD5.upper())
    # The summary follows what happens, and leads on.
    account = await street.house.database.fetchval("SELECT id FROM account WHERE address = $1", LIN)
    await page.wait_for_selector("body[data-ready]")
    await street.house.deliver(account, mail("One more", message_id="2@x.example"))
    await expect(page.locator(".summary-subject")).to_have_text(["One more", "Invoice of May"])
    await page.click("text=One more")
    await expect(page.locator("#subject")).to_have_text("One more")


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def bare(text: str) -> str:
    return text.encode().hex()


SPELLINGS = {"plain": lambda text: quote(text, safe="@"), "percent": percent, "bare": bare}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_login_cgi_opens_the_inbox_and_the_compose_page(street: Street, spelling: str) -> None:
    write = SPELLINGS[spelling]
    start = f"{street.house.url}/jdwm/cgi/login.cgi?login+{write(LIN)}+{write(PASSWORD)}+"
    for tail, place in (("0", "/mail/folder/"), (write("test@mailer.com.cn") + "+0", "/mail/compose?to=")):
        await street.context.clear_cookies()
        page = await street.at(f'<a href="{start}{tail}">Mail</a>')
        await page.click("a")
        await page.wait_for_url(lambda url, place=place: url.startswith(street.house.url + place))  # type: ignore[misc]
        await page.wait_for_selector("body[data-ready]")
        await street.kept_secret(page, PASSWORD, quote(PASSWORD), write(PASSWORD))
    await expect(page.locator("#row-to .chip-list")).to_contain_text("test@mailer.com.cn")


MALLORY = "mallory@demo.example"


@pytest.mark.parametrize(("code", "stay", "go_on"), [("en", "Stay as", "Go on as"), ("zh", "仍使用", "继续")])
@pytest.mark.parametrize("how", ["link", "form"])
async def test_a_strangers_page_does_not_replace_a_session_unasked(
    street: Street, how: str, code: str, stay: str, go_on: str, pictures: Path | None
) -> None:
    """The stranger is at another name of this machine, which is not among the OA's hosts."""
    await street.house.account(MALLORY, "Mallory")
    web = street.house.url
    await street.context.add_cookies([{"name": "postroad_language", "value": code, "url": web}])
    page = await street.at(english_box(f"{web}/mail"))
    await fill_and_send(page, LIN, PASSWORD)
    await page.wait_for_url(re.compile(r"/mail/folder/\d+$"))
    pages = {
        "link": f'<a id=go href="{web}/mail/login.asp?acc={MALLORY}&pwd={quote(PASSWORD)}&go=4">Win</a>',
        "form": f"""<form method=post action="{web}/mail/login.asp?go=4">
            <input type=hidden name=fm_strAccount value="{MALLORY}">
            <input type=hidden name=fm_strPassword value="{PASSWORD}"><button id=go>Win</button></form>""",
    }
    address = street.office.put("/evil.html", pages[how]).replace("localhost", "evil.localhost")
    lure = await street.context.new_page()
    for answer, place in ((stay, "/mail/folder/"), (go_on, "/mail/compose")):
        await lure.goto(address)
        await lure.click("#go")
        await lure.wait_for_url("**/mail/sign-on?**")
        await expect(lure.locator("h1")).to_contain_text(MALLORY)
        await expect(lure.locator(".welcome-text")).to_contain_text(LIN)
        if pictures is not None:
            await lure.screenshot(path=pictures / f"handover-{code}.png")
        await street.kept_secret(lure, PASSWORD, quote(PASSWORD))
        await page.goto(f"{web}/mail/password")
        await expect(page.locator("p.welcome-text")).to_have_text(LIN)
        await lure.click(f".welcome-form button:has-text('{answer}')")
        await lure.wait_for_url(lambda url, place=place: url.startswith(web + place))  # type: ignore[misc]
    await page.goto(f"{web}/mail/password")
    await expect(page.locator("p.welcome-text")).to_have_text(MALLORY)


async def test_a_link_printed_over_two_lines_is_one_link(street: Street) -> None:
    start = f"{street.house.url}/jdwm/cgi/login.cgi?login+{LIN}+{quote(PASSWORD)}+"
    page = await street.at(f'<a href="{start}\n\ntest@mailer.com.cn+0">Mail</a>')
    await page.click("a")
    await page.wait_for_url("**/mail/compose?to=test%40mailer.com.cn")


async def test_wrong_and_malformed_links_show_a_page_without_the_password(street: Street) -> None:
    wrong = percent("wrong-password-1")
    for query, text in (
        (f"login+{LIN}+{wrong}+0", "The address or the password is wrong."),
        (f"login+{LIN}+{wrong}", "This request cannot be understood"),
    ):
        await street.context.clear_cookies()
        page = await street.at(f'<a href="{street.house.url}/jdwm/cgi/login.cgi?{query}">Mail</a>')
        await page.click("a")
        await expect(page.locator("body")).to_contain_text(text)
        assert "wrong-password-1" not in await page.content() and wrong not in await page.content()
        # Whatever is followed from here takes nothing of the address along.
        async with page.expect_navigation():
            await page.click('.welcome-languages [value="zh"]')
        await street.kept_secret(page, wrong, "wrong-password-1")


async def test_a_new_password_is_told_by_a_form_that_leads_back_to_the_oa(street: Street) -> None:
    back = street.office.put("/oa/done.asp", "<p id=done>Done</p>")
    page = await street.at(
        f"""<form method=post action="{street.house.url}/mail/password.asp?jump=1">
        <input name=fm_strAccount value="{LIN}"><input name=fm_strPassword value="new-password-7">
        <input name=fm_strOldPassword value="{PASSWORD}"><input name=fm_strGoBack value="{back}">
        <input type=submit></form>"""
    )
    await page.click("[type=submit]")
    await expect(page.locator("#done")).to_have_text("Done")
    await street.kept_secret(page, "new-password-7", PASSWORD)
    address = f"{street.house.url}/mail/password.asp?acc={LIN}&pwd={quote(PASSWORD)}&old=new-password-7"
    page = await street.at(f'<a href="{address}&jump=1&url=login.asp">Change</a>')
    await page.click("a")
    await page.wait_for_url(f"{street.house.url}/mail/login.asp")
    await street.kept_secret(page, PASSWORD, quote(PASSWORD))


async def test_a_ticket_opens_the_webmail_once(street: Street) -> None:
    now = int(time.time())
    claims = {"sub": LIN, "exp": now + 60, "jti": f"one-{now}", "to": "wang@x.example"}
    link = f"{street.house.url}/sso?ticket={jwt.encode(claims, PORTAL.secret, 'HS256')}"
    page = await street.at(f'<a href="{link}">Mail</a>')
    await page.click("a")
    await page.wait_for_url("**/mail/compose?to=wang%40x.example")
    await street.context.clear_cookies()
    page = await street.at(f'<a href="{link}">Mail</a>')
    await page.click("a")
    await expect(page.locator("#login-error")).to_contain_text("This link has run out")


async def test_a_strangers_form_changes_nothing_of_who_is_signed_in(street: Street) -> None:
    page = await street.at(english_box(f"{street.house.url}/mail"))
    await fill_and_send(page, LIN, PASSWORD)
    await page.wait_for_url(re.compile(r"/mail/folder/\d+$"))
    inbox = page.url
    for path in ("/mail/logout", "/mail/actions", "/mail/password", "/mail/compose/send", "/mail/login"):
        other = await street.at(
            f"""<form method=post action="{street.house.url}{path}">
            <input name=username value="{LIN}"><input name=password value="{PASSWORD}">
            <input name=action value=trash><input name=to value="{LIN}"><input type=submit></form>"""
        )
        async with other.expect_navigation() as seen:
            await other.click("[type=submit]")
        answer = await seen.value
        assert answer is not None and answer.status in (401, 403), path
        await other.close()
    await page.goto(inbox)
    await expect(page.locator(".row-subject")).to_have_text(["Invoice of May"])
