"""The login box and `login.asp`, as an OA's pages post to them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from postroad.config import Oa
from postroad.db.pool import Database
from postroad.message.address import Address
from tests.bridges.conftest import LIN, doors, is_signed_in
from tests.web.client import Answer, Visitor
from tests.web.house import PASSWORD, House, open_house

ELSEWHERE = {"sec-fetch-site": "cross-site", "origin": "http://oa.example.com"}
MD5 = hashlib.md5(PASSWORD.encode()).hexdigest()
ASP = ("/mail/login.asp", "/login.asp")
BOXES = ("/mail", "/mail/")


async def post(visitor: Visitor, path: str, account: str = LIN, password: str = PASSWORD) -> Answer:
    return await visitor.post(path, {"fm_strAccount": account, "fm_strPassword": password}, **ELSEWHERE)


async def ask(visitor: Visitor, path: str, **query: str) -> Answer:
    return await visitor.get(f"{path}?{urlencode(query)}")


def refused_alike(page: str, account: str) -> str:
    """A refusal's page without the account that it fills in."""
    assert f'value="{account}"' in page
    return page.replace(account, "…")


@pytest.mark.parametrize("path", BOXES)
async def test_the_login_box_opens_the_webmail(visitor: Visitor, path: str) -> None:
    answer = await post(visitor, path)
    assert (answer.status, answer.headers["location"]) == (303, "/mail")
    assert [cookie.partition("=")[0] for cookie in answer.cookies] == ["postroad_session", "postroad_device"]
    assert all("httponly" in cookie.lower() for cookie in answer.cookies)
    assert all("samesite=lax" in cookie.lower() for cookie in answer.cookies)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert await is_signed_in(visitor)


@pytest.mark.parametrize("path", BOXES + ASP)
async def test_a_wrong_password_and_an_unknown_account_look_alike(visitor: Visitor, path: str) -> None:
    known = await post(visitor, path, LIN, "wrong-password-1")
    unknown = await post(visitor, path, "nobody@demo.example", "wrong-password-1")
    assert (known.status, unknown.status) == (401, 401)
    assert refused_alike(known.text, LIN) == refused_alike(unknown.text, "nobody@demo.example")
    assert known.text.count('role="alert"') == 1
    assert "wrong-password-1" not in known.text
    assert not known.cookies and not await is_signed_in(visitor)


async def test_get_of_the_base_is_as_it_was(visitor: Visitor) -> None:
    assert (await visitor.get("/mail")).headers["location"] == "/mail/login"
    await post(visitor, "/mail")
    assert re.match(r"/mail/folder/\d+$", (await visitor.get("/mail")).headers["location"])


GO = [
    ("0", "/mail/summary"),
    ("1", "/mail"),
    ("4", "/mail/compose"),
    ("", "/mail/summary"),
    ("7", "/mail/summary"),
    ("//evil.example", "/mail/summary"),
]


@pytest.mark.parametrize(("go", "page"), GO)
@pytest.mark.parametrize("path", ASP)
async def test_login_asp_goes_to_the_page_asked_for(visitor: Visitor, path: str, go: str, page: str) -> None:
    answer = await ask(visitor, path, acc=LIN, pwd=PASSWORD, go=go)
    assert (answer.status, answer.headers["location"]) == (303, page)
    assert await is_signed_in(visitor)
    other = Visitor(visitor.app)
    answer = await post(other, f"{path}?go={quote(go)}")
    assert (answer.status, answer.headers["location"]) == (303, page)
    assert await is_signed_in(other)


async def test_go_in_the_form_is_read_as_well(visitor: Visitor) -> None:
    fields = {"fm_strAccount": LIN, "fm_strPassword": PASSWORD, "go": "4"}
    assert (await visitor.post("/login.asp", fields)).headers["location"] == "/mail/compose"


@pytest.mark.parametrize("path", ASP)
@pytest.mark.parametrize("digits", [MD5, MD5.upper()])
async def test_the_md5_opens_login_asp_and_no_other_door(house: House, path: str, digits: str) -> None:
    assert (await ask(Visitor(house.app), path, acc=LIN, pwd=digits)).status == 303
    assert (await post(Visitor(house.app), path, LIN, digits)).status == 303
    assert (await post(Visitor(house.app), "/mail", LIN, digits)).status == 401
    assert (await Visitor(house.app).sign_in(LIN, digits)).status == 401


async def test_md5_can_be_switched_off(database: Database, tmp_path: Path) -> None:
    async with open_house(database, tmp_path, beside=doors(database, Oa(md5_login=False))) as house:
        await house.account(LIN)
        assert (await ask(Visitor(house.app), "/login.asp", acc=LIN, pwd=MD5)).status == 401
        assert (await ask(Visitor(house.app), "/login.asp", acc=LIN, pwd=PASSWORD)).status == 303


async def test_a_password_of_32_hex_digits_is_a_password_first(house: House) -> None:
    await house.accounts.set_password(Address.parse(LIN), MD5.upper())
    assert (await ask(Visitor(house.app), "/login.asp", acc=LIN, pwd=MD5.upper())).status == 303
    assert (await ask(Visitor(house.app), "/login.asp", acc=LIN, pwd=MD5)).status == 401


@pytest.mark.parametrize("path", ASP)
async def test_without_parameters_login_asp_is_the_login_page(visitor: Visitor, path: str) -> None:
    answer = await visitor.get(path)
    assert answer.status == 200
    assert 'action="/mail/login"' in answer.text
    assert 'role="alert"' not in answer.text
    assert 'name="next" value="/mail/compose"' in (await visitor.get(f"{path}?go=4")).text
    assert f'value="{LIN}"' in (await ask(visitor, path, acc=LIN)).text
    await post(visitor, "/mail")
    assert (await visitor.get(f"{path}?go=4")).headers["location"] == "/mail/compose"


