"""Selecting, moving, deleting, searching, undoing; and mail that comes meanwhile."""

from __future__ import annotations

from playwright.async_api import Page, expect

from postroad.mailstore.folders import Role
from tests.browser.conftest import LIN, Desk
from tests.web.house import until
from tests.web.mails import mail


async def lin_id(desk: Desk) -> int:
    """The id of Lin's account."""
    found: int = await desk.house.database.fetchval("SELECT id FROM account WHERE address = $1", LIN)
    return found


async def filled(desk: Desk, count: int) -> Page:
    """Lin's inbox with mails "Mail 0" to the newest."""
    account = await lin_id(desk)
    for number in range(count):
        await desk.house.deliver(account, mail(f"Mail {number}", message_id=f"{number}@x.example"))
    return await desk.signed_in()


async def test_a_range_is_archived_and_brought_back(desk: Desk) -> None:
    page = await filled(desk, 6)
    boxes = page.locator(".pick input")
    await boxes.nth(1).check()
    await boxes.nth(3).click(modifiers=["Shift"])
    await expect(page.locator("#bulk-count")).to_have_text("3 selected")
    await page.click('#bulk-bar [value="archive"]')
    await expect(page.locator(".row")).to_have_count(3)
    await expect(page.locator(".toast")).to_contain_text("3 messages moved to Archive")
    await expect(page.locator("#bulk-bar")).to_be_hidden()
    await page.click(".toast button")
    await expect(page.locator(".row")).to_have_count(6)


async def test_a_mail_that_arrives_takes_neither_ticks_nor_the_cursor(desk: Desk) -> None:
    page = await filled(desk, 3)
    await page.locator(".pick input").nth(0).check()
    await desk.house.deliver(await lin_id(desk), mail("Mail 3", message_id="3@x.example"))
    await expect(page.locator(".row")).to_have_count(4)
    await expect(page.locator("#bulk-count")).to_have_text("1 selected")
    await expect(page.get_by_label("Select: Mail 2")).to_be_checked()
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await expect(page.locator("#subject")).to_have_text("Mail 3")
    await page.keyboard.press("Escape")
    await expect(page.locator(".reading")).to_have_count(0)
    await desk.house.deliver(await lin_id(desk), mail("Mail 4", message_id="4@x.example"))
    await expect(page.locator(".row")).to_have_count(5)
    await page.keyboard.press("x")
    await expect(page.get_by_label("Select: Mail 3")).to_be_checked()


async def test_an_open_mail_is_deleted_and_the_next_one_opens(desk: Desk) -> None:
    page = await filled(desk, 3)
    await page.click("text=Mail 2")
    await expect(page.locator("#subject")).to_have_text("Mail 2")
    await page.click('.reader-bar [data-act="trash"]')
    await expect(page.locator("#subject")).to_have_text("Mail 1")
    await expect(page.locator(".row")).to_have_count(2)
    await page.click('.folder-link[data-role="trash"]')
    await expect(page.locator(".row-subject")).to_have_text(["Mail 2"])
    await page.locator(".row").hover()
    await page.click('.row [data-act="trash"]')
    await page.click('#dialog-confirm [value="yes"]')
    await expect(page.locator(".empty-title").first).to_have_text("The trash is empty")


async def test_a_folder_is_made_and_a_mail_moved_into_it(desk: Desk) -> None:
    page = await filled(desk, 2)
    await page.click("text=New folder")
    await page.fill("#dialog-new-folder [name=name]", "项目/一期")
    await page.keyboard.press("Enter")
    await expect(page.locator(".folder-name", has_text="一期")).to_be_visible()
    await page.reload()
    await page.wait_for_selector("body[data-ready]")
    await page.click("text=Mail 1")
    await page.click('.reader-bar [data-dialog="move"]')
    await page.fill("[data-folder-filter]", "一期")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row-subject")).to_have_text(["Mail 0"])
    await page.click(".folder-link:has-text('一期')")
    await expect(page.locator("#list-title")).to_have_text("一期")
    await expect(page.locator(".row-subject")).to_have_text(["Mail 1"])


async def test_a_search_shows_what_was_found_and_back_leads_to_the_inbox(desk: Desk) -> None:
    page = await filled(desk, 3)
    account = await lin_id(desk)
    await desk.house.deliver(account, mail("乌龙茶样品", "请确认收货地址。", message_id="z@x.example"))
    await expect(page.locator(".row")).to_have_count(4)

    async def is_indexed() -> bool:
        return not await desk.house.database.fetchval("SELECT count(*) FROM search_pending")

    await until(is_indexed)
    await page.fill("#search", "收货地址")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row-subject")).to_have_text(["乌龙茶样品"])
    await page.click(".row-link")
    await expect(page.locator("#subject")).to_have_text("乌龙茶样品")
    await page.go_back()
    await expect(page.locator(".reading")).to_have_count(0)
    await page.click("text=Clear search")
    await expect(page.locator(".row")).to_have_count(4)


async def test_older_mails_come_when_one_scrolls_and_new_ones_at_the_top(desk: Desk) -> None:
    page = await filled(desk, 70)
    await expect(page.locator(".row")).to_have_count(50)
    await page.locator(".row").last.scroll_into_view_if_needed()
    await expect(page.locator(".row")).to_have_count(70)
    await page.locator(".pick input").nth(5).check()
    await desk.house.deliver(await lin_id(desk), mail("Fresh", message_id="fresh@x.example"))
    await expect(page.locator(".row-subject").first).to_have_text("Fresh")
    await expect(page.locator(".row")).to_have_count(71)
    await expect(page.locator(".pick input").nth(6)).to_be_checked()


async def test_what_another_window_does_is_seen(desk: Desk) -> None:
    page = await filled(desk, 2)
    account = await lin_id(desk)
    inbox = await desk.house.folder(account)
    [newest, _] = await desk.house.entries.page(account, inbox)
    archive = await desk.house.folder(account, Role.ARCHIVE)
    await desk.house.entries.move(account, inbox, [newest.uid], archive)
    await expect(page.locator(".row-subject")).to_have_text(["Mail 0"])
    await expect(page.locator('.folder-link[data-role="archive"] .badge span').first).to_have_text("1")
