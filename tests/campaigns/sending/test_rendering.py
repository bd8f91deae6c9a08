"""A recipient's mail: whatever people and templates hold, it is one well-formed mail with one recipient."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.results.verp import Verp
from postroad.campaigns.sending.rendering import Recipe, Sender, TemplateText, prepare, render, version_of
from postroad.campaigns.sending.verdicts import Known
from postroad.campaigns.tracking.tokens import Tokens
from postroad.campaigns.tracking.urls import Urls
from postroad.message.address import Address
from postroad.transport.delivery.source import Loaded

KEY = b"k" * 32
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def recipe(
    html: str = "<p>Dear {{ name|default('reader') }}</p>",
    *,
    subjects: tuple[str, ...] = ("Hello {{ name }}",),
    plain: str = "",
    encoding: str = "base64",
    clicks: bool = False,
    has_unsubscribe: bool = True,
) -> Recipe:
    stored = TemplateText(subjects, html, plain, encoding, ())
    marked, text = prepare(stored, opens=clicks, clicks=clicks, has_unsubscribe=has_unsubscribe)
    version = version_of(marked, text, list(range(1, len(marked.links) + 1)))
    return Recipe(
        run_id=500000001,
        email_base=1000,
        versions=(version,),
        senders=(Sender(Address.parse("news@shop.example"), (), "shop.example"),),
        sender_name='The "News"\r\nBcc: evil@x.example',
        reply_to="",
        list_label="abc",
        feedback_id="a:b:bulk:d",
        urls=Urls(Tokens(KEY), "https://news.example"),
        verp=Verp(KEY),
        id_key=KEY,
    )


def made(recipe: Recipe, person: Person, number: int = 1) -> EmailMessage:
    loaded = render(recipe, number, person, Address.parse(person.address), NOW)
    assert isinstance(loaded, Loaded), loaded
    content = b"".join(loaded.pieces)
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r"), "line ends are CRLF"
    assert max(map(len, content.split(b"\r\n"))) <= 998
    return message_from_bytes(content, policy=policy.default)


def text_of(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


FIELDS = (
    *("To", "From", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "List-ID"),
    *("Feedback-ID", "Precedence", "MIME-Version", "Content-Type"),
)
LETTER = recipe("<p>{{ name }} {{ var1 }} {{ area }}</p>", subjects=("{{ name }} {{ var1 }}",))
QUOTED = recipe("<p>{{ name }} {{ var1 }} {{ area }}</p>", encoding="quoted-printable")


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=60))
def test_no_value_opens_a_field_or_breaks_the_mail(name: str, variable: str, area: str) -> None:
    """Whatever a contact is called, the header has the fields that it has, each once."""
    person = Person("li@there.example", name, area=area, variables=(variable,))
    for each in (LETTER, QUOTED):
        mail = made(each, person)
        assert tuple(mail.keys()) == FIELDS
        assert mail["To"].addresses[0].addr_spec == "li@there.example" and len(mail["To"].addresses) == 1
        assert "<script" not in text_of(mail, "html").lower()


@given(st.text(alphabet="ab é中\n\r\t =.<>", max_size=400), st.sampled_from(["base64", "quoted-printable"]))
def test_the_text_comes_through_its_encoding(words: str, encoding: str) -> None:
    mail = made(
        recipe("<p>{{ var1 }}</p>", plain="{{ var1 }}", encoding=encoding, has_unsubscribe=False),
        Person("li@there.example", variables=(words,)),
    )
    wanted = re.sub("\r\n|\r", "\n", words).rstrip("\n")
    assert text_of(mail, "plain").replace("\r\n", "\n").rstrip("\n") == wanted


def test_missing_values_are_empty() -> None:
    mail = made(
        recipe("<p>Dear {{ name|default('reader') }}{{ var9 }}{{ nobody.knows }}</p>"), Person("a@b.example")
    )
    assert "<p>Dear reader</p>" in text_of(mail, "html")
    assert mail["Subject"] == "Hello"


def test_the_way_out_is_in_the_text_when_asked_for() -> None:
    person = Person("a@b.example")
    asked = made(recipe("<html><body><p>你好</p></body></html>"), person)
    html = text_of(asked, "html")
    assert ">退订</a></p></body>" in html and "/t/u/" in text_of(asked, "plain")
    [own] = re.findall(r"https://news\.example/t/u/[\w-]+", html)
    assert own in asked["List-Unsubscribe"]
    without = made(recipe("<p>hello</p>", has_unsubscribe=False), person)
    assert "/t/u/" not in text_of(without, "html") and "/t/u/" in without["List-Unsubscribe"]
    has_one = made(recipe('<p>hello</p><a href="{{ unsubscribe_url }}">leave</a>'), person)
    assert text_of(has_one, "html").count("/t/u/") == 1


def test_a_mail_that_is_rendered_again_is_the_same_mail() -> None:
    person = Person("a@b.example", "Li")
    letter = recipe('<a href="https://x.example/?{{ var1 }}">x</a>', clicks=True)
    assert made(letter, person).as_bytes() == made(letter, person).as_bytes()
    assert made(letter, person, 1)["Message-ID"] != made(letter, person, 2)["Message-ID"]


def test_an_address_beyond_ascii_asks_for_smtputf8() -> None:
    loaded = render(LETTER, 1, Person("李@there.example"), Address("李", "there.example"), NOW)
    assert isinstance(loaded, Loaded) and loaded.is_smtputf8


@pytest.mark.parametrize("address", [Address("a b", "there.example"), Address("x" * 65, "there.example")])
def test_what_is_no_address_is_its_recipients_failure(address: Address) -> None:
    answer = render(LETTER, 1, Person(str(address)), address, NOW)
    assert isinstance(answer, Known) and answer.failure == 9


def test_endless_work_is_its_recipients_failure() -> None:
    loop = "{% for a in range(999) %}{% for b in range(999) %}{{ b }}{% endfor %}{% endfor %}"
    letter = recipe("<p>hello{% if var1 == 'x' %}" + loop + "{% endif %}</p>")
    assert isinstance(render(letter, 1, Person("a@b.example"), Address("a", "b.example"), NOW), Loaded)
    answer = render(letter, 1, Person("a@b.example", variables=("x",)), Address("a", "b.example"), NOW)
    assert isinstance(answer, Known) and answer.failure == 5
