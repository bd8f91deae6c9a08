"""Header fields: finding them in raw bytes, and reading what people and programs put into them.

RFC 5322 rules the fields, RFC 2047 the words in other charsets, RFC 6532 raw UTF-8 ones. Reading is lenient
and never raises: mails come as they are, broken mailers' included. Values go in as raw bytes and come out as
storable text.
"""

from __future__ import annotations

import binascii
import re
import string
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from itertools import islice
from typing import NamedTuple

from .budget import Budget
from .charsets import decode, storable, undirected

MAX_HEADER_BYTES = (
    256 * 1024
)  # looked at of one block; Postfix keeps 100 KB (header_size_limit), Gmail takes 500 KB
MAX_HEADER_FIELDS = (
    10_000  # looked at in one block; real mails have under 200, the rest is somebody's experiment
)
MAX_VALUE = 64 * 1024  # bytes read of one field's value: 1,000 addresses; longer ones are cut
MAX_ENCODED_ADDRESS = 1_000  # characters read of an address that was encoded with its name
MAX_ADDRESSES = 2_000  # read of one list; Gmail sends one mail to at most 2,000 recipients
MAX_BASE64_PIECES = 5_000  # padded pieces of one text; programs that encode line by line give a few hundred
MAX_MESSAGE_IDS = 100  # read of References; RFC 5537 3.4.4 lets followups drop older ones

# One field: group 1 its name, group 2 its raw value. RFC 5322 2.2 and 3.6.8, with the blanks before the colon
# of 4.5. Continuation lines begin with a blank.
FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_LINE_BREAK = re.compile(rb"\r?\n|\r")
_ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?([^?]*)\?=")
_QUOTED_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = bytes(set(range(256)).difference(string.ascii_letters.encode(), string.digits.encode(), b"+/="))
_PIECE = 1024 * 1024
_PADDING = re.compile(rb"=+")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,998})>")


class HeaderField(NamedTuple):
    """One field as it stands: `name` in lower case, `value` the raw bytes behind the colon (folds included,
    without the final line break), `offset` where the field begins in the content."""

    name: str
    value: bytes
    offset: int


class Mailbox(NamedTuple):
    """Someone in an address field: the decoded display name (may be empty) and the address as written."""

    name: str
    address_text: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address_text}>" if self.name else self.address_text


def shown_as(name: str, address: str) -> str:
    """What stands for somebody where there is room for one text: the name, or else the address.

    A name that holds an address of its own is not believed: the real address stands before it.
    """
    if not name or not address:
        return name or address
    plain = unicodedata.normalize("NFKC", name)  # so that a full-width @ is one as well
    if "@" not in plain:
        return name
    if plain.strip(" <>\"'").casefold() == address.casefold():
        return address
    return f"{address} ({name})"


class ListItem(NamedTuple):
    """One item of an address list in the form IMAP tells it (RFC 9051 7.5.2): `name` raw, encoded words
    intact.

    A group begins with an item whose host is None and whose mailbox is its name, and ends with one of three
    Nones. A word that is no address has the host "".
    """

    name: str | None
    mailbox: str | None
    host: str | None


def header_section(content: bytes) -> bytes:
    """Return the header of a mail up to and with the line end of its last field (RFC 5322 2.1)."""
    if content.startswith(b"\r\n"):
        return b""
    end = content.find(b"\r\n\r\n")
    return content if end < 0 else content[: end + 2]


def header_fields(content: bytes, start: int, end: int) -> list[HeaderField]:
    """List the fields between two offsets, in order; lines that are no field are passed over.

    At most `MAX_HEADER_BYTES` and `MAX_HEADER_FIELDS` are looked at.
    """
    return [
        HeaderField(match[1].decode("ascii").lower(), match[2], start + match.start())
        for match in field_matches(content[start : min(end, start + MAX_HEADER_BYTES)])
    ]


def field_matches(block: bytes) -> Iterator[re.Match[bytes]]:
    """Yield a match for each field of a header block: group 1 the name, group 2 the raw value."""
    return islice(FIELD.finditer(block), MAX_HEADER_FIELDS)


def first(fields: list[HeaderField], name: str) -> bytes | None:
    """Return the raw value of the first field called `name` (lower case), or None."""
    for field in fields:
        if field.name == name:
            return field.value
    return None


