"""A whole front end over the API alone (examples/oa-mail.html and its small server), in a real browser."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Dialog, Page, async_playwright, expect

from postroad.db.pool import Database
from postroad.mailstore.folders import Role
from tests.api.conftest import LIN, WANG, ApiHouse, inhabited
from tests.api.test_mail import mail, rich_mail
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.web.house import PASSWORD, served, until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE = 60_000


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with inhabited(database, tmp_path) as opened:
        yield opened


@asynccontextmanager
async def front_end(upstream: str) -> AsyncIterator[str]:
    """The example's server on a free port, in a thread."""
    spec = importlib.util.spec_from_file_location("oa_mail_server", EXAMPLES / "oa_mail_server.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.make_server(upstream, 0)
    serving = asyncio.create_task(asyncio.to_thread(server.serve_forever, 0.05))
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        await asyncio.to_thread(server.shutdown)
        await serving
        server.server_close()


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Page]:
    """A page at the front end; a dialog or an error of its scripts fails the test."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this system")
    wrong: list[str] = []

    async def heard(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        await dialog.dismiss()

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", heard)
        await page.goto(url)
        yield page
        await browser.close()
    assert wrong == []


async def test_an_oa_needs_nothing_but_the_api(api: ApiHouse) -> None:
    expect.set_options(timeout=PATIENCE)
    await api.house.deliver(api.lin_id, mail("a first letter"))
    async with served(api.house) as upstream, front_end(upstream) as url, browsing(url) as page:
        await page.fill("[name=username]", LIN)
        await page.fill("[name=password]", PASSWORD)
        await page.click("#sign-in button")
        inbox = page.locator("#folders [data-role=inbox]")
        await expect(inbox).to_have_text("INBOX (1)")
        # Mail comes while the page is open: counts and list follow by themselves.
        await api.house.deliver(api.lin_id, rich_mail())
        await expect(inbox).to_have_text("INBOX (2)")
        await expect(page.locator("#messages li").first).to_contain_text("报价 quote")
        # Reading: safe HTML with its own picture, a file, and the mark that it was read.
        await page.locator("#messages li").first.click()
        frame = page.frame_locator("#reader iframe")
        await expect(frame.locator("p")).to_contain_text("rich words")
        assert await frame.locator("script").count() == 0
        await expect(inbox).to_have_text("INBOX (1)")
        await expect(page.locator("#reader a")).to_contain_text(["报价.html"])
        # Answering.
        await page.click("text=Write")
        await page.fill("#composer [name=to]", WANG)
        await page.fill("#composer [name=subject]", "from the OA")
        await page.fill("#composer [name=text]", "words")
        await page.set_input_files(
            "#composer [name=file]", {"name": "报.txt", "mimeType": "text/plain", "buffer": b"42"}
        )
        await page.click("#composer button")
        await expect(page.locator("#note")).to_have_text("Sent.")
        [came] = await api.house.entries.page(api.wang_id, await api.house.folder(api.wang_id))
        assert (came.subject, came.has_attachments) == ("from the OA", True)
        assert (
            len(await api.house.entries.page(api.lin_id, await api.house.folder(api.lin_id, Role.SENT))) == 1
        )

        # Searching, once what came is in the index.
        async def is_found() -> bool:
            await page.fill("#search [name=q]", "first")
            async with page.expect_response(lambda answer: "/search" in answer.url):
                await page.press("#search [name=q]", "Enter")
            return await page.locator("#messages li").count() == 1

        await until(is_found, 60)
        await expect(page.locator("#messages li")).to_contain_text("a first letter")
        # Signing out ends the token.
        await page.click("#sign-out")
        await expect(page.locator("#sign-in")).to_be_visible()
        assert await api.house.database.fetchval("SELECT count(*) FROM api_token") == 0