async def test_text_from_a_gbk_page_is_understood(house: House) -> None:
    await house.accounts.set_password(Address.parse(LIN), "中文口令一二三四")
    for charset in ("utf-8", "gbk"):
        secret = quote("中文口令一二三四", encoding=charset)
        answer = await Visitor(house.app).get(f"/login.asp?acc={LIN}&pwd={secret}")
        assert answer.status == 303, charset
        body = f"fm_strAccount={LIN}&fm_strPassword={secret}".encode()
        head = {"content-type": "application/x-www-form-urlencoded"}
        assert (await Visitor(house.app).request("POST", "/mail", body, head)).status == 303, charset


async def test_names_are_read_in_any_case_as_asp_did(visitor: Visitor) -> None:
    assert (await ask(visitor, "/login.asp", ACC=LIN, Pwd=PASSWORD)).status == 303


async def test_a_session_is_replaced_from_the_oas_own_page(house: House, visitor: Visitor) -> None:
    await house.account("other@demo.example", "Other")
    await post(visitor, "/mail")
    old = dict(visitor.cookies)
    link = "/login.asp?" + urlencode({"acc": "other@demo.example", "pwd": PASSWORD})
    answer = await visitor.get(link, referer="http://oa.example.com/")
    assert answer.status == 303 and visitor.cookies != old
    assert "other@demo.example" in (await visitor.get("/mail/summary")).text
    assert not await is_signed_in(Visitor(house.app, cookies=old))


async def test_a_wrong_password_leaves_the_session_alone(visitor: Visitor) -> None:
    await post(visitor, "/mail")
    assert (await post(visitor, "/mail", LIN, "wrong-password")).status == 401
    assert await is_signed_in(visitor)


async def test_a_locked_account_is_told_so_to_whom_knows_the_password(house: House, visitor: Visitor) -> None:
    await house.accounts.set_disabled(Address.parse(LIN), True)
    assert (await post(visitor, "/mail")).status in (401, 403)
    assert not await is_signed_in(visitor)


async def test_only_get_and_post_are_answered(visitor: Visitor) -> None:
    for method in ("HEAD", "PUT", "DELETE"):
        answer = await visitor.request(method, f"/login.asp?{urlencode({'acc': LIN, 'pwd': PASSWORD})}")
        assert answer.status == 405
        assert not answer.cookies and PASSWORD not in answer.text


async def test_what_is_no_form_is_refused(visitor: Visitor) -> None:
    head = {"content-type": "application/json"}
    assert (await visitor.request("POST", "/login.asp", b"{}", head)).status == 415
    head = {"content-type": "application/x-www-form-urlencoded"}
    assert (await visitor.request("POST", "/mail", b"a=" + b"x" * 20_000, head)).status == 413
    assert (await visitor.request("POST", "/mail", b"a=1&" * 200, head)).status == 400


async def test_signing_in_is_all_that_a_strangers_page_can_do(house: House, visitor: Visitor) -> None:
    await post(visitor, "/mail")
    for path in ("/mail/compose/send", "/mail/actions", "/mail/password", "/mail/logout"):
        stranger = Visitor(house.app, cookies=dict(visitor.cookies))
        answer = await stranger.post(path, {"fm_strAccount": LIN, "to": LIN}, **ELSEWHERE)
        assert answer.status == 403, path
    assert await is_signed_in(visitor)


async def test_a_client_that_guesses_at_many_accounts_is_stopped_at_every_door(house: House) -> None:
    guesser = Visitor(house.app, client="203.0.113.9")
    for number in range(25):
        account = f"name{number}@demo.example"
        assert (await post(guesser, "/mail", account, "guess-1")).status == 401
        assert (await ask(guesser, "/login.asp", acc=account, pwd="guess-2")).status == 401
        link = f"/jdwm/cgi/login.cgi?login+{account}+guess-3+0"
        assert (await guesser.get(link)).status == 401
        answer = await ask(guesser, "/password.asp", acc=account, pwd="new-password-1", old="guess-4")
        assert answer.status == 401
    answer = await post(guesser, "/mail")
    assert answer.status == 429 and int(answer.headers["retry-after"]) > 0
    assert (await post(Visitor(house.app), "/mail")).status == 303


@pytest.mark.parametrize("path", ["/mail/LOGIN.ASP", "/Mail/Login.asp", "/LOGIN.ASP", "/MAIL", "/Mail/"])
@pytest.mark.parametrize("names", [("FM_STRACCOUNT", "FM_STRPASSWORD"), ("fm_straccount", "Fm_StrPassword")])
async def test_servers_of_old_know_no_case(visitor: Visitor, path: str, names: tuple[str, str]) -> None:
    answer = await visitor.post(path, {names[0]: LIN, names[1]: PASSWORD}, **ELSEWHERE)
    assert answer.status == 303
    assert await is_signed_in(visitor)


@pytest.mark.parametrize("names", [("ACC", "PWD", "GO"), ("Acc", "pWd", "gO")])
async def test_parameters_of_a_link_know_no_case(visitor: Visitor, names: tuple[str, str, str]) -> None:
    answer = await ask(visitor, "/mail/LOGIN.ASP", **dict(zip(names, (LIN, PASSWORD, "4"), strict=True)))
    assert (answer.status, answer.headers["location"]) == (303, "/mail/compose")
