"""CSS of strangers made safe: known properties, known functions, no way out of the mail and no request
unasked.

CSS Syntax 3 rules how browsers read it. Nothing is passed on as it came: escapes are resolved first,
declarations and rules are cut out, and each piece must match a narrow grammar or is dropped. What comes out
holds no `<`, no backslash, no comment and no unbalanced quote or bracket, so it can stand in an attribute or
a style element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_STYLE = 8_192  # characters of one style attribute; the longest in a corpus of newsletters has 900
MAX_SHEET = 200_000  # characters of all style blocks of a mail; Gmail drops them beyond 16 KB
MAX_RULES = 2_000  # rules kept; frameworks for mail (MJML, Foundation) bring 300

_PROPERTIES = frozenset(
    (
        *("background", "background-color", "background-image", "background-position", "background-repeat"),
        *("background-size", "border", "border-bottom", "border-bottom-color", "border-bottom-left-radius"),
        *("border-bottom-right-radius", "border-bottom-style", "border-bottom-width", "border-collapse"),
        *("border-color", "border-left", "border-left-color", "border-left-style", "border-left-width"),
        *("border-radius", "border-right", "border-right-color", "border-right-style", "border-right-width"),
        *("border-spacing", "border-style", "border-top", "border-top-color", "border-top-left-radius"),
        *("border-top-right-radius", "border-top-style", "border-top-width", "border-width", "box-shadow"),
        *(
            "box-sizing",
            "caption-side",
            "clear",
            "color",
            "direction",
            "display",
            "empty-cells",
            "float",
            "font",
        ),
        *(
            "font-family",
            "font-size",
            "font-style",
            "font-variant",
            "font-weight",
            "height",
            "letter-spacing",
        ),
        *("line-height", "list-style", "list-style-position", "list-style-type", "margin", "margin-bottom"),
        *("margin-left", "margin-right", "margin-top", "max-height", "max-width", "min-height", "min-width"),
        *(
            "opacity",
            "outline",
            "outline-color",
            "outline-style",
            "outline-width",
            "overflow",
            "overflow-wrap",
        ),
        *(
            "overflow-x",
            "overflow-y",
            "padding",
            "padding-bottom",
            "padding-left",
            "padding-right",
            "padding-top",
        ),
        *("table-layout", "text-align", "text-decoration", "text-decoration-color", "text-decoration-line"),
        *("text-decoration-style", "text-indent", "text-overflow", "text-shadow", "text-transform"),
        *(
            "unicode-bidi",
            "vertical-align",
            "visibility",
            "white-space",
            "width",
            "word-break",
            "word-spacing",
        ),
        *("word-wrap", "align-items", "align-content", "align-self", "flex", "flex-basis", "flex-direction"),
        *(
            "flex-flow",
            "flex-grow",
            "flex-shrink",
            "flex-wrap",
            "gap",
            "justify-content",
            "order",
            "writing-mode",
        ),
        *("text-justify"),
    )
)
_WITH_PICTURE = frozenset(("background", "background-image"))
_FUNCTIONS = "rgb|rgba|hsl|hsla|calc|min|max|clamp|linear-gradient|radial-gradient"

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|<!--|-->", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n\r\f]?|(\r\n|[\n\r\f])|(.)|\Z)", re.DOTALL)
_STRUCTURAL = frozenset("\"'();{}\\<>@:/*!#.,[]&=")

# A value up to its semicolon: strings whole, brackets up to three deep.
_BRACKET = r"\((?:[^()\"']|\"[^\"]*\"|'[^']*')*+\)"
for _ in range(2):
    _BRACKET = rf"\((?:[^()\"']|\"[^\"]*\"|'[^']*'|{_BRACKET})*+\)"
_DECLARATION = re.compile(rf"([a-zA-Z-]+)\s*+:((?:[^;\"'()]|\"[^\"]*\"|'[^']*'|{_BRACKET})*+)(?:;|\Z)")
_TO_SEMICOLON = re.compile(r"[^;]*;?")

_WORDS = r"[\w%.,/+*#\s\-]"
_PLAIN = re.compile(rf"{_WORDS}*\Z")
_STRING = r"\"[^\"'<>\\{}();&\n\r]*\"|'[^\"'<>\\{}();&\n\r]*'"
_INNER = rf"(?:{_WORDS}|\({_WORDS}*+\))*+"
_FUNCTION = rf"(?:{_FUNCTIONS})\((?:{_WORDS}|\({_INNER}\)|(?:{_FUNCTIONS})\({_INNER}\))*+\)"
_SAFE = re.compile(rf"(?:{_FUNCTION}|{_STRING}|{_WORDS})*+\Z", re.IGNORECASE)
_URL = re.compile(r"\burl\(\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\"'()]*+))\s*+\)", re.IGNORECASE)
_IMPORTANT = re.compile(r"!\s*+important\s*+\Z", re.IGNORECASE)
# Five digits before the point, less than -99, or an exponent: sizes that push everything else away.
_HUGE = re.compile(r"(?<![#\w.])(?:\d{5,}|-\s*\d{3,}|[\d.]+[eE][+-]?\d)")

_MARK = re.compile(r"\"[^\"]*\"|'[^']*'|[{};]")
_MEDIA = re.compile(r"@media\s[\w\s():,.\-]{1,200}\Z", re.IGNORECASE)
_STATE = "hover|link|visited|active|first-child|last-child"
_COMPOUND = rf"(?:[a-zA-Z][a-zA-Z0-9]*|\*|(?=[.#:]))(?:[.#][\w-]+|:(?:{_STATE}))*"
_SELECTOR = re.compile(rf"{_COMPOUND}(?:[ >+~]{_COMPOUND})*\Z")
_COMBINATOR = re.compile(r" ?([>+~]) ?")
_NAME = re.compile(r"([.#])([\w-]+)")
_PAGE = re.compile(r"\A(?:html|body|:root)(?![\w-])(?:\s+(?:body)(?![\w-]))?", re.IGNORECASE)


@dataclass(slots=True)
class StyleFilter:
    """Filters the CSS of one mail; `has_remote` says whether any of it asked for a picture from elsewhere.

    `picture_url` says for the URL of a picture what to put in its place, or None to leave it out.
    """

    picture_url: Callable[[str], str | None]
    _known: dict[str, str] = field(default_factory=dict)

    def declarations(self, style: str) -> str:
        """Return the safe declarations of a style attribute, parted by semicolons; empty if none is left."""
        known = self._known.get(style)
        if known is None:
            known = ";".join(self._kept(resolved(style[:MAX_STYLE])))
            if len(self._known) < 1_000:
                self._known[style] = known
        return known

    def sheet(self, css: str, scope: str, prefix: str) -> str:
        """Return the safe rules of a style block, all below the selector `scope`.

        Class names and ids get `prefix`, so that they meet only the mail's own, which got it too.
        """
        rules: list[str] = []
        for condition, selector, body in _rules(resolved(css[:MAX_SHEET])):
            selectors = [_scoped(one.strip(), scope, prefix) for one in selector.split(",")[:100]]
            kept = ";".join(self._kept(body))
            names = ",".join(one for one in selectors if one)
            if names and kept:
                rule = f"{names}{{{kept}}}"
                rules.append(f"{condition}{{{rule}}}" if condition else rule)
            if len(rules) >= MAX_RULES:
                break
        return "\n".join(rules)

    def _kept(self, body: str) -> Iterator[str]:
        position = 0
        while position < len(body):
            while position < len(body) and body[position] in " \t\n\r\f;":
                position += 1
            match = _DECLARATION.match(body, position)
            if match is None:
                skipped = _TO_SEMICOLON.match(body, position)
                position = skipped.end() if skipped is not None and skipped.end() > position else len(body)
                continue
            position = match.end()
            name = match[1].lower()
            if name in _PROPERTIES:
                value = self._value(name, match[2].strip())
                if value:
                    yield f"{name}:{value}"

    def _value(self, name: str, value: str) -> str | None:
        important = ""
        if "!" in value:
            value, count = _IMPORTANT.subn("", value)
            value = value.rstrip()
            important = "!important" if count else ""
        if _PLAIN.match(value):
            return None if _HUGE.search(value) else value + important
        pictures: list[str] = []
        if "url" in value.lower():
            if name not in _WITH_PICTURE:
                return None
            value = _URL.sub(lambda match: self._picture(match, pictures), value).strip()
            if not value and not pictures:
                return None
        if not _SAFE.match(value) or _HUGE.search(value) or "/*" in value:
            return None
        return " ".join([*([value] if value else []), *pictures]) + important

    def _picture(self, match: re.Match[str], pictures: list[str]) -> str:
        url = self.picture_url((match[1] or match[2] or match[3] or "").strip())
        if url is not None and not set("\"'()\\<>{}; \n\r\t").intersection(url):
            pictures.append(f'url("{url}")')
        return ""


def resolved(css: str) -> str:
    """Return CSS without comments and escapes; an escaped character with a meaning becomes U+FFFD."""
    if "/*" in css or "<!--" in css or "-->" in css:
        css = _COMMENT.sub(" ", css)
    if "\\" in css:
        css = _ESCAPE.sub(_unescaped, css)
    return css.replace("\0", "\ufffd")


def _unescaped(match: re.Match[str]) -> str:
    if match[2] is not None:
        return ""
    if match[1] is not None:
        code = int(match[1], 16)
        character = chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    else:
        character = match[3] or "\ufffd"
    # CSS Syntax 3 4.3.7: an escaped character is never punctuation. Letters of a keyword spelled so are a
    # disguise; fonts (\5b8b\4f53) are not.
    return (
        "\ufffd"
        if character in _STRUCTURAL or character.isspace() or not character.isprintable()
        else character
    )


def _rules(css: str) -> Iterator[tuple[str, str, str]]:
    """Yield (media condition or "", selectors, declarations) of a sheet; other at-rules go with all they
    hold.
    """
    condition = ""
    position = start = 0
    while True:
        mark = _MARK.search(css, position)
        if mark is None:
            return
        position = mark.end()
        kind = mark[0]
        if kind == ";":
            start = position
        elif kind == "}":
            condition, start = "", position
        elif kind == "{":
            prelude = css[start : mark.start()].strip()
            if prelude.startswith("@"):
                if not condition and _MEDIA.match(prelude):
                    condition, start = " ".join(prelude.split()), position
                    continue
                position = start = _block_end(css, position)
                continue
            end = _block_end(css, position)
            body = css[position : end - 1] if css[end - 1 : end] == "}" else css[position:end]
            if "{" not in body:
                yield condition, prelude, body
            position = start = end


def _block_end(css: str, position: int) -> int:
    depth = 1
    for mark in _MARK.finditer(css, position):
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}":
            depth -= 1
            if depth == 0:
                return mark.end()
    return len(css)


def _scoped(selector: str, scope: str, prefix: str) -> str | None:
    """Return a selector below the scope, or None for one outside the grammar (attributes, other
    pseudo-classes).
    """
    selector = _COMBINATOR.sub(r"\1", " ".join(selector[:201].split()))
    if len(selector) > 200:
        return None
    page = _PAGE.match(selector)
    if page is not None:
        selector = selector[page.end() :].strip()
        if not selector:
            return scope
    if not _SELECTOR.match(selector):
        return None
    return f"{scope} " + _NAME.sub(rf"\g<1>{prefix}\g<2>", selector)
