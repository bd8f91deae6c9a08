"""A plain text body made into markup: links one can follow, quotes folded, the signature set apart.

Everything of the mail is escaped; the only elements are ours. Quotes: RFC 3676 4.5; signature: RFC 3676 4.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from markupsafe import Markup, escape

MAX_CHARACTERS = 500_000  # shown; the whole is in the downloaded mail
MAX_LINKS = 2000  # a mail with more is a list nobody clicks through
FOLDED_LINES = 3  # shorter quotes stay open

_LINK = re.compile(
    r"(?P<url>\b(?:https?://|www\.)[^\s<>\"'“”‘’（）【】《》「」，。；！？、\u3000]{2,2000})"
    r"|(?P<mail>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})",
    re.IGNORECASE,
)
_TRAILING = ".,;:!?)]}>*_'\""


def unflowed(text: str, *, deletes_space: bool = False) -> str:
    """Join the lines of a `format=flowed` text that its sender broke softly (RFC 3676 4.1 to 4.5).

    `deletes_space` is the parameter DelSp: the blank at a soft end goes too, as in Chinese.
    """
    paragraphs: list[str] = []
    depth_before, flows = -1, False
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare.removeprefix(" ")  # RFC 3676 4.4: space-stuffed
        joins = flows and depth == depth_before and bare != "-- "
        flows = bare.endswith(" ") and bare != "-- "
        piece = bare[:-1] if flows and deletes_space else bare
        if joins:
            paragraphs[-1] += piece
        else:
            paragraphs.append(f"{'>' * depth} {piece}" if depth else piece)
        depth_before = depth
    return "\n".join(paragraphs)


def text_markup(text: str, quoted_label: str) -> Markup:
    """Return the markup of a text; `quoted_label` names a folded quote."""
    shown = text[:MAX_CHARACTERS].rstrip()
    pieces: list[Markup] = []
    links = 0
    in_signature = False
    for depth, lines in _blocks(shown.split("\n")):
        block: list[Markup] = []
        for line in lines:
            marked, found = _linked(line, MAX_LINKS - links)
            links += found
            if depth == 0 and line == "-- ":
                in_signature = True
                block.append(Markup('<span class="signature">') + marked)
                continue
            block.append(marked)
        joined = Markup("\n").join(block)
        if depth and len(lines) > FOLDED_LINES:
            pieces.append(
                Markup(
                    '<details class="quoted"><summary>{}</summary><blockquote>{}</blockquote></details>'
                ).format(quoted_label, joined)
            )
        elif depth:
            pieces.append(Markup("<blockquote>{}</blockquote>").format(joined))
        else:
            pieces.append(joined + Markup("</span>") if in_signature else joined)
            in_signature = False
    # Block elements break lines themselves; text that follows text cannot happen.
    return Markup("").join(pieces)


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Group lines into quoted and unquoted runs; a quote loses one level of marks."""
    current: list[str] = []
    quoted = False
    for line in lines:
        is_quote = line.startswith(">")
        if is_quote != quoted and current:
            yield int(quoted), current
            current = []
        quoted = is_quote
        if is_quote:
            line = line[1:].removeprefix(" ")
        current.append(line)
    if current:
        yield int(quoted), current


def _linked(line: str, room: int) -> tuple[Markup, int]:
    if room <= 0 or ("@" not in line and "://" not in line and "www." not in line.lower()):
        return escape(line), 0
    pieces: list[Markup] = []
    end, count = 0, 0
    for match in _LINK.finditer(line):
        if count >= room:
            break
        found = match[0]
        while (
            found
            and found[-1] in _TRAILING
            and not (found[-1] == ")" and found.count("(") >= found.count(")"))
        ):
            found = found[:-1]
        if not found:
            continue
        if match["mail"]:
            link = Markup('<a href="/mail/compose?to={}">{}</a>').format(quote(found), found)
        else:
            url = found if "://" in found[:9] else f"http://{found}"
            link = Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>').format(
                url, found
            )
        pieces += [escape(line[end : match.start()]), link]
        end = match.start() + len(found)
        count += 1
    pieces.append(escape(line[end:]))
    return Markup("").join(pieces), count
