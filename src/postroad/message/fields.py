"""Writing header fields: folded, encoded where they must be, and closed to injection.

RFC 5322 2.2.3 and 3.4 rule folding and addresses, RFC 2047 encoded words, RFC 2231 parameters. Every function
returns whole fields with CRLF at the end; no value can end a field, because control characters never pass.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from .address import Address
from .headers import Mailbox

LINE = 78  # RFC 5322 2.1.1: lines should not be longer
_HARD_LINE = 998  # RFC 5322 2.1.1: and must not be longer than this
_WORD = 75  # RFC 2047 2: an encoded word is not longer
_PARAMETER_PIECE = 60  # characters of one RFC 2231 piece, so that a line with its name stays short

_CONTROLS = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*\Z")
_PLAIN_PARAMETER = re.compile(r"[A-Za-z0-9 !#$&+\-.^_`{}~@,()\[\]]{1,60}\Z")
_Q_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")  # RFC 2047 5 (3)


def one_line(text: str) -> str:
    """Return `text` without anything that could end a line or a field: controls become single blanks."""
    return _CONTROLS.sub(" ", text).strip()


def folded(name: str, words: Iterable[str]) -> bytes:
    """Return a field whose words, parted by blanks, are folded at `LINE` (RFC 5322 2.2.3)."""
    lines: list[str] = []
    line = f"{name}:"
    for word in words:
        if len(line) + 1 + len(word) > LINE and line.strip() and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {word}"
    lines.append(line)
    return "\r\n".join(lines).encode() + b"\r\n"


def text_field(name: str, text: str) -> bytes:
    """Return an unstructured field, Subject for one; text that is not plain ASCII becomes encoded words."""
    text = one_line(text)
    if text.isascii() and "=?" not in text and "  " not in text:
        words = text.split(" ")
        if all(len(word) < _HARD_LINE - len(name) - 10 for word in words):
            return folded(name, words)
    return folded(name, encoded_words(text, LINE - len(name) - 2))


def encoded_words(text: str, first_room: int = _WORD) -> list[str]:
    """Return `text` as UTF-8 encoded words (RFC 2047), never cut inside a character; B or Q, the shorter one.

    `first_room` is what the first line has left.
    """
    data = text.encode("utf-8", "replace")
    q_length = sum(1 if octet in _Q_SAFE or octet == 0x20 else 3 for octet in data)
    if q_length <= len(data) * 4 // 3:
        return _words(text, "Q", _q_encoded, first_room)
    return _words(text, "B", lambda piece: base64.b64encode(piece).decode(), first_room)


def _q_encoded(data: bytes) -> str:
    return "".join(
        chr(octet) if octet in _Q_SAFE else "_" if octet == 0x20 else f"={octet:02X}" for octet in data
    )


def _words(text: str, letter: str, encode: Callable[[bytes], str], first_room: int) -> list[str]:
    head = f"=?UTF-8?{letter}?"
    words = []
    piece = ""
    room = min(_WORD, max(first_room, 40)) - len(head) - 2
    for character in text:
        if piece and len(encode((piece + character).encode("utf-8", "replace"))) > room:
            words.append(f"{head}{encode(piece.encode('utf-8', 'replace'))}?=")
            piece = ""
            room = _WORD - len(head) - 2
        piece += character
    if piece:
        words.append(f"{head}{encode(piece.encode('utf-8', 'replace'))}?=")
    return words


def address_field(name: str, mailboxes: Sequence[Mailbox]) -> bytes:
    """Return an address field (RFC 5322 3.4); each address is checked. Raises `BadAddress`."""
    words: list[str] = []
    for number, mailbox in enumerate(mailboxes, 1):
        comma = "," if number < len(mailboxes) else ""
        words.extend(mailbox_words(mailbox, comma))
    return folded(name, words)


def mailbox_words(mailbox: Mailbox, ending: str = "") -> list[str]:
    """Return one mailbox as words to fold: its phrase, and its address with `ending`. Raises `BadAddress`."""
    address = str(Address.parse(mailbox.address_text))
    name = one_line(mailbox.name)
    if not name:
        return [address + ending]
    if name.isascii() and "=?" not in name and len(name) < LINE * 2:
        if not _ATOMS.match(name):
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            name = f'"{escaped}"'
        return [name, f"<{address}>{ending}"]
    return [*encoded_words(name), f"<{address}>{ending}"]


def ids_field(name: str, message_ids: Iterable[str]) -> bytes:
    """Return Message-ID, In-Reply-To or References; ids come without brackets, unusable ones are left out."""
    return folded(name, [f"<{one}>" for one in message_ids if is_message_id(one)])


def is_message_id(text: str) -> bool:
    """Whether `text` can stand between the brackets of a message-id: ASCII, so that any server takes the
    mail.
    """
    is_visible = text.isascii() and text.isprintable()
    return 0 < len(text) <= _HARD_LINE - 30 and is_visible and not set(" <>").intersection(text)


def parametrised_field(name: str, value: str, parameters: Iterable[tuple[str, str]]) -> bytes:
    """Return Content-Type or Content-Disposition with parameters.

    A parameter that is not plain ASCII is written twice: as encoded words for old mailers (Outlook, QQ Mail
    and Foxmail read these), and as RFC 2231 orders, which readers prefer.
    """
    words = [value]
    for parameter, text in parameters:
        text = one_line(text)
        if _PLAIN_PARAMETER.match(text):
            pieces = [f'{parameter}="{text}"']
        elif text.isascii() and len(text) <= _PARAMETER_PIECE:
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            pieces = [f'{parameter}="{escaped}"']
        else:
            old = encoded_words(text, LINE - len(parameter) - 6)
            old[0] = f'{parameter}="{old[0]}'
            old[-1] += '"'
            words[-1] += ";"
            words.extend(old)
            pieces = _rfc2231(parameter, text)
        for piece in pieces:
            words[-1] += ";"
            words.append(piece)
    return folded(name, words)


def _rfc2231(parameter: str, text: str) -> list[str]:
    """Return the pieces of RFC 2231 4.1: percent-encoded UTF-8, cut between characters."""
    pieces = [""]
    for character in text:
        encoded = quote(character.encode("utf-8", "replace"), safe="")
        if len(pieces[-1]) + len(encoded) > _PARAMETER_PIECE:
            pieces.append("")
        pieces[-1] += encoded
    if len(pieces) == 1:
        return [f"{parameter}*=UTF-8''{pieces[0]}"]
    pieces[0] = f"UTF-8''{pieces[0]}"
    return [f"{parameter}*{number}*={piece}" for number, piece in enumerate(pieces)]
