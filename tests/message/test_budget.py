"""What a stranger's mail may cost to read: counted, so that the counts hold on any machine."""

from __future__ import annotations

import charset_normalizer
import pytest

from postroad.message import charsets
from postroad.message.budget import MAX_GUESSES, MAX_WORDS, Budget
from postroad.message.headers import decode_words, lenient_base64, mailboxes
from postroad.message.summary import summarise
from postroad.message.text import MAX_TEXT, html_body, readable_text, text_body
from tests.faults.bombs import BOMBS, HEAD, mixed


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the samples that were weighed statistically."""
    seen: list[int] = []
    weigh = charset_normalizer.from_bytes

    def counted(data: bytes) -> object:
        seen.append(len(data))
        return weigh(data)

    monkeypatch.setattr(charsets, "from_bytes", counted)
    return seen


RUSSIAN = "Приглашаем вас на встречу в понедельник, в десять часов утра\r\n".encode("cp1251")


@pytest.mark.parametrize("name", ["words-and-descriptions", "raw-names-in-200-parts", "from-of-words"])
def test_words_and_names_are_never_guessed_from_statistics(name: str, guesses: list[int]) -> None:
    summarise(BOMBS[name](100_000))
    assert guesses == []


def test_a_mail_has_one_guess_on_a_small_sample_however_many_bodies_it_has(guesses: list[int]) -> None:
    part = b"Content-Type: text/plain; charset=x-unknown\r\n\r\n" + RUSSIAN * 100
    content = mixed([part] * 40)
    root = summarise(content).structure
    guesses.clear()
    assert (readable_text(content, root, 1_000_000) or "").startswith("Приглашаем")
    assert len(guesses) == MAX_GUESSES
    assert max(guesses) <= charsets.MAX_GUESSED


def test_encoded_words_are_counted_over_the_whole_mail() -> None:
    budget = Budget()
    text = " ".join(["=?utf-8?b?5p2O?="] * 2_000)
    decoded = [decode_words(text, budget) for _ in range(4)]
    assert sum(one.count("李") for one in decoded) == MAX_WORDS
    assert decoded[3] == text  # shown as it came
    content = b"Subject: x\r\nTo: " + b", ".join(
        b"=?utf-8?b?5p2O?= <a%d@b.example>" % number for number in range(1_500)
    )
    assert all(one.name == "李" for one in summarise(content + b"\r\n\r\n").to)


def test_names_in_all_lists_share_the_budget() -> None:
    items = summarise(b"To: " + b"=?utf-8?b?5p2O?= " * 3_000 + b"<a@b.example>\r\n\r\n").envelope.to
    budget = Budget()
    mailboxes(items, budget)
    assert budget.words < MAX_WORDS - 2_000


def test_texts_of_a_mail_are_read_up_to_a_limit_in_all() -> None:
    part = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + b"word " * 60_000
    content = mixed([part] * 20)
    root = summarise(content).structure
    assert len(text_body(content, root) or "") <= MAX_TEXT + 50
    html = content.replace(b"text/plain", b"text/html")
    assert len(html_body(html, summarise(html).structure) or "") <= MAX_TEXT + 500


def test_padding_without_end_is_no_bomb() -> None:
    assert lenient_base64(b"QQ==" * 3) == b"AAA"
    assert len(lenient_base64(b"=A" * 1_000_000)) < 1_000_000
    assert lenient_base64(b"QUJD!REVG\r\nR0g") == b"ABCDEFGH"


def test_a_thousand_fields_of_one_name_are_not_joined_without_end() -> None:
    content = b"".join(b"To: a%d@b.example\r\n" % number for number in range(5_000)) + HEAD + b"\r\n"
    assert 500 < len(summarise(content).to) < 2_000
