"""HTML made into plain text: for search, for previews, and for the text alternative of mails written as HTML.

HTML parsing as browsers do it (WHATWG HTML 13.2) is the parser's; here lies only which element means what in
plain text: blocks are paragraphs, cells stand apart, quotes get their `>`, links may show where they lead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from .charsets import storable
from .html_bounds import bounded_html

MAX_NODES = 100_000  # walked; a long newsletter has 5,000
MAX_QUOTE_DEPTH = 20  # levels of `>` written; deeper quotes stay at this one

_SILENT = frozenset(
    (
        "head",
        "script",
        "style",
        "title",
        "template",
        "noscript",
        "svg",
        "math",
        "object",
        "iframe",
        "select",
        "textarea",
    )
)
_PARAGRAPHS = frozenset(
    ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "table")
)
_BLOCKS = frozenset(
    (
        *(
            "div",
            "li",
            "tr",
            "dt",
            "dd",
            "section",
            "article",
            "header",
            "footer",
            "address",
            "center",
            "form",
        ),
        *(
            "caption",
            "fieldset",
            "figure",
            "figcaption",
            "main",
            "nav",
            "aside",
            "details",
            "summary",
            "body",
        ),
    )
)
_CELLS = frozenset(("td", "th"))


@dataclass(slots=True)
class _Writer:
    """Lines as they grow: blanks folded, quote marks in front."""

    lines: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    quote: int = 0
    pre: int = 0
    last_quote: int = 0
    pending_blank: bool = False

    def text(self, text: str) -> None:
        if self.pre:
            first, *rest = text.split("\n")
            self.current.append(first)
            for line in rest:
                self.end_line(keep_empty=True)
                self.current.append(line)
            return
        words = " ".join(text.split())
        if not words:
            if text and self.current and not self.current[-1].endswith(" "):
                self.current.append(" ")
            return
        if text[0].isspace() and self.current and not self.current[-1].endswith(" "):
            self.current.append(" ")
        self.current.append(words)
        if text[-1].isspace():
            self.current.append(" ")

    def end_line(self, *, keep_empty: bool = False) -> None:
        line = "".join(self.current)
        line = line.rstrip() if self.pre else line.strip()
        self.current.clear()
        if not line and not keep_empty:
            return
        if self.pending_blank:
            if self.lines:
                self.lines.append("> " * min(self.quote, self.last_quote))
            self.pending_blank = False
        self.last_quote = self.quote
        self.lines.append("> " * self.quote + line)

    def paragraph(self) -> None:
        self.end_line()
        self.pending_blank = True


def html_to_text(html: str, *, with_links: bool = False) -> str:
    """Return the text people would read in `html`, lines parted by LF.

    With `with_links` a link is followed by where it leads, `<https://…>`, unless its text says so already.
    """
    root = LexborHTMLParser(bounded_html(html.replace("\0", ""))).root
    if root is None:
        return ""
    writer = _Writer()
    _walk(root, writer, with_links=with_links)
    writer.end_line()
    return storable("\n".join(line.rstrip() for line in writer.lines)).strip("\n")


def _walk(root: LexborNode, writer: _Writer, *, with_links: bool) -> None:
    """Visit the tree without recursion: strangers choose its depth."""
    node: LexborNode | None = root
    opened: list[LexborNode] = []
    links: list[tuple[str, int]] = []
    for _ in range(MAX_NODES):
        if node is None:
            return
        tag = node.tag
        child = None
        if tag == "-text":
            writer.text(node.text_content or "")
        elif tag is not None and tag not in _SILENT and not tag.startswith(("-comment", "!")):
            _open(node, tag, writer)
            if with_links and tag == "a":
                links.append(((node.attributes.get("href") or "").strip(), len(writer.current)))
            child = node.first_child
            if child is None:
                _close(node, tag, writer, links, with_links=with_links)
        if child is not None:
            opened.append(node)
            node = child
            continue
        while node is not None and node.next is None:
            node = opened.pop() if opened else None
            if node is not None:
                _close(node, node.tag or "", writer, links, with_links=with_links)
        node = node.next if node is not None else None


def _open(node: LexborNode, tag: str, writer: _Writer) -> None:
    if tag == "br":
        writer.end_line(keep_empty=True)
    elif tag == "img":
        alternative = (node.attributes.get("alt") or "").strip()
        if alternative:
            writer.text(f" {alternative} ")
    elif tag == "hr":
        writer.paragraph()
        writer.text("-" * 40)
        writer.paragraph()
    elif tag in _PARAGRAPHS:
        writer.paragraph()
        if tag == "blockquote" and writer.quote < MAX_QUOTE_DEPTH:
            writer.quote += 1
        elif tag == "pre":
            writer.pre += 1
    elif tag in _BLOCKS:
        writer.end_line()
        if tag == "li":
            writer.current.append("- ")
    elif tag in _CELLS and writer.current:
        writer.text("  ")


def _close(
    node: LexborNode, tag: str, writer: _Writer, links: list[tuple[str, int]], *, with_links: bool
) -> None:
    if tag in _PARAGRAPHS:
        writer.paragraph()
        if tag == "blockquote" and writer.quote:
            writer.quote -= 1
        elif tag == "pre" and writer.pre:
            writer.pre -= 1
    elif tag in _BLOCKS:
        writer.end_line()
    elif with_links and tag == "a" and links:
        target, place = links.pop()
        if target.startswith(("http://", "https://", "mailto:")):
            shown = "".join(writer.current[place:]).strip()
            if shown and shown not in (target, target.removeprefix("mailto:")):
                gap = "" if writer.current[-1].endswith(" ") else " "
                writer.current.append(f"{gap}<{target}>")
