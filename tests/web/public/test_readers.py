"""Pixel, links, the ways out, preferences and the mail as a page, as readers and their machines come to
them.
"""

from __future__ import annotations

import re

import pytest

from postroad.db.pool import DatabaseUnavailable
from tests.web.public.conftest import Street

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def left(street: Street, address: str = "li@reader.example") -> list[tuple[int, str]]:
    rows = await street.house.database.fetch(
        "SELECT list_id, source FROM unsubscription WHERE address = $1 ORDER BY list_id", address
    )
    return [(row["list_id"], row["source"]) for row in rows]


async def members(street: Street, list_id: int) -> list[str]:
    rows = await street.house.database.fetch(
        "SELECT address FROM contact WHERE list_id = $1 AND removed_at IS NULL ORDER BY address", list_id
    )
    return [row["address"] for row in rows]


async def test_the_pixel_is_a_picture_and_a_hit(street: Street) -> None:
    answer = await street.reader.request(
        "GET", await street.mailing.path("pixel"), headers={"user-agent": CHROME}
    )
    assert (answer.status, answer.headers["content-type"], len(answer.body)) == (200, "image/gif", 43)
    assert "no-store" in answer.headers["cache-control"]
    assert street.hits.waiting == 1


async def test_a_link_leads_where_the_template_said(street: Street) -> None:
    first, personal, _ = street.mailing.link_ids
    answer = await street.reader.get(await street.mailing.path("link", 1, first))
    assert (answer.status, answer.headers["location"]) == (302, "https://shop.example/sale")
    target = "https://shop.example/of/v1?n=李 x\r\nSet-Cookie: a"
    answer = await street.reader.get(await street.mailing.path("link", 1, personal, target))
    assert answer.headers["location"] == "https://shop.example/of/v1?n=%E6%9D%8E%20x%0D%0ASet-Cookie:%20a"
    assert street.hits.waiting == 2


async def test_no_link_leads_elsewhere(street: Street) -> None:
    first, personal, _ = street.mailing.link_ids
    for path in (
        await street.mailing.path("link", 1, personal, "https://evil.example/of/"),
        await street.mailing.path("link", 1, personal, "javascript:alert(1)"),
        await street.mailing.path("link", 1, 999_999_999),
        "/t/c/" + "A" * 40,
        (await street.mailing.path("pixel")).replace("/t/o/", "/t/c/"),
        "/t/c/?url=https://evil.example",
    ):
        answer = await street.reader.get(path)
        assert answer.status == 404, path
        assert "location" not in answer.headers
    # A sealed target means nothing where the template's link has no values in it.
    answer = await street.reader.get(await street.mailing.path("link", 1, first, "https://evil.example/"))
    assert answer.headers["location"] == "https://shop.example/sale"


