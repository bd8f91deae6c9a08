"""From the summary into the mailbox and back, without a page that is laid out for the other."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.conftest import LIN, Desk
from tests.web.mails import mail


async def test_the_summary_leads_to_the_folders_and_back_brings_it_again(desk: Desk) -> None:
    account = await desk.house.database.fetchval("SELECT id FROM account WHERE address = $1", LIN)
    await desk.house.deliver(account, mail("Invoice of May", message_id="1@x.example"))
    page = await desk.signed_in()
    await page.click(".account-button")
    await page.click("text=Summary")
    await expect(page.locator(".summary-subject")).to_have_text(["Invoice of May"])
    await page.wait_for_selector("body[data-ready]")
    await page.click('.folder-link[data-role="inbox"]')
    await expect(page.locator(".row-subject")).to_have_text(["Invoice of May"])
    listed = await page.locator("#list-pane").bounding_box()
    reader = await page.locator("#reader").bounding_box()
    assert listed and reader and reader["x"] >= listed["x"] + listed["width"] - 1, "side by side"
    await page.go_back()
    await expect(page.locator(".summary-subject")).to_have_text(["Invoice of May"])
    await page.click(".summary-table a >> text=Drafts")
    await page.wait_for_url(re.compile(r"/mail/folder/\d+$"))


async def test_a_narrow_window_shows_all_of_it(desk: Desk) -> None:
    page = await desk.signed_in(language="zh-CN", width=390, height=800)
    await page.goto(f"{desk.house.url}/mail/summary")
    await expect(page.locator(".summary-heading").first).to_have_text("最新未读")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.click(".summary-head [data-drawer]")
    await expect(page.locator("#sidebar")).to_be_visible()
