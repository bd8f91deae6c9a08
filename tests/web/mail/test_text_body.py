"""Plain text as markup: nothing of the mail becomes an element."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from postroad.message.budget import MAX_CHARACTERS, MAX_LINES, MAX_LINKS, Budget
from postroad.web.mail import text_body
from postroad.web.mail.text_body import cut, unflowed


def text_markup(text: str, label: str) -> str:
    """The markup of a text that has the page for itself."""
    budget = Budget()
    return text_body.text_markup(cut(text, budget)[0], label, budget)


_OURS = re.compile(
    r'</?(?:details|summary|blockquote|span|a)(?: class="(?:quoted|signature)"| href="[^"<>]*"'
    r'| target="_blank"| rel="noopener noreferrer nofollow")*>'
)
_pieces = st.sampled_from(
    [
        "<",
        ">",
        "&",
        '"',
        "'",
        "https://",
        "www.",
        "a@b.example",
        "-- ",
        "\n",
        "> ",
        " ",
        "x",
        "。",
        "javascript:",
        ")",
    ]
)


@given(st.lists(st.one_of(_pieces, st.text(max_size=5)), max_size=60).map("".join))
def test_only_elements_of_ours_and_every_word_is_still_there(text: str) -> None:
    markup = str(text_markup(text, "Quoted"))
    bare = _OURS.sub("", markup)
    assert "<" not in bare
    assert all(re.match(r"https?://|/mail/compose\?", href) for href in re.findall(r'href="([^"]*)"', markup))
    words = "".join(html.unescape(bare).replace("Quoted", "").split())
    expected = "".join("".join(re.sub(r"^>", "", line) for line in text.rstrip().split("\n")).split())
    assert words == expected


def test_links_end_where_the_sentence_does() -> None:
    markup = str(text_markup("见 https://a.example/b?c=d。 (www.b.example) mail x.y@c.example.", ""))
    assert 'href="https://a.example/b?c=d"' in markup
    assert 'href="http://www.b.example"' in markup
    assert 'href="/mail/compose?to=x.y%40c.example"' in markup


def test_long_quotes_are_folded_and_short_ones_stay_open() -> None:
    assert "<details" not in text_markup("> a\n> b", "Quoted")
    assert "<details" in text_markup("x\n> a\n> b\n> c\n> d", "Quoted")


def test_a_huge_text_is_cut_and_a_sea_of_links_is_bounded() -> None:
    assert len(text_markup("x" * 2_000_000, "")) == MAX_CHARACTERS
    assert text_markup("https://a.example " * 5000, "").count("<a ") == MAX_LINKS


@given(st.text(alphabet="a\n ", max_size=60), st.integers(0, 40), st.integers(1, 8))
def test_a_text_is_cut_at_its_budget_and_says_so(text: str, characters: int, lines: int) -> None:
    budget = Budget()
    budget.characters, budget.lines = characters, lines
    shown, is_whole = cut(text, budget)
    assert text.startswith(shown)
    assert is_whole == (shown == text.rstrip())
    assert len(shown) <= characters
    assert shown.count("\n") < lines
    assert budget.characters == characters - len(shown)
    assert budget.lines == lines - shown.count("\n") - 1


def test_all_texts_of_a_page_have_one_budget() -> None:
    budget = Budget()
    whole = [cut("a\n" * (MAX_LINES // 2 - 5), budget)[1] for _ in range(4)]
    assert whole == [True, True, False, False]


def test_marks_behind_a_link_are_no_part_of_it() -> None:
    assert 'href="https://a.example/b_(c)"' in text_markup("(https://a.example/b_(c)), and", "")
    assert 'href="http://www.a"' in text_markup("www.a" + ")" * 1_900, "")


def test_flowed_lines_are_joined_and_fixed_ones_stay() -> None:
    assert unflowed("one \ntwo \nthree\nfour") == "one two three\nfour"
    assert unflowed("中文 \n段落", deletes_space=True) == "中文段落"
    assert unflowed("> a \n> b\n>> c") == "> a b\n>> c"
    assert unflowed("text \n-- \nname") == "text \n-- \nname"
    assert unflowed(" From here") == "From here"


@given(st.text(alphabet="ab >-\n", max_size=80))
def test_unflowing_loses_no_word(text: str) -> None:
    assert "".join(unflowed(text).replace(">", "").split()) == "".join(text.replace(">", "").split())
