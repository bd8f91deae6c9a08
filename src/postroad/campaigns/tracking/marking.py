"""A template made ready for tracking, once a version: its links become variables, the pixel gets its place.
Pure.

The text around the links is not touched, not even its blanks: what was checked is what is sent. Template code
(`{{ … }}`, `{% … %}`) may stand anywhere, also inside an href; then the target differs by recipient and
travels sealed in the token. Left alone are mailto:, anchors and other schemes, the ways out that the engine
fills in, and hrefs that name what the template itself assigns: they work, they are only not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape

import minijinja

from postroad.campaigns.errors import BadTemplate
from postroad.campaigns.templates.language import LINKS, VARIABLES, CannotRender, Compiled, compile_template
from postroad.campaigns.tracking.tokens import MAX_TARGET
from postroad.campaigns.tracking.urls import Urls

MAX_LINKS = 500  # different ones; a catalogue has about a hundred. Those past it are not counted
MAX_URL = 8000  # what browsers and servers take
PIXEL = "open_url"
_PIXEL_TAG = (
    f'<img src="{{{{ {PIXEL} }}}}" width="1" height="1" alt="" border="0" '
    'style="height:1px;width:1px;border:0">'
)

_CODE = r"\{\{(?:[^}]|\}(?!\}))*+\}\}|\{%(?:[^%]|%(?!\}))*+%\}"
_NEXT = re.compile(r"\{##|\{\{|\{%|<!--|</?+[A-Za-z][^\s/>{]*+")
_WHOLE_CODE = re.compile(_CODE)
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}", re.DOTALL)
_CONDITION = re.compile(r"\s*\[if[^\]]{0,200}\]>")  # Outlook's conditional comments are read by Outlook
# One attribute as browsers read it (HTML 13.2.5.32 and on), template code being one letter of it.
_ATTRIBUTE = re.compile(
    rf"(?:[\s/]|{_CODE})*+(?P<name>[^\s/>=](?:{_CODE}|[^\s/>=])*+)"
    rf"(?:\s*+=\s*+(?:\"(?P<double>(?:{_CODE}|[^\"])*+)\"|'(?P<single>(?:{_CODE}|[^'])*+)'"
    rf"|(?P<bare>(?:{_CODE}|[^\s>\"'])(?:{_CODE}|[^\s>])*+)))?+"
)
_TAG_END = re.compile(rf"(?:[\s/]|{_CODE})*+>")
_HIDDEN = ("script", "style", "title", "textarea", "xmp")  # what stands in them is text
_HTTP = re.compile(r"https?://[^/\s]", re.IGNORECASE)
# In an attribute only what ends in a semicolon is surely a reference: `?a=1&copy=2` is none.
_REFERENCE = re.compile(r"&(?:#\d{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_ASSIGNED = re.compile(
    r"\{%[-+]?\s*(?:for\s+(?P<each>.*?)\s+in\b|set\s+(?P<set>[^=%]*)|(?:with|macro|call|import|from)\b(?P<rest>.*?)%\})",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class MarkedLink:
    """A link of the template. `name` is its variable, `url` what stood in the href (for the table of links).

    `target` fills a contact's values into the url; None where the url holds none.
    """

    name: str
    url: str
    target: Compiled | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A template with its marks. Write `links` into the run's table of links; their ids belong to
    `values`.
    """

    html: str
    links: tuple[MarkedLink, ...]
    has_pixel: bool

    def values(
        self, urls: Urls, run_id: int, email_id: int, link_ids: Sequence[int], person: Mapping[str, str]
    ) -> dict[str, str]:
        """What the marks are for one recipient, to be rendered with the other values.

        `link_ids` in the order of `links`; `person` are the contact's values. Raises `CannotRender`.
        """
        values: dict[str, str] = {}
        for link, link_id in zip(self.links, link_ids, strict=True):
            if link.target is None:
                values[link.name] = minijinja.safe(urls.link(run_id, email_id, link_id))
                continue
            target = re.sub(r"[\t\r\n]", "", link.target.render(person)).strip()
            if _HTTP.match(target) and len(target.encode()) <= MAX_TARGET:
                values[link.name] = minijinja.safe(urls.link(run_id, email_id, link_id, target))
            else:  # no web address for this recipient, or one too long: it stays what it is
                values[link.name] = target
        if self.has_pixel:
            values[PIXEL] = minijinja.safe(urls.pixel(run_id, email_id))
        return values


