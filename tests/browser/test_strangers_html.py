"""Mails that attack: opened, quoted, forwarded and shown with pictures, none of them gets to do anything."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser.conftest import LIN, Desk
from tests.web.mails import mail

TRAP = "window.top.__trapped=1;fetch('https://beacon.example/x');alert(1)"
ATTACKS = (
    f"<script>{TRAP}</script>",
    f'<img src=x onerror="{TRAP}">',
    f'<svg><script>{TRAP}</script></svg><svg onload="{TRAP}"></svg>',
    f'<a id="click" href="javascript:{TRAP}">click</a>',
    f'<a id="click" href=" j&#10;avascript:{TRAP}">click</a>',
    f'<form action="https://beacon.example/x"><button id="click">go</button></form><body onload="{TRAP}">',
    '<meta http-equiv="refresh" content="0;url=https://beacon.example/x"><base href="https://beacon.example/">',
    '<link rel="stylesheet" href="//beacon.example/x"><style>@import "//beacon.example/";</style>',
    '<div style="background:url(https://beacon.example/x.png)">x</div><style>*{background:url(//beacon.example/z)}</style>',
    f'<iframe srcdoc="<script>{TRAP}</script>"></iframe><object data="https://beacon.example/x"></object>',
    '<video src="https://beacon.example/v" autoplay></video><input type="image" src="https://beacon.example/i">',
    f'<math><mtext></mtext><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={TRAP}&gt;">',
    f'<noscript><p title="</noscript><img src=x onerror={TRAP}>"></noscript>',
    '<div style="position:fixed;inset:0;z-index:9999;background:red">over everything</div>',
    f'<details open ontoggle="{TRAP}"><summary>x</summary></details><marquee onstart="{TRAP}">x</marquee>',
    '<img srcset="https://beacon.example/s 1x"><picture><source srcset="https://beacon.example/p"></picture>',
    '<table background="//beacon.example/t"><tr><td background="//beacon.example/u">x</td></tr></table>',
    f'<div hx-get="/mail/logout" hx-trigger="load" hx-on:load="{TRAP}">x</div>',
    f'<xmp></xmp><template><img src=x onerror="{TRAP}"></template><plaintext><img src=x onerror="{TRAP}">',
)


async def no_trap_went_off(page: Page) -> None:
    """Nothing of a mail ran in the page."""
    assert await page.evaluate("window.__trapped === undefined")


async def test_no_attack_does_anything_when_opened_answered_or_forwarded(desk: Desk) -> None:
    account = await desk.house.database.fetchval("SELECT id FROM account WHERE address = $1", LIN)
    for number, attack in enumerate(ATTACKS):
        content = mail(
            f"{number} <img src=x onerror={TRAP}>",
            html=f"<p>Number {number}.</p>{attack}",
            sender=f'"<script>{TRAP}</script>" <a{number}@x.example>',
            message_id=f"{number}@x.example",
        )
        await desk.house.deliver(account, content)
    page = await desk.signed_in()
    dialogs: list[str] = []

    async def seen(dialog: object) -> None:
        dialogs.append(str(dialog))

    page.on("dialog", seen)
    start = page.url
    for number in reversed(range(len(ATTACKS))):
        await page.goto(f"{desk.house.url}/mail/message/{start.rsplit('/', 1)[1]}/{number + 1}")
        frame = page.frame_locator(".body-frame")
        await expect(frame.locator("body")).to_contain_text(f"Number {number}.")
        if await frame.locator("#x_click").count():
            await frame.locator("#x_click").click(timeout=2000)
        box = await page.locator(".body-frame").bounding_box()
        assert box is not None
        await no_trap_went_off(page)
    for number in (0, 1, 2, 9, 11, 18):
        for mode in ("reply", "forward"):
            source = f"{start.rsplit('/', 1)[1]}.{number + 1}"
            await page.goto(f"{desk.house.url}/mail/compose?mode={mode}&source={source}")
            await page.wait_for_selector("body.composing[data-ready]")
            await expect(page.locator("#editor")).to_contain_text(f"Number {number}.")
            await no_trap_went_off(page)
    assert dialogs == []
    assert desk.strangers == []


async def test_a_page_cannot_run_what_is_pasted_into_the_editor(desk: Desk) -> None:
    page = await desk.signed_in()
    await page.goto(desk.house.url + "/mail/compose")
    await page.wait_for_selector("body.composing[data-ready]")
    await page.click("#editor")
    await page.evaluate(
        """html => {
            const data = new DataTransfer();
            data.setData("text/html", html);
            data.setData("text/plain", "pasted");
            document.getElementById("editor").dispatchEvent(
                new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
        }""",
        "<b>bold words</b>" + "".join(ATTACKS),
    )
    await expect(page.locator("#editor")).to_contain_text("bold words")
    await no_trap_went_off(page)
    html = await page.inner_html("#editor")
    assert "onerror" not in html
    assert "beacon" not in html
    # The page's policy is at work while the paste is parsed, before it is cleaned.
    desk.complaints[:] = [one for one in desk.complaints if "Content Security Policy" not in one]
