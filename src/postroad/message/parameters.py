"""Content-Type and Content-Disposition: a value and its parameters.

RFC 2045 5.1 rules the syntax, RFC 2231 continuations and charsets; RFC 2047 words inside parameters are wrong
but common (Outlook, most Chinese mailers) and are read. Lenient, bounded, never raises.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from .budget import Budget
from .charsets import decode, storable
from .headers import decode_words, raw_text

MAX_PARAMETERS = 100  # pieces read of one field; a name of 255 characters in RFC 2231 takes under 20
MAX_PARAMETER = 1_024  # characters kept of one value: file systems end at 255, boundaries at 70
MAX_FIELD = 8_192  # bytes read of one field: a name of 1,024 Chinese characters in RFC 2231, and some more
_NAMES = frozenset(("filename", "name"))  # parameters that no program writes a comment behind

_PARAMETER = re.compile(r';\s*+([^\s=;"]{1,80})\s*+=\s*+("(?:[^"\\]|\\.)*+"?|[^;]*+)', re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")
_BRACKET = re.compile(r"[()]")
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)
_SIMPLE = re.compile(
    r"\s*+([\w/.+-]++)\s*+(?:;\s*+([A-Za-z-]++)=\"?([^\s\"\\;()'%?]++)\"?;?)?+\s*+\Z", re.ASCII
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]+")


def parse_parametrised(value: bytes, budget: Budget | None = None) -> tuple[str, dict[str, str]]:
    """Return the leading value in lower case (`text/plain`, `attachment`) and the decoded parameters.

    Parameter names are lower case; their values are storable text of at most `MAX_PARAMETER` characters.
    `budget` is the mail's; without it the field has one of its own.
    """
    text = raw_text(value[:MAX_FIELD])
    simple = _SIMPLE.match(text)
    if simple is not None:
        head, name, plain = simple.groups()
        return head.lower(), {name.lower(): plain[:MAX_PARAMETER]} if name else {}
    head, _, _ = text.partition(";")
    if "(" in head:
        head = _COMMENT.sub("", head)
    return "".join(head.split()).lower(), _parameters(text, budget or Budget())


def _parameters(text: str, budget: Budget) -> dict[str, str]:
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(text)):
        if count >= MAX_PARAMETERS:
            break
        name = match[1].lower()
        value = _value(match[2], is_name=name.partition("*")[0] in _NAMES)
        if "*" not in name:
            plain.setdefault(name, value)
            continue
        # RFC 2231 3 and 4: name*, name*0, name*0*
        base, _, rest = name.partition("*")
        is_encoded = name.endswith("*")
        number = rest.rstrip("*")
        if number and not (number.isascii() and number.isdigit()):
            continue
        pieces.setdefault(base, {}).setdefault(int(number or 0), (is_encoded, value))
    values = {name: _readable(value, budget) for name, value in plain.items()}
    for base, numbered in pieces.items():
        # The RFC 2231 form says more than the plain one that stands beside it for old readers.
        values[base] = _joined(numbered, budget) or values.get(base, "")
    return values


def _value(written: str, *, is_name: bool) -> str:
    if written.startswith('"'):
        inner = written[1:-1] if len(written) > 1 and written.endswith('"') else written[1:]
        return _UNQUOTE.sub(_unescaped, inner) if "\\" in inner else inner
    written = written.strip()
    # Senders leave values of any characters unquoted, brackets included; a comment stands apart from them.
    return _without_comments(written) if "(" in written and not is_name else written


def _without_comments(text: str) -> str:
    """Take off a comment (RFC 822 3.4.3) before or behind a value, parted from it by a blank."""
    depth = begin = 0
    for bracket in _BRACKET.finditer(text):
        if bracket[0] == "(":
            begin = bracket.start() if depth == 0 else begin
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0 and begin == 0 and text[bracket.end() : bracket.end() + 1].isspace():
                return _without_comments(text[bracket.end() :].lstrip())
            if depth == 0 and bracket.end() == len(text) and (begin == 0 or text[begin - 1].isspace()):
                return text[:begin].rstrip()
    return text


def _unescaped(match: re.Match[str]) -> str:
    # Old mailers write C:\dir\file.doc without escaping: only quotes and backslashes are escaped for good.
    return match[1] if match[1] in '"\\' else match[0]


def _readable(value: str, budget: Budget) -> str:
    return storable(decode_words(value, budget)).replace("\r", " ").replace("\n", " ")[:MAX_PARAMETER]


def _joined(numbered: dict[int, tuple[bool, str]], budget: Budget) -> str:
    """Put the numbered pieces of RFC 2231 3 together, up to the first gap, and decode them at once."""
    charset = ""
    data = b""
    for number in range(len(numbered)):
        if number not in numbered:
            break
        is_encoded, value = numbered[number]
        if is_encoded:
            if number == 0 and value.count("'") >= 2:
                charset, _, value = value.split("'", 2)
            data += unquote_to_bytes(value)
        else:
            data += value.encode("utf-8", "replace")
    text = decode(data, charset or None) if data else ""
    return _readable(text, budget)


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 2045 5.1: what a type, an encoding or a parameter name is made of."""
    return _TOKEN.fullmatch(text) is not None
