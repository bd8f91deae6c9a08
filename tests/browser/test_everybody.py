"""Both languages, wide and narrow windows, the keyboard alone, and names for those who cannot see."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import LIN, Desk
from tests.web.house import PASSWORD
from tests.web.mails import mail

# Every control has a name, every picture a text, every id stands once.
AUDIT = """() => {
    const problems = [];
    const text = (e) => e.outerHTML.slice(0, 120);
    const named = (e) => (e.getAttribute("aria-label") || e.innerText || e.title || "").trim()
        || document.getElementById(e.getAttribute("aria-labelledby") ?? "")
        || e.labels?.length || e.querySelector("img[alt]");
    const controls = "a[href], button, input:not([type=hidden]), select, textarea, summary";
    for (const e of document.querySelectorAll(controls)) {
        if (e.checkVisibility({ visibilityProperty: true }) && !named(e)) problems.push("? " + text(e));
    }
    for (const e of document.querySelectorAll("img:not([alt])")) problems.push(text(e));
    for (const e of document.querySelectorAll("iframe:not([title])")) problems.push(text(e));
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push("twice: " + id);
    if (document.documentElement.scrollWidth > innerWidth) problems.push("wider than the window");
    if (!document.querySelector("h1, h2")) problems.push("no heading");
    return [...new Set(problems)];
}"""


async def filled(desk: Desk) -> int:
    """Lin's account with some mails; returns her inbox."""
    account = await desk.house.database.fetchval("SELECT id FROM account WHERE address = $1", LIN)
    for number in range(4):
        files = (("a.pdf", "application/pdf", b"%PDF"),) if number == 3 else ()
        await desk.house.deliver(
            account,
            mail(
                f"Mail {number}",
                html=f"<p>Text {number}</p><img src='https://x.example/a.png'>",
                message_id=f"{number}@x.example",
                files=files,
            ),
        )
    return await desk.house.folder(account)


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("width", [1440, 900, 390])
async def test_every_page_is_whole_in_both_languages_and_at_every_width(
    desk: Desk, language: str, width: int
) -> None:
    inbox = await filled(desk)
    stranger = await desk.open(language=language, width=width)
    assert await stranger.evaluate(AUDIT) == []
    page = await desk.signed_in(language=language, width=width)
    for path in (
        f"/mail/folder/{inbox}",
        f"/mail/message/{inbox}/4",
        "/mail/search?q=nothing+like+it",
        "/mail/compose",
        f"/mail/compose?mode=forward&source={inbox}.4",
        "/mail/password",
        f"/mail/message/{inbox}/4/headers",
        f"/mail/message/{inbox}/4/print",
    ):
        await page.goto(desk.house.url + path)
        assert await page.evaluate(AUDIT) == [], path
    expected = "Inbox" if language == "en-GB" else "收件箱"
    await page.goto(desk.house.url + "/mail")
    await expect(page.locator("#list-title")).to_have_text(expected)


async def test_a_narrow_window_shows_one_thing_at_a_time(desk: Desk) -> None:
    await filled(desk)
    page = await desk.signed_in(width=390, height=844)
    await expect(page.locator("#reader")).to_be_hidden()
    await page.click("text=Mail 2")
    await expect(page.locator("#subject")).to_be_visible()
    await expect(page.locator("#list-pane")).to_be_hidden()
    await page.click("[data-close-reader]")
    await expect(page.locator("#list-pane")).to_be_visible()
    await page.click("text=Mail 1")
    await expect(page.locator("#subject")).to_have_text("Mail 1")
    await page.go_back()
    await expect(page.locator("#list-pane")).to_be_visible()
    await page.click(".drawer-button")
    await page.click('.folder-link[data-role="archive"]')
    await expect(page.locator("#list-title")).to_have_text("Archive")
    await expect(page.locator("#sidebar")).to_be_hidden()


async def focused(page: Page) -> str:
    """What has the focus, by name or text."""
    text: str = await page.evaluate("document.activeElement.name || document.activeElement.innerText || ''")
    return text


async def test_everything_can_be_done_with_the_keyboard_alone(desk: Desk) -> None:
    await filled(desk)
    page = await desk.open()
    assert await focused(page) == "username"
    await page.keyboard.type(LIN)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("body[data-ready]")
    await page.keyboard.press("j")
    await expect(page.locator("#subject")).to_have_text("Mail 3")
    await page.keyboard.press("j")
    await expect(page.locator("#subject")).to_have_text("Mail 2")
    await page.keyboard.press("k")
    await expect(page.locator("#subject")).to_have_text("Mail 3")
    # Faster than answers come: the mail that is left and come back to is asked for again.
    third = await page.locator(".row-link").nth(0).get_attribute("href") or "?"
    async with page.expect_response(lambda answer: answer.url.endswith(third)):
        await page.keyboard.press("j")
        await page.keyboard.press("k")
    await expect(page.locator("#subject")).to_have_text("Mail 3")
    await page.keyboard.press("s")
    await expect(page.locator(".row.is-flagged .row-subject")).to_have_text("Mail 3")
    await page.keyboard.press("e")
    await expect(page.locator("#subject")).to_have_text("Mail 2")
    await expect(page.locator(".row")).to_have_count(3)
    await page.keyboard.press("#")
    await expect(page.locator("#subject")).to_have_text("Mail 1")
    await page.keyboard.press("Escape")
    await expect(page.locator(".reading")).to_have_count(0)
    await page.keyboard.press("x")
    await expect(page.locator("#bulk-count")).to_have_text("1 selected")
    await page.keyboard.press("Escape")
    await expect(page.locator("#bulk-bar")).to_be_hidden()
    await page.keyboard.press("?")
    await expect(page.locator("#dialog-keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#dialog-keys")).to_be_hidden()
    await page.keyboard.press("/")
    assert await focused(page) == "q"
    await page.keyboard.press("Escape")
    await page.keyboard.press("g")
    await page.keyboard.press("t")
    await expect(page.locator("#list-title")).to_have_text("Trash")
    await page.keyboard.press("c")
    await page.wait_for_selector("body.composing[data-ready]")
    await page.keyboard.type("bert@demo.example")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    while await page.evaluate("document.activeElement.id") != "subject":
        await page.keyboard.press("Tab")
    await page.keyboard.type("By keyboard")
    await page.keyboard.press("Enter")
    await page.keyboard.type("No mouse was moved.")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".toast")).to_have_text("Sent.")


async def test_a_mail_that_arrives_is_on_the_page_within_a_second(desk: Desk) -> None:
    account = await desk.house.database.fetchval("SELECT id FROM account WHERE address = $1", LIN)
    page = await desk.signed_in()
    second = await page.context.new_page()
    await second.goto(desk.house.url + "/mail")
    await second.wait_for_selector("body[data-ready]")
    await expect(page.locator("#offline")).to_be_hidden()
    await page.wait_for_function("performance.getEntriesByType('resource').length > 0")
    await desk.house.deliver(account, mail("Just in"))
    # Only one of the two windows holds the stream; both show the mail.
    await expect(page.locator(".row-subject")).to_have_text(["Just in"], timeout=3000)
    await expect(second.locator(".row-subject")).to_have_text(["Just in"], timeout=3000)
    await expect(page).to_have_title("(1) Inbox · Postroad")