def unfold(value: bytes) -> bytes:
    """Return a raw value without its folds and outer blanks (RFC 5322 2.2.3), cut at `MAX_VALUE` bytes."""
    if len(value) > MAX_VALUE:
        value = value[:MAX_VALUE]
    value = value.strip(b" \t\r\n\0")
    if b"\n" in value or b"\r" in value:
        value = _LINE_BREAK.sub(b"", value)
    return value


def raw_text(value: bytes) -> str:
    """Return a raw value as text with its encoded words untouched; raw 8-bit is read as UTF-8 or guessed."""
    value = value.strip()
    if value.isascii() and len(value) <= MAX_VALUE:
        text = value.decode("ascii")
        if text.isprintable():
            return text
    return decode(unfold(value), None)


def decode_text(value: bytes, budget: Budget | None = None) -> str:
    """Return what an unstructured field (Subject) says: unfolded, decoded, blanks as single spaces."""
    return _tidy(decode_words(raw_text(value), budget))


def _tidy(text: str) -> str:
    text = " ".join(text.split())
    return text if text.isprintable() else " ".join(undirected(storable(text)).split())


def decode_words(text: str, budget: Budget | None = None) -> str:
    """Replace the encoded words of RFC 2047 in `text`; what only looks like one stays as it is.

    Neighbours of one charset are joined before they are decoded: many mailers cut in the middle of a
    character. `budget` is the mail's; without it the text has one of its own.
    """
    if "=?" not in text:
        return text
    budget = budget or Budget()
    pieces: list[str] = []
    pending: list[bytes] = []
    pending_charset = ""
    position = 0
    for match in _ENCODED_WORD.finditer(text):
        if not budget.take_word():
            break
        between = text[position : match.start()]
        charset = match[1].lower()
        if position and not between.strip():
            # RFC 2047 6.2: blanks between neighbouring encoded words are not shown
            if charset != pending_charset:
                pieces.append(decode(b"".join(pending), pending_charset))
                pending = []
        else:
            if pending:
                pieces.append(decode(b"".join(pending), pending_charset))
                pending = []
            pieces.append(between)
        pending.append(_word_bytes(match[2], match[3]))
        pending_charset = charset
        position = match.end()
    if pending:
        pieces.append(decode(b"".join(pending), pending_charset))
    pieces.append(text[position:])
    return "".join(pieces)


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return _QUOTED_HEX.sub(lambda match: bytes.fromhex(match[1].decode()), data.replace(b"_", b" "))
    return lenient_base64(data)


def lenient_base64(data: bytes) -> bytes:
    """Decode base64 that may hold foreign characters, lack its padding, or be several pieces in a row.

    Behind `MAX_BASE64_PIECES` the padding between pieces is passed over, as most readers do everywhere.
    """
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        pass
    letters = data.translate(None, _NOT_BASE64).rstrip(b"=")
    decoded = []
    position = 0
    for end in islice(_PADDING.finditer(letters), MAX_BASE64_PIECES):
        decoded.append(_letters_decoded(letters[position : end.start()]))
        position = end.end()
    decoded.append(_letters_decoded(letters[position:].replace(b"=", b"")))
    return b"".join(decoded)


def _letters_decoded(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    letters += b"=" * (-len(letters) % 4)
    # A piece at a time, a multiple of four letters: one call for 50 MB would hold every other thread.
    return b"".join(binascii.a2b_base64(letters[at : at + _PIECE]) for at in range(0, len(letters), _PIECE))


# The lexical tokens of RFC 5322 3.4, each optional at its end so that nothing is searched for twice.
_TOKEN = re.compile(
    r'\s*(?:(?P<word>=\?[^?\s]{1,99}\?[bBqQ]\?[^?"<>]*+\?=)|(?P<quoted>"(?:[^"\\]|\\.)*+"?)|(?P<angle><[^<>]*+>?)'
    r"|(?P<mark>[,;:(])|(?P<atom>[^\s,;:(<\"]++))",
    re.DOTALL,
)
_COMMENT_MARK = re.compile(r"\\.|[()]", re.DOTALL)
_SIMPLE = re.compile(
    r"(?:([\w!#$%&'*+\-/=?^`{|}~. ]*?|\"[^\"\\]*\") ?<([^\s<>()\[\]\\,;:@\"]+)@([^\s<>()\\,;:@\"]+)>)\Z"
)
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)


