"""HTML of strangers brought into bounds before a parser builds a tree of it.

Parsing as WHATWG HTML 13.2 orders is quadratic for some inputs: each tag looks at the open elements,
formatting left open is cloned into every block, each attribute is compared with all others. Measured at 500
KB: 24 s for nested `div`, 16 s for one tag of 70,000 attributes. Here a tokenizer for 13.2.5 without any
context (comments, raw text and foreign elements, which need one, are taken out) lets pass only what every
parser reads alike, and fast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_HTML = 500_000  # characters; Gmail clips what it shows at 102 KB
MAX_TAGS = 20_000  # of one document, the rest is cut off; a newsletter of 100 KB has 2,000
MAX_OPEN = 250  # elements open at once; newsletters nest tables 30 deep, which is 120 elements
MAX_FORMATTING = 30  # formatting elements open at once: each is cloned into every block that follows
# Formatting elements that may be cloned in all; the rest of such a document is cut off. Long ones have more
# of everything.
MAX_CLONES = 20_000
_CLONES_PER_CHARACTER = 0.2
MAX_ATTRIBUTES = 100  # of one tag; one with more loses its effect
MAX_REFERENCES = 50_000  # ampersands; a parser takes microseconds for each

# Documents this small cannot do harm in any arrangement: 50 ms at worst.
_SMALL = 16_000
_FEW_TAGS = 500

_WS = r"\t\n\f\r "
_ATTRIBUTE = (
    rf"[{_WS}/]*+[^{_WS}/>][^{_WS}/>=]*+"
    rf"(?:[{_WS}]*+=[{_WS}]*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^{_WS}>\"'][^{_WS}>]*+)?+)?+"
)
_TOKEN = re.compile(
    rf"<(?:(?P<comment>!--(?:-?>|.*?(?:--!?>|\Z)))"
    rf"|(?P<bogus>(?:!|\?|/(?![a-zA-Z]))[^>]*+>?)"
    rf"|(?P<slash>/?)(?P<name>[a-zA-Z][^{_WS}/>]*+)(?:{_ATTRIBUTE}){{0,{MAX_ATTRIBUTES}}}+[{_WS}/]*+(?P<end>>?))",
    re.DOTALL,
)
_REST_OF_TAG = re.compile(rf"(?:{_ATTRIBUTE})*+[{_WS}/]*+>?", re.DOTALL)
_BARE_AMPERSAND = re.compile(r"&(?![a-zA-Z#])")

# Elements whose content is no markup: it goes with them, up to their end tag (WHATWG 13.2.5.2 to 13.2.5.5).
_RAW = frozenset(("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"))
# Elements that put the parser into another mode: the tag goes, the content stays.
_MODES = frozenset(
    ("svg", "math", "template", "select", "frameset", "frame", "noscript", "plaintext", "object", "image")
)
_FORMATTING = frozenset(
    ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
)
# Elements that never hold others, or that the next of their kind ends: left open they do not nest by
# themselves.
_SHALLOW = frozenset(
    (
        *(
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "param",
            "source",
            "track",
        ),
        *("wbr", "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "option"),
        *("optgroup", "html", "head", "body"),
    )
)
# Stands for what is taken out, so that what stood left and right of it does not grow into a new tag.
_NOTHING = "<wbr>"


def bounded_html(html: str) -> str:
    """Return `html` so that any parser takes time in proportion to its length.

    Small documents are not touched.
    """
    if len(html) <= _SMALL and html.count("<") <= _FEW_TAGS:
        return html
    return _Bounds(html[:MAX_HTML]).rewritten()


@dataclass(slots=True)
class _Bounds:
    """One document on its way through: what is open, and what has been written."""

    html: str
    pieces: list[str] = field(default_factory=list)
    open_counts: dict[str, int] = field(default_factory=dict)
    opened: int = 0
    formatting: int = 0
    clones: int = 0

    def rewritten(self) -> str:
        html = self.html
        max_clones = MAX_CLONES + int(len(html) * _CLONES_PER_CHARACTER)
        position = 0
        for _ in range(MAX_TAGS):
            token = _TOKEN.search(html, position)
            if token is None:
                self.pieces.append(html[position:])
                break
            self.pieces.append(html[position : token.start()])
            position = self.token(token)
            if self.clones > max_clones:
                break
        text = "".join(self.pieces)
        if text.count("&") > MAX_REFERENCES // 10:
            text = _BARE_AMPERSAND.sub("&amp;", text)
            parts = text.split("&", MAX_REFERENCES)
            text = "&".join(parts[:MAX_REFERENCES])
        return text

    def token(self, token: re.Match[str]) -> int:
        """Write one token or its replacement; return where to go on."""
        raw_name = token["name"]
        if raw_name is None:
            self.pieces.append(_NOTHING)
            return token.end()
        name = raw_name.lower()
        if not token["end"]:
            # Too many attributes, or the document ends inside the tag
            rest = _REST_OF_TAG.match(self.html, token.end())
            self.pieces.append(_NOTHING)
            return rest.end() if rest is not None else len(self.html)
        if name in _RAW:
            self.pieces.append(_NOTHING)
            return token.end() if token["slash"] else self.after_raw(name, token.end())
        if name in _MODES:
            self.pieces.append(_NOTHING)
        elif self.passes(name, is_end=bool(token["slash"])):
            self.pieces.append(token[0])
        else:
            self.pieces.append(_NOTHING)
        return token.end()

    def after_raw(self, name: str, position: int) -> int:
        end = re.compile(rf"</{name}(?=[{_WS}/>])[^>]*+>?", re.IGNORECASE).search(self.html, position)
        return end.end() if end is not None else len(self.html)

    def passes(self, name: str, *, is_end: bool) -> bool:
        """Keep count of a tag and say whether it may stand."""
        if not is_end:
            self.clones += self.formatting
        if name in _SHALLOW:
            return True
        is_formatting = name in _FORMATTING
        count = self.open_counts.get(name, 0)
        if is_end:
            if count:
                self.open_counts[name] = count - 1
                self.opened -= 1
                self.formatting -= is_formatting
            return True
        if self.opened >= MAX_OPEN or (is_formatting and self.formatting >= MAX_FORMATTING):
            return False
        self.open_counts[name] = count + 1
        self.opened += 1
        self.formatting += is_formatting
        return True
