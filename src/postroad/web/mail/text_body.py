"""A plain text body made into markup: links one can follow, quotes folded, the signature set apart.

Everything of the mail is escaped; the only elements are ours. Quotes: RFC 3676 4.5; signature: RFC 3676 4.3.
What a page shows of all its texts is bounded before any work is done on it (`cut`), and every step here takes
time in proportion to what is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from markupsafe import Markup, escape

from postroad.message.budget import Budget

MAX_SEARCHED = 8_000  # characters in which links are looked for at once; a link has 2,000 at most
FOLDED_LINES = 3  # shorter quotes stay open

_LINK = re.compile(
    r"(?P<url>\b(?:https?://|www\.)[^\s<>\"'“”‘’（）【】《》「」，。；！？、\u3000]{2,2000})"
    r"|(?P<mail>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})",
    re.IGNORECASE,
)
_TRAILING = frozenset(".,;:!?)]}>*_'\"")


def cut(text: str, budget: Budget) -> tuple[str, bool]:
    """Return what may be shown of a text, whole lines where lines are the limit, and whether that is all."""
    shown = text.rstrip()
    length = len(shown)
    if length > budget.characters:
        shown = shown[: budget.characters]
    lines = shown.count("\n") + 1
    if lines > budget.lines:
        end = 0
        for _ in range(budget.lines):
            end = shown.index("\n", end) + 1
        shown, lines = shown[: max(end - 1, 0)], budget.lines
    budget.characters -= len(shown)
    budget.lines -= lines
    return shown, len(shown) == length


def unflowed(text: str, *, deletes_space: bool = False) -> str:
    """Join the lines of a `format=flowed` text that its sender broke softly (RFC 3676 4.1 to 4.5).

    `deletes_space` is the parameter DelSp: the blank at a soft end goes too, as in Chinese.
    """
    pieces: list[str] = []
    depth_before, flows = -1, False
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare.removeprefix(" ")  # RFC 3676 4.4: space-stuffed
        joins = flows and depth == depth_before and bare != "-- "
        flows = bare.endswith(" ") and bare != "-- "
        if not joins:
            pieces.append(f"\n{'>' * depth} " if depth else "\n")
        pieces.append(bare[:-1] if flows and deletes_space else bare)
        depth_before = depth
    return "".join(pieces)[1:]


def text_markup(text: str, quoted_label: str, budget: Budget) -> Markup:
    """Return the markup of a text that was cut; `quoted_label` names a folded quote."""
    label = escape(quoted_label)
    pieces: list[str] = []
    for is_quote, lines in _blocks(text.split("\n")):
        block: list[str] = []
        in_signature = False
        for line in lines:
            if line == "-- " and not is_quote and not in_signature:
                in_signature = True
                block.append('<span class="signature">-- ')
                continue
            block.append("".join(_linked(piece, budget) for piece in _pieces(line)))
        joined = "\n".join(block)
        if is_quote and len(lines) > FOLDED_LINES:
            pieces.append(
                f'<details class="quoted"><summary>{label}</summary>'
                f"<blockquote>{joined}</blockquote></details>"
            )
        elif is_quote:
            pieces.append(f"<blockquote>{joined}</blockquote>")
        else:
            pieces.append(f"{joined}</span>" if in_signature else joined)
    # Block elements break lines themselves; text that follows text cannot happen.
    return Markup("".join(pieces))  # noqa: S704 - escaped piece by piece above


def _blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Group lines into quoted and unquoted runs; a quote loses one level of marks."""
    current: list[str] = []
    quoted = False
    for line in lines:
        is_quote = line.startswith(">")
        if is_quote != quoted and current:
            yield quoted, current
            current = []
        quoted = is_quote
        if is_quote:
            line = line[1:].removeprefix(" ")
        current.append(line)
    if current:
        yield quoted, current


def _pieces(line: str) -> Iterator[str]:
    """Cut a long line, at blanks where it has any: one search over it all would hold every other thread."""
    at = 0
    while len(line) - at > MAX_SEARCHED:
        blank = line.rfind(" ", at, at + MAX_SEARCHED) + 1
        end = blank if blank > at else at + MAX_SEARCHED
        yield line[at:end]
        at = end
    yield line[at:]


def _linked(line: str, budget: Budget) -> str:
    if budget.links <= 0 or ("@" not in line and "://" not in line and "www." not in line.lower()):
        return str(escape(line))
    pieces: list[str] = []
    end = 0
    for match in _LINK.finditer(line):
        if budget.links <= 0:
            break
        found = _without_trailing(match[0])
        if not found:
            continue
        if match["mail"]:
            address = f"/mail/compose?to={escape(quote(found))}"
            link = f'<a href="{address}">{escape(found)}</a>'
        else:
            url = escape(found if "://" in found[:9] else f"http://{found}")
            link = f'<a href="{url}" target="_blank" rel="noopener noreferrer nofollow">{escape(found)}</a>'
        pieces += [str(escape(line[end : match.start()])), link]
        end = match.start() + len(found)
        budget.links -= 1
    pieces.append(str(escape(line[end:])))
    return "".join(pieces)


def _without_trailing(found: str) -> str:
    """Leave out the marks that end the sentence, not the address; a bracket that was opened in it stays."""
    unopened = found.count(")") - found.count("(")
    end = len(found)
    while end and found[end - 1] in _TRAILING:
        if found[end - 1] == ")":
            if unopened <= 0:
                break
            unopened -= 1
        end -= 1
    return found[:end]
