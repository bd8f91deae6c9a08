"""Hostile HTML is brought into bounds; usual HTML passes unchanged."""

from __future__ import annotations

import nh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.html_bounds import (
    MAX_ATTRIBUTES,
    MAX_FORMATTING,
    MAX_HTML,
    MAX_OPEN,
    MAX_REFERENCES,
    MAX_TAGS,
    _Bounds,
    bounded_html,
)
from postroad.message.html_text import html_to_text
from tests.message.mails import newsletter

SIZE = 400_000


def filled(text: str) -> str:
    return text * (SIZE // len(text))


HOSTILE = {
    "nested-blocks": filled("<div>"),
    "nested-tables": filled("<table><tr><td>"),
    "scoped-closings": filled("<div><table><td></div>"),
    "open-formatting": "".join(f"<font a={n}>" for n in range(3_000)) + filled("<p>x"),
    "misnested": filled("<b><p></b>"),
    "many-attributes": "<a " + " ".join(f"a{n:x}" for n in range(70_000)) + ">",
    "quoted-ends": "<a " + "".join(f'a{n:x}=">"' for n in range(50_000)) + ">",
    "hidden-in-title": "<title><a x='</title>" + "<a " + " ".join(f"a{n:x}" for n in range(60_000)) + ">",
    "hidden-in-comment": "<!-- <a x=' --!>" + "<a " + " ".join(f"a{n:x}" for n in range(60_000)) + ">",
    "ampersands": filled("&"),
    "less-than": filled("<"),
    "comments": filled("<!--"),
    "foster-parents": "<table>" + filled("<p>x"),
    "foreign": filled("<svg><g>"),
    "endless-attribute": '<a href="' + filled("x"),
    "endless-title": filled("<title>"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_documents_shrink_to_what_parsers_take_in_their_stride(name: str) -> None:
    bounded = bounded_html(HOSTILE[name])
    assert bounded.count("&") <= MAX_REFERENCES
    assert name != "nested-blocks" or bounded.count("<div") <= MAX_OPEN
    assert bounded.count("<font") <= MAX_FORMATTING
    assert len(bounded) <= MAX_HTML
    assert bounded.count("a1f4") <= MAX_ATTRIBUTES
    nh3.clean(bounded)
    html_to_text(HOSTILE[name])


def test_a_long_newsletter_reads_the_same_afterwards() -> None:
    html = newsletter(200)
    assert len(html) > 50_000
    body = html[html.index("<body") :]
    assert (
        html_to_text(_Bounds(body).rewritten())
        == html_to_text(body[:15_000]) + html_to_text(body)[len(html_to_text(body[:15_000])) :]
    )
    assert nh3.clean(bounded_html(body)) == nh3.clean(body)


def test_small_documents_are_not_touched() -> None:
    html = newsletter(20)
    assert bounded_html(html) == html


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a<!-- x -->b", "a<wbr>b"),
        ("a<!-->b", "a<wbr>b"),
        ("a<!-- x --!>b", "a<wbr>b"),
        ("<<!-- -->script>x", "<<wbr>script>x"),
        ("<scr<!-- -->ipt>", "<scr<!-- -->ipt>"),  # one tag with an odd name, to every parser
        ("<title><b></title>c", "<wbr>c"),
        ("<TITLE><b></tItLe >c", "<wbr>c"),
        ("<script>if (a<b) '</scriptx>'</script\n>c", "<wbr>c"),
        ("<svg><path/></svg>", "<wbr><path/><wbr>"),
        ("<?php x ?>y</>z</ 1>", "<wbr>y<wbr>z<wbr>"),
        ('<a title=">" b>x', '<a title=">" b>x'),
        ('<a b="', "<wbr>"),
        ("1 < 2 & 3", "1 < 2 & 3"),
        ("<p", "<wbr>"),
    ],
)
def test_what_is_taken_out(html: str, expected: str) -> None:
    assert _Bounds(html).rewritten() == expected


@given(st.text(st.sampled_from("<>/!-'\"= abptitlescriptsvg&;"), max_size=300))
def test_the_result_is_stable(html: str) -> None:
    """What passed once passes again: nothing that was taken out left the pieces of something new."""
    once = _Bounds(html).rewritten()
    assert _Bounds(once).rewritten() == once


def test_tags_are_bounded_in_number() -> None:
    assert _Bounds("<br>" * (MAX_TAGS + 500)).rewritten().count("<br>") == MAX_TAGS
