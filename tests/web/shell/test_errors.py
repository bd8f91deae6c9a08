"""Errors in the visitor's words, and a page that comes back when the database does."""

from __future__ import annotations

from postroad.db.pool import Database
from tests.web.client import Visitor
from tests.web.conftest import Lin
from tests.web.house import House, until


async def test_what_is_not_there_is_said_in_both_languages(house: House) -> None:
    english = await Visitor(house.app).get("/mail/nothing/here")
    chinese = await Visitor(house.app, language="zh").get("/mail/nothing/here")
    assert english.status == chinese.status == 404
    assert "Not found" in english.text
    assert "找不到" in chinese.text
    script = await Visitor(house.app, language="zh").get("/mail/nothing", accept="application/json")
    assert script.json()["error"].startswith("找不到")


async def test_while_the_database_is_away_pages_say_so_and_try_again(lin: Lin, database: Database) -> None:
    good = database.dsn
    await database.close()
    database.dsn = "postgresql://nobody@127.0.0.1:1/nothing"
    await database.open()
    answer = await lin.visitor.get("/mail")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert 'data-retry="3"' in answer.text
    script = await lin.visitor.act("/mail/actions", {"action": "seen", "entry": "1.1"})
    assert script.status == 503
    assert "away" in script.json()["error"]
    await database.close()
    database.dsn = good
    await database.open()

    async def is_back() -> bool:
        return (await lin.visitor.get("/mail")).status == 303

    await until(is_back)


async def test_wrong_methods_and_bodies_are_refused(lin: Lin) -> None:
    assert (await lin.visitor.get("/mail/actions")).status == 405
    answer = await lin.visitor.request(
        "POST", "/mail/actions", b"{}", {"content-type": "application/json", "x-csrf-token": lin.visitor.csrf}
    )
    assert answer.status == 415
    large = await lin.visitor.request(
        "POST",
        "/mail/actions",
        b"x" * (9 * 1024 * 1024),
        {"content-type": "application/x-www-form-urlencoded", "x-csrf-token": lin.visitor.csrf},
    )
    assert large.status == 413
    assert (await Visitor(lin.visitor.app).post("/mail/login", {"username": "x" * 20_000})).status in (
        400,
        413,
    )