async def test_only_a_press_of_the_button_unsubscribes(street: Street) -> None:
    path = await street.mailing.path("unsubscribe")
    for method in ("GET", "HEAD"):
        answer = await street.reader.request(method, path)
        assert answer.status == 200
    assert (await street.reader.request("POST", path, b"", FORM)).status == 400
    assert (await street.reader.request("POST", path, b"x" * 20_000, FORM)).status == 400
    assert (await street.reader.request("PUT", path)).status == 405
    assert await left(street) == []
    page = (await street.reader.get(path)).text
    assert "shop Ltd" in page
    assert "l•••@reader.example" in page
    assert "li@reader.example" not in page
    answer = await street.reader.request("POST", path, b"confirm=1", FORM)
    assert answer.status == 200
    assert "unsubscribed" in answer.text
    assert await left(street) == [(list_id, "link") for list_id in street.mailing.list_ids]
    assert await members(street, street.mailing.list_ids[0]) == ["wang@reader.example", "zhao@reader.example"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (
            b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_one_click_of_rfc_8058(street: Street, body: bytes, content_type: str) -> None:
    path = await street.mailing.path("unsubscribe")
    for _ in range(2):  # receivers send it again when they are not sure
        answer = await street.reader.request("POST", path, body, {"content-type": content_type})
        assert answer.status == 200
    assert await left(street) == [(list_id, "one-click") for list_id in street.mailing.list_ids]


async def test_a_reader_chooses_his_lists(street: Street) -> None:
    news, offers = street.mailing.list_ids
    path = await street.mailing.path("preferences")
    page = (await street.reader.get(path)).text
    assert re.findall(r'value="(\d+)"( checked)?', page)[1:3] == [(str(news), " checked"), (str(offers), "")]
    answer = await street.reader.request("POST", path, f"save=1&list={offers}&list=77".encode(), FORM)
    assert answer.status == 200
    assert await left(street) == [(news, "link")]
    assert await members(street, offers) == ["li@reader.example"]
    answer = await street.reader.request("POST", path, b"save=1&none=1", FORM)
    assert [list_id for list_id, _ in await left(street)] == [0, news]
    assert await members(street, offers) == []
    answer = await street.reader.request("POST", path, f"save=1&list={news}".encode(), FORM)
    assert [list_id for list_id, _ in await left(street)] == [offers]
    assert "li@reader.example" in await members(street, news)
    kept = await street.house.database.fetchval(
        "SELECT vars[1] FROM contact WHERE list_id = $1 AND address = 'li@reader.example' AND "
        "removed_at IS NULL",
        news,
    )
    assert kept == "v1", "who comes back is who he was"


async def test_the_mail_as_a_page_does_nothing_but_show(street: Street) -> None:
    answer = await street.reader.get(await street.mailing.path("web", 2))
    assert answer.status == 200
    assert "Dear Reader 2" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert answer.text.count("/t/c/") == 3
    assert answer.text.count("/t/o/") == 1
    assert answer.text.count("/t/u/") == 1


async def test_pages_speak_chinese_too(street: Street) -> None:
    street.reader.language = "zh-CN"
    page = (await street.reader.get(await street.mailing.path("unsubscribe"))).text
    assert "确认退订" in page
    assert 'lang="zh-CN"' in page


async def test_who_is_gone_is_told_so(street: Street) -> None:
    path = await street.mailing.path("unsubscribe", 77)
    for kind in ("unsubscribe", "preferences", "web"):
        answer = await street.reader.get(await street.mailing.path(kind, 77))
        assert answer.status == 404
        assert "no longer valid" in answer.text
    assert (await street.reader.request("POST", path, b"confirm=1", FORM)).status == 404
    for path in ("/t/", "/t/o", "/t/o/", "/t/x/abc", "/t/o/../../etc", "/t/u/%00"):
        assert (await street.reader.get(path)).status == 404


async def test_a_dead_database_does_not_stop_pixels_and_known_links(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, other = street.mailing.link_ids
    link, unknown = await street.mailing.path("link", 1, first), await street.mailing.path("link", 1, other)
    pixel, out = await street.mailing.path("pixel"), await street.mailing.path("unsubscribe")
    await street.reader.get(link)

    def dead(*_: object) -> object:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(street.house.database, "connection", dead)
        assert (await street.reader.get(link)).status == 302
        assert (await street.reader.get(pixel)).status == 200
        for path in (unknown, out):
            answer = await street.reader.get(path)
            assert answer.status == 503
            assert answer.headers["retry-after"] == "60"
    assert street.hits.waiting == 3


async def test_other_pages_stand_behind(street: Street) -> None:
    assert (await street.reader.get("/mail")).text == "the other pages"
    assert (await street.reader.get("/team")).text == "the other pages"


async def test_previews_are_no_readers(street: Street) -> None:
    pixel = await street.mailing.path("pixel")
    await street.reader.request("HEAD", pixel, headers={"user-agent": CHROME})
    await street.reader.request("GET", pixel, headers={"user-agent": CHROME, "sec-purpose": "prefetch"})
    await street.reader.request("GET", pixel, headers={"user-agent": "WhatsApp/2.23"})
    await street.reader.request("GET", pixel, headers={"user-agent": CHROME})
    assert [hit.is_look for hit in street.hits._waiting] == [True, True, False, False]
    assert street.hits._waiting[2].user_agent == "WhatsApp/2.23"
