"""CSS of strangers: what newsletters need stays, what attacks need goes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.css import MAX_RULES, StyleFilter


def no_pictures(url: str) -> str | None:
    return None


def declarations(style: str) -> str:
    return StyleFilter(no_pictures).declarations(style)


def sheet(css: str) -> str:
    return StyleFilter(no_pictures).sheet(css, ".x_mail", "x_")


@pytest.mark.parametrize(
    ("style", "kept"),
    [
        ("color:red", "color:red"),
        ("COLOR : Red ; ", "color:Red"),
        ("color:#12345678;width:600px !important", "color:#12345678;width:600px!important"),
        (
            "font-family:'Microsoft YaHei', Arial, sans-serif",
            "font-family:'Microsoft YaHei', Arial, sans-serif",
        ),
        (r"font-family:\5b8b\4f53,\65B0\7EC6\660E\4F53", "font-family:宋体,新细明体"),
        ("font-family:微软雅黑", "font-family:微软雅黑"),
        ("color:rgba(1, 2, 3, .5)", "color:rgba(1, 2, 3, .5)"),
        ("width:calc(100% - (2 * 10px))", "width:calc(100% - (2 * 10px))"),
        (
            "background:linear-gradient(90deg, rgb(1,2,3) 0%, #fff 100%)",
            "background:linear-gradient(90deg, rgb(1,2,3) 0%, #fff 100%)",
        ),
        ("color:red;;;margin:0 auto", "color:red;margin:0 auto"),
        ("color:/* x */red", "color:red"),
        ("display:none;max-height:0", "display:none;max-height:0"),
        ("padding:5px;broken;color:red", "padding:5px;color:red"),
        ("color:'unclosed;width:1px", "width:1px"),
        ("margin:-20px 0", "margin:-20px 0"),
        # What attacks need
        ("position:fixed;top:0;left:0;z-index:999", ""),
        ("position:absolute", ""),
        ("width:expression(alert(1))", ""),
        (r"width:e\78pression(alert(1))", ""),
        (r"wid\74h:100px", "width:100px"),
        (r"p\6fsition:fixed", ""),
        ("-moz-binding:url(https://e.com/x)", ""),
        ("behavior:url(x.htc)", ""),
        ("background:url(javascript:alert(1))", ""),
        ("background:url(https://e.com/x.png)", ""),
        ("background:red url(https://e.com/x.png)", "background:red"),
        (r"background:ur\6c(https://e.com/x.png)", ""),
        (r"background:u\rl(https://e.com/x.png)", ""),
        ("background:u/**/rl(https://e.com/x.png)", ""),
        ("background:image-set('https://e.com/x.png' 1x)", ""),
        ("list-style-image:url(https://e.com/x)", ""),
        ("cursor:url(https://e.com/x)", ""),
        ("content:'fake'", ""),
        ("color:var(--x)", ""),
        ("--x:1", ""),
        ("color:attr(title)", ""),
        ("width:1000000px", ""),
        ("width:1e9px", ""),
        ("font-size:99999px", ""),
        ("text-indent:-9999px", ""),
        ("margin-left:-500px", ""),
        ("color:red}body{color:blue", ""),
        ("color:red\\;position:fixed", ""),
        ("color:</style><script>", ""),
        ("font-family:'</style>'", ""),
        ("background:/url(x)*", ""),
        ("transform:scale(100)", ""),
        ("animation:x 1s", ""),
        ("filter:url(#x)", ""),
    ],
)
def test_declarations(style: str, kept: str) -> None:
    assert declarations(style) == kept


@pytest.mark.parametrize(
    ("css", "kept"),
    [
        (".a{color:red}", ".x_mail .x_a{color:red}"),
        ("td.a > p, #b:hover{color:red}", ".x_mail td.x_a>p,.x_mail #x_b:hover{color:red}"),
        ("body{margin:0}html body .c{margin:0}", ".x_mail{margin:0}\n.x_mail .x_c{margin:0}"),
        ("*{margin:0}", ".x_mail *{margin:0}"),
        (
            "@media only screen and (max-width:600px){.a{width:100%!important}.b{color:red}}.c{color:red}",
            "@media only screen and (max-width:600px){.x_mail .x_a{width:100%!important}}\n"
            "@media only screen and (max-width:600px){.x_mail .x_b{color:red}}\n.x_mail .x_c{color:red}",
        ),
        ("<!-- .a{color:red} -->", ".x_mail .x_a{color:red}"),
        ("@import url(https://e.com/x.css);.a{color:red}", ".x_mail .x_a{color:red}"),
        ("@font-face{font-family:x;src:url(https://e.com)}.a{color:red}", ".x_mail .x_a{color:red}"),
        ("@keyframes x{from{top:0}to{top:1px}}.a{color:red}", ".x_mail .x_a{color:red}"),
        ("@supports (x:y){.a{color:red}}.b{color:red}", ".x_mail .x_b{color:red}"),
        ("@media print{@media screen{.a{color:red}}}.b{color:red}", ".x_mail .x_b{color:red}"),
        ("a[href^='x']{color:red}", ""),
        (".a::before{color:red}", ""),
        (".a:has(b){color:red}", ""),
        (r".\61 {color:red}", ".x_mail .x_a{color:red}"),
        (".a{color:red", ".x_mail .x_a{color:red}"),
        (".a{b{color:red}}.c{color:red}", ".x_mail .x_c{color:red}"),
        ("}}}.a{color:red}", ".x_mail .x_a{color:red}"),
        (".a{}", ""),
        (".x_mail ~ .page{color:red}", ".x_mail .x_x_mail~.x_page{color:red}"),
    ],
)
def test_sheets(css: str, kept: str) -> None:
    assert sheet(css) == kept


def test_pictures_are_for_the_caller_to_decide() -> None:
    styles = StyleFilter(lambda url: url if url.startswith("https://") else None)
    assert styles.declarations("background:#fff url( 'https://e.com/a.png' ) no-repeat") == (
        'background:#fff  no-repeat url("https://e.com/a.png")'
    )
    assert (
        styles.declarations("background-image:url(https://e.com/a.png)")
        == 'background-image:url("https://e.com/a.png")'
    )
    assert styles.declarations("background-image:url(//e.com/a.png)") == ""
    hostile = StyleFilter(lambda url: 'x") ; position:fixed')
    assert hostile.declarations("background-image:url(a)") == ""


WORDS = (
    "color */ url( /* rgb( </style> expression( background: position:fixed \\28 https://e.com <!-- calc( 1"
)
CSS = st.lists(
    st.sampled_from([*"abz{};:()'\"\\/*<>!@#.,&- \n", "@media ", "\\7b ", *WORDS.split()]), max_size=40
).map("".join)


@given(CSS)
def test_nothing_dangerous_survives(css: str) -> None:
    for text in (declarations(css), sheet(css)):
        assert not re.search(
            r"[<>\\@]|/\*|expression|position|url\(|https", text.replace("@media", "").replace(">", "")
        )
        assert text.count("(") == text.count(")")
        assert text.count("{") == text.count("}")
        assert text.count("'") % 2 == 0
        assert text.count('"') % 2 == 0
    assert "{" not in declarations(css)


@given(CSS)
def test_what_passed_once_passes_again(css: str) -> None:
    once = declarations(css)
    assert declarations(once) == once


def test_rules_are_bounded_in_number() -> None:
    assert sheet(".a{color:red}" * (MAX_RULES + 100)).count("{") == MAX_RULES
