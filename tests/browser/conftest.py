"""The webmail in a real browser: the system's Chromium, driven in the test's own loop.

Whatever a page complains about (script errors, blocked by policy, requests that fail) fails the test.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from postroad.db.pool import Database
from tests.web.house import PASSWORD, House, open_house, served

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LIN, BERT = "lin@demo.example", "bert@demo.example"


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """The webmail, served on the loopback, with Lin and Bert."""
    async with open_house(database, tmp_path) as house:
        await house.account(LIN, "林晓")
        await house.account(BERT, "Bert Brown")
        async with served(house):
            yield house


@dataclass
class Desk:
    """A browser and the complaints of its pages."""

    browser: Browser
    house: House
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)  # requests to anywhere but the webmail

    async def open(
        self, path: str = "/mail/login", *, language: str = "en-GB", width: int = 1440, height: int = 900
    ) -> Page:
        """A page in a browser profile of its own."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": height}, locale=language, timezone_id="Asia/Shanghai"
        )
        context.set_default_timeout(10_000)
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        context.on("request", self._asked)
        await page.goto(self.house.url + path)
        return page

    async def signed_in(
        self, address: str = LIN, *, language: str = "en-GB", width: int = 1440, height: int = 900
    ) -> Page:
        """A page of somebody who has signed in."""
        page = await self.open(language=language, width=width, height=height)
        await page.fill('[name="username"]', address)
        await page.fill('[name="password"]', PASSWORD)
        await page.click(".welcome-form button")
        await page.wait_for_selector("body[data-ready]")
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} at {message.location.get('url')}")

    def _asked(self, request: Request) -> None:
        place = urlsplit(request.url)
        if place.scheme not in ("data", "blob") and f"{place.scheme}://{place.netloc}" != self.house.url:
            self.strangers.append(request.url)


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    """A browser at the webmail; at the end nothing may have been complained about."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this system")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        desk = Desk(browser, house)
        yield desk
        await browser.close()
    assert desk.complaints == []
    assert desk.strangers == []
