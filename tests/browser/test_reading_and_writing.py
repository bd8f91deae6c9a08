"""From one browser to another: written, sent, arrived by itself, read, answered."""

from __future__ import annotations

from playwright.async_api import FilePayload, expect

from tests.browser.conftest import BERT, Desk


async def test_a_mail_with_a_file_arrives_in_an_open_browser_and_is_answered(desk: Desk) -> None:
    bert = await desk.signed_in(BERT)
    lin = await desk.signed_in()
    await lin.click(".compose-button")
    await lin.wait_for_selector("body.composing[data-ready]")
    await lin.keyboard.type("bert@demo.example,")
    await expect(lin.locator(".recipient")).to_have_attribute("title", "bert@demo.example")
    await lin.fill("#subject", "春季报价单")
    await lin.click("#editor")
    await lin.keyboard.type("Bert 您好,")
    await lin.keyboard.press("Enter")
    await lin.keyboard.press("Control+b")
    await lin.keyboard.type("报价单见附件。")
    await lin.set_input_files(
        "#pick-files", files=FilePayload(name="报价单.txt", mimeType="text/plain", buffer="茶 100".encode())
    )
    await expect(lin.locator(".file-chip[data-section]")).to_contain_text("报价单.txt")
    await lin.click("#send")
    await expect(lin.locator(".toast")).to_have_text("Sent.")

    # No reload: the stream brings it.
    await expect(bert.locator(".row.is-unread .row-subject")).to_have_text("春季报价单")
    await expect(bert).to_have_title("(1) Inbox · Postroad")
    await bert.click(".row-link")
    frame = bert.frame_locator(".body-frame")
    await expect(frame.locator("b")).to_have_text("报价单见附件。")
    await expect(bert.locator(".attachment-name")).to_have_text("报价单.txt")
    async with bert.expect_download() as download:
        await bert.click(".attachment-link")
    saved = await (await download.value).path()
    assert saved.read_text() == "茶 100"
    assert (await download.value).suggested_filename == "报价单.txt"

    await bert.click('.reply-line [data-key="r"]')
    await bert.wait_for_selector("body.composing[data-ready]")
    await bert.keyboard.type("谢谢!")
    await bert.keyboard.press("Control+Enter")
    await expect(bert.locator(".toast")).to_have_text("Sent.")
    await expect(bert.locator(".row .mark[title=Answered]")).to_have_count(1)
    await expect(lin.locator(".row.is-unread .row-subject")).to_have_text("Re: 春季报价单")
    await lin.click(".row-link")
    await expect(lin.frame_locator(".body-frame").locator("body")).to_contain_text("谢谢!")
    await expect(lin.locator(".thread-link")).to_have_count(1)


async def test_a_draft_survives_a_reload_and_the_loss_of_the_page(desk: Desk) -> None:
    page = await desk.signed_in()
    await page.goto(desk.house.url + "/mail/compose")
    await page.wait_for_selector("body.composing[data-ready]")
    await page.fill("#subject", "Kept")
    await page.click("#editor")
    await page.keyboard.type("The first words.")
    await expect(page.locator("#save-state")).to_contain_text("Draft saved")
    await page.reload()
    await page.wait_for_selector("body.composing[data-ready]")
    await expect(page.locator("#editor")).to_contain_text("The first words.")
    await expect(page.locator("#subject")).to_have_value("Kept")
    await expect(page.locator("#restore")).to_be_hidden()

    # Typed a moment before the page is lost: the browser's copy has it.
    await page.route("**/mail/compose/save", lambda route: route.abort())
    page.on("dialog", lambda dialog: dialog.accept())
    await page.click("#editor")
    await page.keyboard.press("Control+End")
    await page.keyboard.type(" And the last ones.")
    await page.reload()
    await page.unroute("**/mail/compose/save")
    await page.wait_for_selector("body.composing[data-ready]")
    await page.click("#restore-yes")
    await expect(page.locator("#editor")).to_contain_text("And the last ones.")
    await expect(page.locator("#save-state")).to_contain_text("Draft saved")
    desk.complaints[:] = [one for one in desk.complaints if "ERR_FAILED" not in one]


async def test_what_cannot_be_sent_is_said_in_place_and_the_text_stays(desk: Desk) -> None:
    page = await desk.signed_in()
    await page.goto(desk.house.url + "/mail/compose?to=nobody@demo.example&subject=Hi")
    await page.wait_for_selector("body.composing[data-ready]")
    await page.click("#editor")
    await page.keyboard.type("Text that must stay.")
    await page.click("#send")
    await expect(page.locator("#compose-error")).to_contain_text("nobody@demo.example")
    await expect(page.locator("#editor")).to_contain_text("Text that must stay.")
    await page.fill("#to", "not an address")
    await page.click("#send")
    await expect(page.locator(".recipient.is-bad")).to_contain_text("not an address")
    await expect(page.locator("#compose-error")).to_contain_text("marked red")
    desk.complaints[:] = [one for one in desk.complaints if "422" not in one]


async def test_plain_text_and_rich_text_change_into_each_other(desk: Desk) -> None:
    page = await desk.signed_in()
    await page.goto(desk.house.url + "/mail/compose?to=bert@demo.example&subject=Plain")
    await page.wait_for_selector("body.composing[data-ready]")
    await page.click("#editor")
    await page.keyboard.type("one")
    await page.keyboard.press("Enter")
    await page.keyboard.type("two")
    await page.click("summary:has-text('Options')")
    await page.click("text=Plain text")
    await expect(page.locator("#plain")).to_have_value("one\ntwo")
    await page.fill("#plain", "one\ntwo\n<three>")
    await page.click("text=Plain text")
    await expect(page.locator("#editor")).to_contain_text("<three>")