def address_items(text: str) -> list[ListItem]:
    """Parse an address list (RFC 5322 3.4, groups, comments and the usual mistakes) into IMAP's form."""
    simple = _SIMPLE.match(text)
    if simple is not None:
        return [ListItem(simple[1].strip('" ') or None, simple[2], simple[3])]
    items: list[ListItem] = []
    phrase: list[list[str]] = []  # the words since the last separator, each of tokens without blanks between
    comment = ""
    in_group = has_angled = is_open = False
    position, end = 0, len(text)

    def flush() -> None:
        nonlocal comment, has_angled
        if phrase and has_angled and not items[-1].name and not any(map(_is_address, phrase)):
            items[-1] = items[-1]._replace(name=_name(phrase))  # `<li@example.com> Li Si`
        elif phrase:
            items.extend(_bare(phrase, comment))
        phrase.clear()
        comment, has_angled = "", False

    while position < end and len(items) < MAX_ADDRESSES:
        token = _TOKEN.match(text, position)
        if token is None:
            break
        kind = token.lastgroup
        value = token[kind] if kind else ""
        follows = is_open and kind is not None and token.start(kind) == position
        is_open = False
        position = token.end()
        if kind == "angle":
            items.append(_angled(value.strip("<> \t"), phrase, comment))
            phrase.clear()
            comment, has_angled = "", True
        elif kind == "mark":
            if value == "(":
                inner, position = _comment(text, position)
                comment = comment or inner
            elif value == ",":
                flush()
            elif value == ":" and not in_group:
                items.append(ListItem(None, _name(phrase), None))
                phrase.clear()
                in_group = True
            elif value == ";":
                flush()
                if in_group:
                    items.append(ListItem(None, None, None))
                    in_group = False
        else:
            is_open = kind != "word"
            if follows and is_open:
                phrase[-1].append(value)
            else:
                phrase.append([value])
    flush()
    if in_group:
        items.append(ListItem(None, None, None))
    return _joined_names(items)


def _joined_names(items: list[ListItem]) -> list[ListItem]:
    """Give `Doe, John <j@example.com>`, written without quotes, its name back."""
    if not any(item.host == "" for item in items):
        return items
    joined: list[ListItem] = []
    for item in items:
        previous = joined[-1] if joined else None
        if item.host and item.name and previous is not None and previous.host == "" and not previous.name:
            joined[-1] = ListItem(f"{previous.mailbox}, {item.name}", item.mailbox, item.host)
        else:
            joined.append(item)
    return joined


def _unquoted(word: str) -> str:
    if not word.startswith('"'):
        return word
    inner = word[1:-1] if len(word) > 1 and word.endswith('"') else word[1:]
    return _UNQUOTE.sub(r"\1", inner) if "\\" in inner else inner


def _name(phrase: list[list[str]]) -> str:
    return " ".join(_unquoted(token) for word in phrase for token in word)


def _angled(address: str, phrase: list[list[str]], comment: str) -> ListItem:
    if address.startswith("@") and ":" in address:  # a source route, RFC 5322 4.4: read and dropped
        address = address.rpartition(":")[2]
    local_part, at, host = address.rpartition("@")
    name = _name(phrase) or comment or None
    if not at:
        return ListItem(name, address, "")
    return ListItem(name, _unquoted(local_part.strip()), host.strip())


def _is_address(word: list[str]) -> bool:
    """Whether a word can be an address by itself: something on both sides of an @, not all of it quoted."""
    local_part, _, host = word[-1].rpartition("@")
    return bool(host) and not word[-1].startswith('"') and bool(local_part or len(word) > 1)


def _bare(phrase: list[list[str]], comment: str) -> list[ListItem]:
    """Read words without angle brackets: an address with the words of a name before or behind it, several
    addresses that lack their commas, an address with blanks in it, or no address.
    """
    places = [place for place, word in enumerate(phrase) if _is_address(word)]
    if not places:
        tokens = [token for word in phrase for token in word]
        text = _unquoted(tokens[0]) if len(tokens) == 1 else "".join(tokens)  # `"li@example.com"`
        local_part, at, host = text.rpartition("@")
        if at:  # RFC 5322 4.4: blanks around the @ and the dots
            return [ListItem(comment or None, _unquoted(local_part), host)]
        return [ListItem(comment or None, " ".join(map(_unquoted, map("".join, phrase))), "")]
    found = []
    begin = 0
    for number, place in enumerate(places):
        local_part, _, host = "".join(phrase[place]).rpartition("@")
        names = phrase[begin:place]
        if number == len(places) - 1 and not names:
            names = phrase[place + 1 :]
        found.append(ListItem(_name(names) or comment or None, _unquoted(local_part), host))
        begin = place + 1
    return found


