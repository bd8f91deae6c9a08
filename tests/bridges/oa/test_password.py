"""`password.asp`: every answer of the page, and that nothing is changed unless the whole request is good."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from postroad.directory.errors import WrongCredentials
from postroad.message.address import Address
from tests.bridges.conftest import LIN, is_signed_in
from tests.web.client import Answer, Visitor
from tests.web.house import PASSWORD, House

NEW = "new-password-7&/?"
PATHS = ("/mail/password.asp", "/password.asp")
GOOD = {"acc": LIN, "pwd": NEW, "old": PASSWORD}


async def get(visitor: Visitor, path: str = PATHS[0], **query: str) -> Answer:
    return await visitor.get(f"{path}?{urlencode(query)}")


async def opens(house: House, password: str) -> bool:
    try:
        await house.sign_in.check(LIN, password, "127.0.0.1")
    except WrongCredentials:
        return False
    return True


async def is_unchanged(house: House) -> bool:
    version = await house.database.fetchval(
        "SELECT version FROM credential JOIN account ON id = principal_id WHERE address = $1", LIN
    )
    return version == 1 and await opens(house, PASSWORD)


def line(answer: Answer) -> str:
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "location" not in answer.headers and "\n" not in answer.text
    return answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_get_changes_the_password_and_goes_on_to_login_asp(house: House, path: str) -> None:
    answer = await get(Visitor(house.app), path, **GOOD)
    assert (answer.status, answer.headers["location"]) == (303, path.replace("password", "login"))
    assert await opens(house, NEW) and not await opens(house, PASSWORD)


@pytest.mark.parametrize("name", ["fm_strGoBack", "fm_strGoBank"])
async def test_post_changes_it_and_reads_both_spellings_of_the_way_on(house: House, name: str) -> None:
    fields = {"fm_strAccount": LIN, "fm_strPassword": NEW, "fm_strOldPassword": PASSWORD}
    answer = await Visitor(house.app).post("/mail/password.asp?jump=1", {**fields, name: "/mail?x=1"})
    assert (answer.status, answer.headers["location"]) == (303, "/mail?x=1")
    assert await opens(house, NEW)


async def test_without_jumping_the_answer_is_ok(house: House) -> None:
    answer = await get(Visitor(house.app), jump="0", url="http://elsewhere.example/", **GOOD)
    assert (answer.status, line(answer)) == (200, "OK")
    assert await opens(house, NEW)
    fields = {"fm_strAccount": LIN, "fm_strPassword": PASSWORD, "fm_strOldPassword": NEW}
    answer = await Visitor(house.app).post("/password.asp?jump=0", fields)
    assert (answer.status, line(answer)) == (200, "OK")


async def test_sessions_and_other_peoples_passwords(house: House, visitor: Visitor) -> None:
    await house.account("other@demo.example")
    await visitor.sign_in(LIN)
    other = Visitor(house.app)
    await other.sign_in("other@demo.example")
    assert (await get(Visitor(house.app), jump="0", **GOOD)).status == 200
    assert not await is_signed_in(visitor)
    assert await is_signed_in(other)
    assert (await Visitor(house.app).sign_in("other@demo.example")).status == 303


@pytest.mark.parametrize("missing", ["acc", "pwd", "old"])
async def test_a_missing_parameter_is_named(house: House, missing: str) -> None:
    for given in ({}, {missing: ""}):
        query = {**{name: value for name, value in GOOD.items() if name != missing}, **given}
        answer = await get(Visitor(house.app), **query)
        assert (answer.status, line(answer)) == (400, f"ERROR the parameter {missing} is missing")
    assert await is_unchanged(house)


@pytest.mark.parametrize("jump", ["2", "yes", "-1", "1 "])
async def test_a_malformed_jump_is_refused(house: House, jump: str) -> None:
    assert (await get(Visitor(house.app), jump=jump, **GOOD)).status == 400
    assert await is_unchanged(house)


@pytest.mark.parametrize(
    ("new", "word"),
    [("short", "8 characters"), ("a" * 12, "repeats"), (LIN, "address"), ("x\ty" * 5, "control")],
)
async def test_the_policys_reason_is_told(house: House, new: str, word: str) -> None:
    answer = await get(Visitor(house.app), **{**GOOD, "pwd": new})
    assert answer.status == 400
    assert line(answer).startswith("ERROR ") and word in answer.text
    assert await is_unchanged(house)


async def test_unknown_and_wrong_are_told_alike(house: House) -> None:
    wrong = await get(Visitor(house.app), **{**GOOD, "old": "wrong-password"})
    unknown = await get(Visitor(house.app), **{**GOOD, "acc": "nobody@demo.example"})
    assert (wrong.status, unknown.status) == (401, 401)
    assert line(wrong) == line(unknown) == "ERROR the account or the old password is wrong"
    assert await is_unchanged(house)


async def test_a_disabled_account_is_refused(house: House) -> None:
    await house.accounts.set_disabled(Address.parse(LIN), True)
    answer = await get(Visitor(house.app), **GOOD)
    assert (answer.status, line(answer)) == (403, "ERROR the account is disabled")


async def test_too_many_tries_are_told_with_the_time_to_wait(house: House) -> None:
    for number in range(5):
        assert (await get(Visitor(house.app), **{**GOOD, "old": f"wrong {number}"})).status == 401
    answer = await get(Visitor(house.app), **GOOD)
    assert answer.status == 429 and int(answer.headers["retry-after"]) > 0
    assert line(answer).startswith("ERROR too many")


async def test_the_md5_is_no_old_password(house: House) -> None:
    assert (
        await get(Visitor(house.app), **{**GOOD, "old": "4ee3679892e6ac5a5b513eba7fd529d4"})
    ).status == 401


HOSTILE = [
    *(
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "JaVaScRiPt://x%0aalert(1)",
    ),
    *(
        "data:text/html,x",
        "http://evil.example/",
        "https:evil.example",
        "https:///evil.example",
        "http:/evil",
    ),
    *(
        "http://oa.example.com@evil.example/",
        "http://oa.example.com:80@evil.example/",
        "ftp://oa.example.com/",
    ),
    *(
        "http://oa.example.com.evil.example/",
        "http://evil.example#oa.example.com",
        "http://evil.example?oa.example.com",
    ),
    *("http://oa.example.com\\.evil.example/", "http://oa.example.com%2eevil.example/", "mail:x"),
    *(
        "/ok\r\nSet-Cookie: a=b",
        "/ok\nx",
        "/ok\tx",
        "\x00/ok",
        "/ok\x7f",
        "/ok%0d%0aSet-Cookie:a=b",
        "/%00",
        "/%1F",
    ),
    *("\t//evil.example", " //evil.example", "/\t/evil.example", "/.//evil.example", "/..//evil.example"),
    *(
        "http://intra.example.com/",
        "http://intra.example.com:80/",
        "http://[::1]/",
        "/\u2028x",
        "/" + "a" * 3000,
    ),
    *(
        "http://oа.example.com/",
        "http://oa。example。com/",
        "http://oa.example.com:/",
        "http://oa.example.com:x/",
    ),
]


async def test_a_way_on_that_is_not_allowed_changes_nothing(house: House) -> None:
    for target in HOSTILE:
        answer = await get(Visitor(house.app), url=target, **GOOD)
        assert answer.status == 400, target
        assert line(answer).startswith("ERROR the target") and PASSWORD not in answer.text
        fields = {
            "fm_strAccount": LIN,
            "fm_strPassword": NEW,
            "fm_strOldPassword": PASSWORD,
            "fm_strGoBack": target,
        }
        assert (await Visitor(house.app).post("/password.asp", fields)).status == 400, target
    assert await is_unchanged(house)


ALLOWED = [
    ("login.asp", "/mail/login.asp"),
    ("/", "/"),
    ("/oa/index.asp?id=1&b=2#top", "/oa/index.asp?id=1&b=2#top"),
    ("../portal/", "/mail/../portal/"),
    ("首页.asp", "/mail/" + quote("首页.asp")),
    ("a b.asp", "/mail/a%20b.asp"),
    ("/back?to=http://evil.example/", "/back?to=http://evil.example/"),
    ("http://oa.example.com/done.asp?x=%E4%B8%AD", "http://oa.example.com/done.asp?x=%E4%B8%AD"),
    ("HTTPS://OA.example.com:8443", "HTTPS://OA.example.com:8443"),
    ("https://intra.example.com:8443/a", "https://intra.example.com:8443/a"),
]


@pytest.mark.parametrize(("target", "location"), ALLOWED)
async def test_a_way_on_that_is_allowed_is_taken(house: House, target: str, location: str) -> None:
    answer = await get(Visitor(house.app), url=target, **GOOD)
    assert (answer.status, answer.headers["location"]) == (303, location)


async def test_head_changes_nothing(house: House) -> None:
    answer = await Visitor(house.app).request("HEAD", f"/mail/password.asp?{urlencode(GOOD)}")
    assert answer.status == 405
    assert await is_unchanged(house)


async def test_a_body_that_is_no_form_is_a_malformed_parameter(house: House) -> None:
    head = {"content-type": "text/xml"}
    answer = await Visitor(house.app).request("POST", "/password.asp", b"<x/>", head)
    assert (answer.status, line(answer)) == (400, "ERROR a URL-encoded form was expected")


async def test_while_the_database_is_away_the_answer_is_one_line_too(house: House) -> None:
    good = house.database.dsn
    await house.database.close()
    house.database.dsn = "postgresql://nobody@127.0.0.1:1/nothing"
    await house.database.open()
    answer = await get(Visitor(house.app), **GOOD)
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    assert line(answer) == "ERROR the server is busy, try again later"
    await house.database.close()
    house.database.dsn = good
    await house.database.open()


@pytest.mark.parametrize("path", ["/mail/PASSWORD.ASP", "/Password.asp"])
async def test_the_address_and_its_parameters_know_no_case(visitor: Visitor, path: str) -> None:
    query = urlencode({"ACC": LIN, "PWD": "another-one-1", "OLD": PASSWORD, "JUMP": "0"})
    answer = await visitor.get(f"{path}?{query}")
    assert (answer.status, answer.text) == (200, "OK")
