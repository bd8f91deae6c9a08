"""HTML of strangers made safe to show: an allow list of elements, attributes and styles; nothing else
survives.

nh3 (ammonia) parses as browsers do and writes the tree anew; attribute values and CSS are judged here and in
`css.py`. The page still shows the result in a sandboxed frame under a strict policy: either alone must do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import nh3

from .css import MAX_SHEET, StyleFilter
from .html_bounds import MAX_HTML, bounded_html

SCOPE = "x_mail"  # class of the element around the result; style rules reach nothing outside it
PREFIX = "x_"  # put before class names, ids and anchors, so that they never meet the page's own
_REL = "noopener noreferrer nofollow"

_TAGS = frozenset(
    (
        *(
            "a",
            "abbr",
            "acronym",
            "address",
            "article",
            "aside",
            "b",
            "bdi",
            "bdo",
            "big",
            "blockquote",
            "br",
        ),
        *(
            "caption",
            "center",
            "cite",
            "code",
            "col",
            "colgroup",
            "dd",
            "del",
            "details",
            "dfn",
            "dir",
            "div",
        ),
        *("dl", "dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6"),
        *(
            "header",
            "hr",
            "i",
            "img",
            "ins",
            "kbd",
            "li",
            "main",
            "mark",
            "nav",
            "nobr",
            "ol",
            "p",
            "pre",
            "q",
        ),
        *("rp", "rt", "ruby", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary"),
        *("sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "wbr"),
    )
)
# Elements that go with everything inside them; of all others the content stays.
_WITH_CONTENT = frozenset(
    (
        *("script", "style", "title", "head", "noscript", "noembed", "noframes", "iframe", "object", "embed"),
        *("applet", "svg", "math", "template", "select", "textarea", "audio", "video", "canvas", "frameset"),
        *("xmp", "plaintext"),
    )
)
_EVERYWHERE = frozenset(("class", "id", "style", "title", "dir", "lang", "align"))
_BOX = frozenset(("width", "height", "bgcolor", "background", "border", "bordercolor"))
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(_EVERYWHERE),
    "a": {"href", "name"},
    "img": {"src", "srcset", "alt", "width", "height", "border", "hspace", "vspace"},
    "table": {*_BOX, "cellpadding", "cellspacing", "summary"},
    "td": {*_BOX, "valign", "colspan", "rowspan", "nowrap"},
    "th": {*_BOX, "valign", "colspan", "rowspan", "nowrap"},
    "tr": {"bgcolor", "valign", "height"},
    "tbody": {"valign"},
    "thead": {"valign"},
    "tfoot": {"valign"},
    "col": {"span", "width", "valign"},
    "colgroup": {"span", "width", "valign"},
    "div": {"bgcolor", "background"},
    "font": {"color", "face", "size"},
    "hr": {"color", "size", "width", "noshade"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"type", "value"},
    "pre": {"width"},
}

_SIZE = re.compile(r"\d{1,4}(?:\.\d{1,3})?(?:%|px)?\Z")
_NUMBER = re.compile(r"[+-]?\d{1,3}\Z")
_WORD = re.compile(r"[#\w][\w\s,.'\-]{0,100}\Z")
_SIZES = frozenset(("width", "height", "cellpadding", "cellspacing", "hspace", "vspace", "border"))
_NUMBERS = frozenset(("colspan", "rowspan", "span", "start", "value", "size"))
_WORDS = frozenset(
    ("align", "valign", "bgcolor", "bordercolor", "color", "face", "type", "dir", "lang", "noshade", "nowrap")
)
_TEXTS = frozenset(("alt", "title", "summary"))

_COLOR = re.compile(r"#[0-9a-fA-F]{3,8}\Z|[a-zA-Z]{3,30}\Z")
_WEB = re.compile(r"https?://[^\s/?#\\]", re.IGNORECASE)
_IGNORED_IN_URLS = re.compile("[\u0000-\u001f\u007f]+")  # WHATWG URL 4.4 drops tabs and line ends anywhere
_STYLE_BEGIN = re.compile(r"<style(?=[\s/>])[^>]{0,500}>", re.IGNORECASE)
_STYLE_END = re.compile(r"</style", re.IGNORECASE)
_BODY = re.compile(r"<(/?)body(?=[\s/>])", re.IGNORECASE)
_NAME = re.compile(r"[\w-]{1,100}\Z")
_BLANK = re.compile(r"[\s\u00a0]+")


@dataclass(frozen=True, slots=True)
class Sanitised:
    """Safe HTML, one `div` perhaps with a `style` before it. `has_remote` says whether the mail shows
    pictures from elsewhere: those that were left out, or are let in.
    """

    html: str
    has_remote: bool


def sanitise_html(html: str, *, allow_remote: bool, cid_url: Callable[[str], str | None]) -> Sanitised:
    """Return `html` safe to show to the person it was sent to.

    Pictures from elsewhere stay only if `allow_remote`. `cid_url` gives the URL of the part with a
    Content-ID, or None. Of more than `html_bounds.MAX_HTML` characters the rest is left out. Never raises.
    """
    html = html[:MAX_HTML]
    if not html.isascii():
        html = html.encode("utf-8", "replace").decode()  # lone surrogates have no UTF-8 form
    judge = _Judge(allow_remote, cid_url)
    styles = StyleFilter(judge.picture)
    judge.styles = styles
    css = "".join(styles.sheet(block, f".{SCOPE}", PREFIX) + "\n" for block in _style_blocks(html)).strip()
    cleaned = nh3.clean(
        bounded_html(_BODY.sub(r"<\1div", html)),
        tags=set(_TAGS),
        clean_content_tags=set(_WITH_CONTENT),
        attributes=_ATTRIBUTES,
        attribute_filter=judge.attribute,
        strip_comments=True,
        link_rel=_REL,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes={"http", "https", "mailto", "cid"},
    )
    sheet = f"<style>{css}</style>" if css and "<" not in css else ""
    color = f' style="background-color:{judge.page_color}"' if judge.page_color else ""
    return Sanitised(f'{sheet}<div class="{SCOPE}"{color}>{cleaned}</div>', judge.has_remote)


def _style_blocks(html: str) -> list[str]:
    """Return the contents of style elements, `MAX_SHEET` characters at most."""
    blocks: list[str] = []
    room = MAX_SHEET
    position = 0
    while room > 0:
        begin = _STYLE_BEGIN.search(html, position)
        end = _STYLE_END.search(html, begin.end()) if begin is not None else None
        if begin is None or end is None:
            break
        blocks.append(html[begin.end() : end.start()][:room])
        room -= len(blocks[-1]) + 100
        position = end.end()
    return blocks


@dataclass(slots=True)
class _Judge:
    """Decides on attribute values of one mail."""

    allow_remote: bool
    cid_url: Callable[[str], str | None]
    has_remote: bool = False
    page_color: str | None = None
    styles: StyleFilter = field(init=False)

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """Return what an allowed attribute may say, or None to drop it (nh3's attribute_filter)."""
        if name == "style":
            return self.styles.declarations(value) or None
        if name == "href":
            return _link(value)
        if name in ("src", "background"):
            return self.picture(value)
        if name == "srcset":
            return self.picture_set(value)
        if name in ("class", "id", "name"):
            names = [PREFIX + one for one in value.split()[:20] if _NAME.match(one)]
            return " ".join(names if name == "class" else names[:1]) or None
        if name in _TEXTS:
            return value[:1_000]
        value = value.strip()
        if tag == "div" and name == "bgcolor":
            # The body's, which is a div here: the element around the mail takes it over
            if self.page_color is None and _COLOR.match(value):
                self.page_color = value
            return None
        if name in _SIZES:
            return value if _SIZE.match(value) else None
        if name in _NUMBERS:
            return value if _NUMBER.match(value) or (name == "size" and _SIZE.match(value)) else None
        if name in _WORDS:
            return value if not value or _WORD.match(value) else None
        # What nh3 sets itself: target, rel
        return value if tag == "a" and value in ("_blank", _REL) else None

    def picture(self, url: str) -> str | None:
        """Return the URL a picture may have, or None."""
        url = _IGNORED_IN_URLS.sub("", url).strip()
        if url[:4].lower() == "cid:":
            return self.cid_url(url[4:].strip("<> "))
        if url.startswith(("//", "\\\\", "/\\", "\\/")):
            url = f"https://{url[2:]}"
        if not _WEB.match(url):
            return None
        self.has_remote = True
        return _BLANK.sub("%20", url) if self.allow_remote else None

    def picture_set(self, value: str) -> str | None:
        """Return a srcset (HTML 4.8.4.2.1) whose candidates are all pictures from the web, or None."""
        kept = []
        for candidate in value.split(", ")[:20]:
            url, _, descriptor = candidate.strip().partition(" ")
            picture = self.picture(url.rstrip(","))
            if picture is None or not re.fullmatch(r"\s*(?:\d{1,5}(?:\.\d{1,3})?[wx])?,?", descriptor):
                return None
            kept.append(f"{picture} {descriptor.strip().rstrip(',')}".strip())
        return ", ".join(kept) or None


def _link(value: str) -> str | None:
    url = _IGNORED_IN_URLS.sub("", value).strip()
    if url.startswith("#"):
        return f"#{PREFIX}{url[1:]}" if _NAME.match(url[1:]) else None
    if _WEB.match(url) or url[:7].lower() == "mailto:":
        return _BLANK.sub("%20", url)
    return None