def _comment(text: str, position: int) -> tuple[str, int]:
    """Return a comment that begins behind its parenthesis, and the place behind its end (they nest)."""
    depth = 1
    for mark in _COMMENT_MARK.finditer(text, position):
        if mark[0] == "(":
            depth += 1
        elif mark[0] == ")":
            depth -= 1
            if depth == 0:
                return _UNQUOTE.sub(r"\1", text[position : mark.start()]).strip(), mark.end()
    return _UNQUOTE.sub(r"\1", text[position:]).strip(), len(text)


def mailboxes(items: list[ListItem], budget: Budget | None = None) -> list[Mailbox]:
    """Return the people of a parsed list, names decoded; groups give their members only.

    Of a list that a mailer encoded as a whole, addresses and all, what is inside is read.
    """
    budget = budget or Budget()
    if any(item.host == "" and item.mailbox and item.mailbox.startswith("=?") for item in items):
        items = [inner for item in items for inner in _opened(item, budget)]
    return [
        Mailbox(
            _tidy(decode_words(item.name, budget)) if item.name else "",
            _address_text(item.mailbox or "", item.host, budget),
        )
        for item in items
        if item.host is not None
    ]


def _opened(item: ListItem, budget: Budget) -> list[ListItem]:
    if item.host == "" and item.mailbox and item.mailbox.startswith("=?"):
        text = decode_words(item.mailbox, budget)
        if "@" in text:
            return address_items(text[:MAX_ENCODED_ADDRESS])
    return [item]


def _address_text(mailbox: str, host: str, budget: Budget) -> str:
    text = f"{mailbox}@{host}" if host else decode_words(mailbox, budget)
    return text if text.isprintable() else " ".join(undirected(storable(text)).split())


def parse_addresses(value: bytes) -> list[Mailbox]:
    """Parse the raw value of From, To and their like into mailboxes."""
    return mailboxes(address_items(raw_text(value)))


_DATE = re.compile(
    r"(?:[A-Za-z]{3,9},?\s*)?(\d{1,2})\s+([A-Za-z]{3})[a-z]*\s+(\d{4})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?"
    r"\s*(?:([+-])(\d{2})(\d{2})|(?:GMT|UT|UTC|Z)\b)?\s*(?:\([^)]*\)?\s*)?\Z",
    re.ASCII,
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_FIXED = {hours: timezone(timedelta(hours=hours)) for hours in range(-12, 15)}


def parse_date(value: bytes) -> datetime | None:
    """Return the moment a Date field names (RFC 5322 3.3, obsolete and broken forms too), or None if
    hopeless.

    The result keeps the writer's offset; a missing one counts as UTC.
    """
    text = raw_text(value)[:100]
    match = _DATE.match(text)
    try:
        if match is not None:
            month = _MONTHS[match[2].lower()]
            offset = 0
            if match[7]:
                offset = int(match[8]) * 60 + int(match[9])
                offset = -offset if match[7] == "-" else offset
            zone = _FIXED.get(offset // 60) if offset % 60 == 0 else None
            # A leap second is told as the second before it: datetime has none.
            second = min(int(match[6] or 0), 59)
            moment = datetime(
                int(match[3]),
                month,
                int(match[1]),
                int(match[4]),
                int(match[5]),
                second,
                tzinfo=zone or timezone(timedelta(minutes=offset)),
            )
        else:
            moment = _legacy_date(text)
        moment.astimezone(UTC)  # a moment outside the calendar in UTC is no use to anybody
    except (ValueError, OverflowError, KeyError, TypeError, IndexError):
        return None
    return moment


def _legacy_date(text: str) -> datetime:
    """Read a date the strict form refuses; raises ValueError or its like."""
    parsed = parsedate_tz(text)
    if parsed is None:
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    year, month, day, hour, minute, second = parsed[:6]
    zone = timezone(timedelta(seconds=parsed[9] or 0))
    return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)


def parse_message_ids(value: bytes) -> list[str]:
    """List the message-ids of Message-ID, In-Reply-To or References, without angle brackets, in order.

    Of more than `MAX_MESSAGE_IDS` the first (the thread's root) and the last ones are kept.
    """
    text = raw_text(value)
    found = _MESSAGE_ID.findall(text)
    if not found and text and " " not in text and "<" not in text:
        found = [text[:998]]  # Message-ID without its brackets, as some mailers write it
    if len(found) > MAX_MESSAGE_IDS:
        found = [found[0], *found[-(MAX_MESSAGE_IDS - 1) :]]
    return found
