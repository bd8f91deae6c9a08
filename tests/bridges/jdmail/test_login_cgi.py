"""`login.cgi` in both forms: plain, percent-encoded, bare hexadecimal; wrong and malformed."""

from __future__ import annotations

from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.bridges.jdmail.login_cgi import Malformed, SignOnLink, read_link
from postroad.message.address import Address
from tests.bridges.conftest import LIN, is_signed_in
from tests.web.client import Answer, Visitor
from tests.web.house import PASSWORD, House

TO = "wang@x.example"
CGI = "/jdwm/cgi/login.cgi?"


def percent(text: str) -> str:
    """Every character as `%xx`, as the document advises."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def bare(text: str) -> str:
    return text.encode().hex()


def as_it_is(text: str) -> str:
    return quote(text, safe="@")


WAYS = [as_it_is, percent, bare, lambda text: bare(text).upper(), lambda text: percent(text).upper()]
NAMES = ["plain", "percent", "bare", "bare upper", "percent upper"]


async def follow(visitor: Visitor, query: str) -> Answer:
    answer = await visitor.get(CGI + query)
    assert PASSWORD not in answer.text and bare(PASSWORD) not in answer.text
    assert not any(PASSWORD in value for value in answer.headers.values())
    return answer


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_both_forms_in_every_spelling(house: House, way: type[str]) -> None:
    visitor = Visitor(house.app)
    answer = await follow(visitor, f"login+{way(LIN)}+{way(PASSWORD)}+0")
    assert (answer.status, answer.headers["location"]) == (303, "/mail")
    assert await is_signed_in(visitor)
    visitor = Visitor(house.app)
    answer = await follow(visitor, f"login+{way(LIN)}+{way(PASSWORD)}+{way(TO)}+0")
    assert (answer.status, answer.headers["location"]) == (303, "/mail/compose?to=wang%40x.example")
    page = await visitor.get(answer.headers["location"])
    assert f'name="to" value="{TO}"' in page.text


@pytest.mark.parametrize(
    "password", ["a+b c%d&e=f?#", "中文口令一二三四", "4142434445464748", "100% %41 %zz"]
)
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
async def test_passwords_of_any_kind(house: House, way: type[str], password: str) -> None:
    await house.accounts.set_password(Address.parse(LIN), password)
    visitor = Visitor(house.app)
    assert (await visitor.get(f"{CGI}login+{way(LIN)}+{way(password)}+0")).status == 303


async def test_text_in_gbk_is_understood(house: House) -> None:
    await house.accounts.set_password(Address.parse(LIN), "中文口令一二三四")
    raw = "中文口令一二三四".encode("gbk")
    assert (await Visitor(house.app).get(f"{CGI}login+{LIN}+{quote_from_bytes(raw)}+0")).status == 303
    assert (await Visitor(house.app).get(f"{CGI}login+{bare(LIN)}+{raw.hex()}+0")).status == 303


WRONG = [(LIN, "wrong-password"), ("nobody@demo.example", PASSWORD)]


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@pytest.mark.parametrize(("account", "password"), WRONG)
async def test_wrong_ones_get_the_login_page(
    visitor: Visitor, way: type[str], account: str, password: str
) -> None:
    answer = await visitor.get(f"{CGI}login+{way(account)}+{way(password)}+{way(TO)}+0")
    assert answer.status == 401
    assert 'role="alert"' in answer.text and 'action="/mail/login"' in answer.text
    assert password not in answer.text and way(password) not in answer.text
    assert 'name="next" value="/mail/compose?to=wang%40x.example"' in answer.text
    assert not await is_signed_in(visitor)


MALFORMED = [
    *("", "login", "login+a@b.example", f"login+{LIN}+{PASSWORD}", f"login+{LIN}+{PASSWORD}+1"),
    *(f"logout+{LIN}+x+0", f"login+{LIN}+x+{TO}+y+0", f"login+{LIN}++0", "login++x+0"),
    *(f"login+{LIN}+100%+0", f"login+{LIN}+%zz+0", "login+%4+x+0", f"login+{LIN}+{'x' * 20_000}+0"),
    *(f"login+{bare(LIN)}+{PASSWORD.replace(' ', '')}+0", f"login+{bare(LIN)}+{bare(PASSWORD)}+{TO}+0"),
    f"account={LIN}&password=x",
]


@pytest.mark.parametrize("query", MALFORMED, ids=lambda query: query[:40])
async def test_malformed_ones_are_told_so(visitor: Visitor, query: str) -> None:
    answer = await visitor.get(CGI + query.replace(" ", "%20"))
    assert answer.status == 400
    assert "cannot be understood" in answer.text
    assert LIN not in answer.text and "correct" not in answer.text


async def test_only_get_is_answered(visitor: Visitor) -> None:
    for method in ("HEAD", "POST"):
        assert (await visitor.request(method, f"{CGI}login+{LIN}+{quote(PASSWORD)}+0")).status == 405


async def test_too_many_tries_are_told_with_the_time_to_wait(visitor: Visitor) -> None:
    for number in range(5):
        assert (await visitor.get(f"{CGI}login+{LIN}+wrong{number}+0")).status == 401
    answer = await visitor.get(f"{CGI}login+{LIN}+{quote(PASSWORD)}+0")
    assert answer.status == 429 and int(answer.headers["retry-after"]) > 0


def test_the_documents_own_links_are_read() -> None:
    own = SignOnLink("test@mailer.com.cn", "123456", None)
    assert read_link(b"login+test@mailer.com.cn+123456+0") == own
    to_self = SignOnLink("test@mailer.com.cn", "123456", "test@mailer.com.cn")
    assert read_link(b"login+test@mailer.com.cn+123456+test@mailer.com.cn+0") == to_self
    # Printed over two lines: who copies both lines gets a line end inside, which browsers drop or encode.
    assert read_link(b"login+test@mailer.com.cn+123456+%0Atest@mailer.com.cn+0") == to_self


@given(st.binary(max_size=200))
def test_nothing_breaks_the_reading(query: bytes) -> None:
    try:
        link = read_link(query)
    except Malformed:
        return
    assert link.account and link.password


@given(
    account=st.from_regex(r"[a-z][a-z0-9.]{0,8}[a-z]@[a-z]{2,8}\.example", fullmatch=True).filter(
        lambda text: ".." not in text
    ),
    password=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    recipient=st.none() | st.just(TO) | st.just(""),
    way=st.sampled_from([as_it_is, percent, bare]),
)
def test_what_was_written_is_read(account: str, password: str, recipient: str | None, way: type[str]) -> None:
    words = ["login", way(account), way(password), *([] if recipient is None else [way(recipient)]), "0"]
    assert read_link("+".join(words).encode()) == SignOnLink(account, password, recipient)


@pytest.mark.parametrize("address", ["/JDWM/CGI/LOGIN.CGI?", "/jdwm/cgi/Login.cgi?"])
async def test_the_address_is_found_in_any_case(house: House, address: str) -> None:
    visitor = Visitor(house.app)
    answer = await visitor.get(f"{address}LOGIN+{LIN}+{quote(PASSWORD)}+0")
    assert (answer.status, answer.headers["location"]) == (303, "/mail")
    assert await is_signed_in(visitor)
