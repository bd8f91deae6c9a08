"""Plain text as markup: nothing of the mail becomes an element."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from postroad.web.mail.text_body import text_markup, unflowed

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
    assert len(text_markup("x" * 2_000_000, "")) == 500_000
    assert text_markup("https://a.example " * 5000, "").count("<a ") == 2000


def test_flowed_lines_are_joined_and_fixed_ones_stay() -> None:
    assert unflowed("one \ntwo \nthree\nfour") == "one two three\nfour"
    assert unflowed("中文 \n段落", deletes_space=True) == "中文段落"
    assert unflowed("> a \n> b\n>> c") == "> a b\n>> c"
    assert unflowed("text \n-- \nname") == "text \n-- \nname"
    assert unflowed(" From here") == "From here"


@given(st.text(alphabet="ab >-\n", max_size=80))
def test_unflowing_loses_no_word(text: str) -> None:
    assert "".join(unflowed(text).replace(">", "").split()) == "".join(text.replace(">", "").split())
