"""Style sheets go into the elements, and template code comes through as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.sending.inlining import inlined
from postroad.campaigns.templates.language import compile_template

STYLE = "<style>p { color: red } @media (max-width: 600px) { p { color: blue } }</style>"


def test_rules_become_attributes_and_media_queries_stay() -> None:
    made = inlined(f"<html><head>{STYLE}</head><body><p class='a'>x</p></body></html>")
    assert '<p class="a" style="color: red;">x</p>' in made
    assert "@media" in made


def test_code_comes_through_as_it_was() -> None:
    made = inlined(
        f"{STYLE}<p title=\"{{{{ name|default('you') }}}}\">{{{{ 1 > 0 }}}}</p>"
        "<table>{% for n in [1, 2] %}<tr><td>{{ n }}</td></tr>{% endfor %}</table>"
        "{% raw %}{{ x }}{% endraw %}{## a <note> ##}"
    )
    shown = compile_template(made, "html").render({})
    assert 'title="you"' in shown and ">True</p>" in shown
    assert "<td>1</td>" in shown and "<td>2</td>" in shown and "{{ x }}" in shown and "note" not in shown
    assert 'style="color: red' in shown


@pytest.mark.parametrize(
    "html",
    [
        "<p>no style sheet</p>",
        STYLE + "<table {% if name %}border=1{% endif %}><tr><td>x</td></tr></table>",
        STYLE + "<p {{ name }}>x</p>",
        STYLE + "<p>postroad-code-0-x {{ name }}</p>",
    ],
)
def test_what_cannot_be_done_safely_is_left_alone(html: str) -> None:
    assert inlined(html) == html


def test_nothing_is_fetched(tmp_path: Path) -> None:
    secret = tmp_path / "secret.css"
    secret.write_text("p { content: 'top secret' }")
    made = inlined(
        f"{STYLE}<link rel='stylesheet' href='{secret}'><link rel=stylesheet href='file://{secret}'><p>x</p>"
    )
    assert "top secret" not in made


@given(st.text(alphabet="<>p/{}%# \"'=stylea:1", max_size=120))
def test_no_template_is_made_worse(text: str) -> None:
    """Whatever stands there: what compiled before compiles after."""
    html = STYLE + text
    try:
        compile_template(html, "html")
    except Exception:
        return
    compile_template(inlined(html), "html")
