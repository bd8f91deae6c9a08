"""Marks in templates: what is counted, what is left alone, and that nothing else changes."""

from __future__ import annotations

import html as html_of
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from postroad.campaigns.templates.language import compile_template
from postroad.campaigns.tracking.marking import MAX_LINKS, mark
from postroad.campaigns.tracking.tokens import Kind, Tokens
from postroad.campaigns.tracking.urls import Urls

TOKENS = Tokens(b"k" * 32)
URLS = Urls(TOKENS, "https://t.example")
RUN, EMAIL = 500_000_001, 4711


def rendered(source: str, person: dict[str, str] | None = None, **choice: bool) -> str:
    person = person or {}
    marked = mark(source, **choice)
    ids = list(range(100, 100 + len(marked.links)))
    values = marked.values(URLS, RUN, EMAIL, ids, person)
    return compile_template(marked.html, "html").render({**person, **values})


def hrefs(text: str) -> list[str]:
    return [node.attributes.get("href") or "" for node in LexborHTMLParser(text).css("a, area")]


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ('<a href="https://a.example/x">', "https://a.example/x"),
        ("<A class=b HREF = 'HTTP://a.example'>", "HTTP://a.example"),
        ("<a href=https://a.example/x>", "https://a.example/x"),
        ('<a href="https://a.example/?a=1&amp;b=2&copy=3">', "https://a.example/?a=1&b=2&copy=3"),
        ('<a href=" https://a.example/\n x ">', "https://a.example/ x"),
        ('<a title="a > b" href="https://a.example">', "https://a.example"),
        ("<a title=it's href='https://a.example'>", "https://a.example"),
        ('<area shape=rect href="https://a.example">', "https://a.example"),
        ('<!--[if mso]><v:rect href="https://a.example"></v:rect><![endif]-->', "https://a.example"),
        ('<!--[if !mso]><!--><a href="https://a.example"><!--<![endif]-->', "https://a.example"),
        ('<a {% if name %}class="x"{% endif %} href="https://a.example">', "https://a.example"),
        ('<a href="https://a.example/中文">', "https://a.example/中文"),
    ],
)
def test_links_to_the_web_are_counted(source: str, url: str) -> None:
    marked = mark(source)
    assert [link.url for link in marked.links] == [url]
    assert '"{{ link_1 }}"' in marked.html


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:a@b.example">',
        '<a href="#below">',
        '<a href="tel:123">',
        '<a href="/relative">',
        '<a href="{{ unsubscribe_url }}">',
        '<a href="{{ preferences_url }}?x={{ name }}">',
        '<a href="{{ web_url }}">',
        '<a href="javascript:x">',
        '<a name="https://a.example">',
        '<link href="https://a.example/style.css">',
        '<img src="https://a.example/picture.png">',
        '<!-- <a href="https://a.example"> -->',
        '<title><a href="https://a.example"></title>',
        '<style>a { content: "<a href=https://a.example>" }</style>',
        '{% raw %}<a href="https://a.example">{% endraw %}',
        '{## <a href="https://a.example"> ##}',
        '{% for each in var1 %}<a href="https://a.example/{{ each }}">{% endfor %}',
        '{% set name = "x" %}<a href="https://a.example/{{ name }}">',
        '<a href="https://a.example/{{ nothing_we_know }}">',
        '<a data-href="https://a.example">',
        '<a href="https://a.example',
    ],
)
def test_all_else_is_left_as_it_is(source: str) -> None:
    marked = mark(source, opens=False)
    assert marked.html == source
    assert marked.links == ()


def test_one_target_is_one_link() -> None:
    marked = mark("<a href=\"https://a.example\">1</a><a href='https://a.example'>2</a>")
    assert len(marked.links) == 1
    assert marked.html.count("{{ link_1 }}") == 2


def test_a_link_says_for_whom_it_is_and_where_a_contacts_values_lead() -> None:
    text = rendered(
        '<a href="https://a.example/{{ var1|default("none") }}?n={{ name }}&amp;x=1">a</a>'
        '<a href="{{ var2 }}">b</a><a href="{{ var3 }}">c</a>',
        {"name": "李 & Söhne", "var2": "mailto:x@y.example", "var3": "https://c.example"},
    )
    first, second, third = hrefs(text)
    token = TOKENS.read(first.removeprefix("https://t.example/t/c/"))
    assert token is not None
    assert (token.kind, token.run_id, token.email_id, token.link_id) == (Kind.LINK, RUN, EMAIL, 100)
    assert token.target == "https://a.example/none?n=李 & Söhne&x=1"
    assert second == "mailto:x@y.example"
    token = TOKENS.read(third.removeprefix("https://t.example/t/c/"))
    assert token is not None
    assert (token.link_id, token.target) == (102, "https://c.example")


def test_a_value_cannot_leave_its_href() -> None:
    text = rendered('<a href="{{ var1 }}">a</a>', {"var1": '"><script>alert(1)</script>'})
    assert "<script>" not in text
    assert hrefs(text) == ['"><script>alert(1)</script>']


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("<body><p>x</p></body></html>", "<p>x</p><img"),
        ("<p>x</p>", "<p>x</p><img"),
        ("<BODY>x</BODY >", "x<img"),
        ("<body>a</body>b</body>c", "b<img"),
        ("<body>x<!-- </body> --></body>", "--><img"),
    ],
)
def test_the_pixel_stands_before_the_end_of_the_body(source: str, place: str) -> None:
    text = rendered(source)
    assert place in text
    assert text.count("https://t.example/t/o/") == 1


def test_only_what_was_asked_for() -> None:
    source = '<body><a href="https://a.example">x</a></body>'
    assert rendered(source, opens=False, clicks=False) == source
    assert "/t/c/" not in rendered(source, clicks=False)
    assert "/t/o/" not in rendered(source, opens=False)


def test_links_are_bounded() -> None:
    marked = mark("".join(f'<a href="https://a.example/{at}">' for at in range(MAX_LINKS + 5)))
    assert len(marked.links) == MAX_LINKS
    assert f"https://a.example/{MAX_LINKS + 4}" in marked.html


PIECES = st.sampled_from(
    [
        '<a href="https://a.example/{{ name }}">',
        "<a href='https://b.example'>",
        '<a href="mailto:x">',
        "</a>",
        "<!--",
        "-->",
        "<p title='",
        '"',
        ">",
        "</body>",
        "{{ name }}",
        "{% if name %}x{% endif %}",
        "<style>",
        "</style>",
        "text 文",
        " ",
        "<",
        "<a",
        "href=",
        "http://c.example",
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_taking_the_marks_out_gives_back_what_was_there(source: str) -> None:
    marked = mark(source, opens=False)
    urls = {link.name: link.url for link in marked.links}
    back = re.sub(r'"\{\{ (link_\d+) \}\}"', lambda match: f"<{urls[match[1]]}>", marked.html)
    for url in urls.values():
        for form in (f'"{url}"', f"'{url}'", url):
            source = source.replace(f"href={form}", f"href=<{url}>")
    for url in urls.values():  # those in comments and style sheets were left alone
        for form in (f'"{url}"', f"'{url}'"):
            back = back.replace(f"href={form}", f"href=<{url}>")
    assert html_of.unescape(back) == html_of.unescape(source)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_what_compiled_still_compiles(source: str) -> None:
    compile_template(mark(source).html, "html").render({})