def mark(html: str, *, opens: bool = True, clicks: bool = True) -> Marked:
    """Put the marks into a template of HTML that compiles. What is not asked for gets none."""
    marking = _Marking(html)
    pieces, done, body_end = [], 0, -1
    for start, end, found in _places(html):
        if found == "body":
            body_end = start
        elif clicks and (name := marking.link(found)) is not None:
            pieces += [html[done:start], f'"{{{{ {name} }}}}"']
            done = end
    if opens:
        place = max(body_end, done) if body_end >= done else len(html)
        pieces += [html[done:place], _PIXEL_TAG]
        done = place
    pieces.append(html[done:])
    return Marked("".join(pieces), tuple(marking.links.values()), opens)


class _Marking:
    def __init__(self, html: str) -> None:
        self.links: dict[str, MarkedLink] = {}
        self._assigned = {
            name
            for match in _ASSIGNED.finditer(html)
            for name in _NAME.findall(match["each"] or match["set"] or match["rest"] or "")
        }

    def link(self, href: str) -> str | None:
        """The variable for an href as it stands in the template; None when it is left alone."""
        url = "".join(_literal_or_code(href)).strip()
        if url in self.links:
            return self.links[url].name
        if len(self.links) == MAX_LINKS or len(url) > MAX_URL:
            return None
        name = f"link_{len(self.links) + 1}"
        if "{{" not in url and "{%" not in url:
            if not _HTTP.match(url):
                return None
            self.links[url] = MarkedLink(name, url)
            return name
        if not (_HTTP.match(url) or _WHOLE_CODE.match(url)):
            return None
        try:
            target = compile_template(url, "text")
            target.render({})
        except (BadTemplate, CannotRender):
            return None
        named = target.variables()
        if not named <= VARIABLES or named & (self._assigned | set(LINKS)):
            return None
        self.links[url] = MarkedLink(name, url, target)
        return name


def _literal_or_code(href: str) -> Iterator[str]:
    """An href's pieces: code as it is, the rest as a browser reads it."""
    done = 0
    for code in _WHOLE_CODE.finditer(href):
        yield _literal(href[done : code.start()])
        yield code[0]
        done = code.end()
    yield _literal(href[done:])


def _literal(text: str) -> str:
    return re.sub(r"[\t\r\n\f]", "", _REFERENCE.sub(lambda match: unescape(match[0]), text))


def _places(html: str) -> Iterator[tuple[int, int, str]]:
    """The values of hrefs with their quotes, as (start, end, value), and each (start, end, "body") of
    `</body`.

    One pass: a tag or comment that never ends swallows the rest, as it does in browsers.
    """
    at = 0
    while (match := _NEXT.search(html, at)) is not None:
        at = match.end()
        what = match[0]
        if what == "{##":
            at = _behind(html, "##}", at)
        elif what in ("{{", "{%"):
            code = _RAW.match(html, match.start()) or _WHOLE_CODE.match(html, match.start())
            at = code.end() if code is not None else at
        elif what == "<!--":
            condition = _CONDITION.match(html, at)
            if condition is not None:
                at = condition.end()
            elif html.startswith((">", "->"), at):
                at = html.index(">", at) + 1
            else:
                at = _behind(html, "-->", at)
        else:
            name = what.lstrip("</").lower()
            if what.startswith("</"):
                if name == "body":
                    yield match.start(), match.start(), "body"
                continue
            takes = name in ("a", "area") or name.startswith("v:")
            while (attribute := _ATTRIBUTE.match(html, at)) is not None:
                at = attribute.end()
                kind = attribute.lastgroup
                if takes and kind in ("double", "single", "bare") and attribute["name"].lower() == "href":
                    quoted = kind != "bare"
                    yield attribute.start(kind) - quoted, attribute.end(kind) + quoted, attribute[kind]
            end = _TAG_END.match(html, at)
            if end is None:
                return
            at = end.end()
            if name in _HIDDEN:
                close = re.compile(f"</{name}", re.IGNORECASE).search(html, at)
                if close is None:
                    return
                at = close.end()


def _behind(html: str, mark: str, at: int) -> int:
    found = html.find(mark, at)
    return len(html) if found < 0 else found + len(mark)
