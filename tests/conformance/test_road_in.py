"""The first road end to end: swaks and smtplib hand mail in, a real browser shows it, a reply comes back.

Against `postroad serve --demo` with the printed passwords, as a newcomer would do it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import smtplib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.message import EmailMessage

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from postroad.demo.people import ALICE, CHEN
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.running import RunningServer, reachable_directory

SECOND = 1.0  # how soon a mail shall be seen

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("postroad-road-") as directory:
        running = RunningServer(directory, doors=("smtp", "submission", "http"))
        running.start(60, "--demo")
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def passwords(server: RunningServer) -> dict[str, str]:
    """What the server printed."""
    return dict(re.findall(r"(\S+@demo\.postroad\.test) +(\S+)\n", server.log()))


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this system")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


async def signed_in(browser: Browser, server: RunningServer, address: str, password: str) -> Page:
    """The inbox of somebody who typed address and password."""
    context = await browser.new_context(locale="en-GB")
    context.set_default_timeout(15_000)
    page = await context.new_page()
    await page.goto(f"{server.web}/mail/login")
    await page.fill('[name="username"]', address)
    await page.fill('[name="password"]', password)
    await page.click(".welcome-form button")
    await page.wait_for_selector("body[data-ready]")
    return page


def by_swaks(server: RunningServer, password: str, subject: str) -> None:
    """Hand a mail from Chen to Alice in as swaks does, over STARTTLS and AUTH."""
    program = shutil.which("swaks")
    if program is None:
        pytest.skip("no swaks on this system")
    subprocess.run(
        [
            program,
            *("--server", "127.0.0.1", "--port", str(server.ports["submission"]), "--tls"),
            *("--auth-user", CHEN.address, "--auth-password", password),
            *("--from", CHEN.address, "--to", ALICE.address),
            *("--header", f"Subject: {subject}", "--body", "Handed in by swaks."),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )


def by_smtplib(server: RunningServer, password: str, subject: str) -> None:
    """The same with Python's own client."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is the self-made one
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = CHEN.address, ALICE.address, subject
    mail.set_content("您好，由 smtplib 提交。\n")
    with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=30) as client:
        client.starttls(context=context)
        client.login(CHEN.address, password)
        client.send_message(mail)


@pytest.mark.parametrize("hand_in", [by_swaks, by_smtplib])
async def test_a_submitted_mail_shows_up_in_an_open_browser_and_the_reply_comes_back(
    server: RunningServer,
    passwords: dict[str, str],
    browser: Browser,
    hand_in: Callable[[RunningServer, str, str], None],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    subject = f"到货时间 {hand_in.__name__}"
    alice = await signed_in(browser, server, ALICE.address, passwords[ALICE.address])
    await expect(alice.locator(".row-subject", has_text="Samples for the autumn list")).to_have_count(1)
    await asyncio.to_thread(hand_in, server, passwords[CHEN.address], subject)
    acknowledged = time.perf_counter()
    row = alice.locator(".row.is-unread", has_text=subject)
    await expect(row).to_have_count(1, timeout=15_000)
    waited = time.perf_counter() - acknowledged
    record_property("seconds_until_seen", waited)

    await row.locator(".row-link").click()
    await alice.click('.reply-line [data-key="r"]')
    await alice.wait_for_selector("body.composing[data-ready]")
    await alice.keyboard.type("Thursday suits us.")
    await alice.keyboard.press("Control+Enter")
    await expect(alice.locator(".toast")).to_have_text("Sent.")

    chen = await signed_in(browser, server, CHEN.address, passwords[CHEN.address])
    reply = chen.locator(".row.is-unread", has_text=f"Re: {subject}")
    await expect(reply).to_have_count(1, timeout=15_000)
    await reply.locator(".row-link").click()
    await expect(chen.frame_locator(".body-frame").locator("body")).to_contain_text("Thursday suits us.")
    with capsys.disabled():
        verdict = "within a second" if waited <= SECOND else "LATE"
        print(f"\n{hand_in.__name__}: seen in the browser {waited:.2f} s after its 250 ({verdict})")
