"""The language of templates: `{{ name }}`, filters, conditions and loops of Jinja, by minijinja. Pure.

minijinja has no Python behind it and counts what a template does: one that never wants to end is stopped
after `FUEL` steps (docs/decisions.md has the figures). A value that is missing is empty. In HTML every value
is escaped; there is no way to switch that off. A subject is one line whatever the values hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import minijinja

from postroad.campaigns.errors import BadTemplate
from postroad.message.fields import one_line

Kind = Literal["html", "text", "subject"]

MAX_SOURCE = 2_000_000  # characters; Gmail shows 102 KB of a mail
MAX_SUBJECT = 500
# Steps, and characters made by filters: a letter with a table of a thousand rows needs about 20,000.
FUEL = 200_000
MAX_RENDERED = 8_000_000  # characters

# What a template may name: the sixteen fields of a contact, and what the sending engine adds for each mail.
FIELDS = (
    "address",
    "email",
    "name",
    "fullname",
    "sex",
    "birthday",
    "phone",
    "area",
    *(f"var{number}" for number in range(1, 11)),
)
LINKS = ("unsubscribe_url", "preferences_url", "web_url")
VARIABLES = frozenset((*FIELDS, *LINKS))

_MARK = "<postroad-mark>"  # must never come through a template of HTML as it is
# Shared by all kinds: `safe` would let a contact's name write HTML, `debug` tells of our inside.
_TAKEN_AWAY = ("safe", "pprint")


class CannotRender(Exception):
    """A template failed on one recipient's values: it is that recipient's failure, nobody else's."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One text, ready to be filled in. Safe to use from several threads."""

    environment: minijinja.Environment
    name: str
    kind: Kind

    def render(self, values: Mapping[str, str]) -> str:
        """Fill in. Raises `CannotRender`."""
        try:
            text = self.environment.render_template(self.name, **values)
        except minijinja.TemplateError as error:
            raise CannotRender(_reason(error)) from error
        if len(text) > MAX_RENDERED:
            raise CannotRender(f"more than {MAX_RENDERED} characters came out")
        return one_line(text).strip() if self.kind == "subject" else text

    def variables(self) -> frozenset[str]:
        """The names that the template asks for."""
        return frozenset(self.environment.undeclared_variables_in_template(self.name))


def compile_template(source: str, kind: Kind) -> Compiled:
    """Compile, and try it with every value present and with none.

    Raises `BadTemplate` with the line and the reason.
    """
    if len(source) > (MAX_SUBJECT if kind == "subject" else MAX_SOURCE):
        raise BadTemplate(f"the {kind} is too long")
    name = f"{kind}.html" if kind == "html" else f"{kind}.txt"
    environment = minijinja.Environment(
        debug=False,
        fuel=FUEL,
        undefined_behavior="chainable",
        auto_escape_callback=lambda name: name.endswith(".html"),
        keep_trailing_newline=True,
        pycompat=False,
        # A style sheet without blanks has `{#id`, which Jinja takes for the beginning of a comment.
        comment_start_string="{##",
        comment_end_string="##}",
    )
    for each in _TAKEN_AWAY:
        environment.remove_filter(each)
    environment.remove_global("debug")
    try:
        environment.add_template(name, source)
    except minijinja.TemplateError as error:
        raise BadTemplate(_reason(error), line=error.line or 0) from error
    compiled = Compiled(environment, name, kind)
    _try(compiled, {})
    _try(compiled, dict.fromkeys(VARIABLES, _MARK))
    return compiled


def _try(compiled: Compiled, values: Mapping[str, str]) -> None:
    try:
        text = compiled.environment.render_template(compiled.name, **values)
    except minijinja.TemplateError as error:
        raise BadTemplate(_reason(error), line=error.line or 0) from error
    if len(text) > MAX_RENDERED:
        raise BadTemplate(f"more than {MAX_RENDERED} characters came out")
    if compiled.kind == "html" and _MARK in text:
        raise BadTemplate("a value would come out without being escaped")


def _reason(error: minijinja.TemplateError) -> str:
    if error.kind == "OutOfFuel":
        return "it does too much: a loop or a filter makes more than a mail can hold"
    return (error.detail or error.message or error.kind).split("\n")[0][:300]
