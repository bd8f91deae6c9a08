"""The arguments of SMTP commands: paths, parameters, xtext. Pure functions of one line's bytes.

Bad arguments raise the `SmtpReply` that answers them. RFC 5321 4.1.2 (paths), RFC 1870 (SIZE), RFC 6152
(BODY), RFC 6531 (SMTPUTF8), RFC 3461 (DSN), RFC 4954 (AUTH), RFC 3030 (BDAT).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from postroad.message.address import Address, BadAddress
from postroad.protocols.smtp.envelope import (
    BodyType,
    EnvelopeRecipient,
    Notify,
    OriginalRecipient,
    Return,
)
from postroad.protocols.smtp.events import MailFrom
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply

MAX_ENVELOPE_ID = 100  # RFC 3461 4.4, before xtext
MAX_ORIGINAL_RECIPIENT = 500  # RFC 3461 4.2
MAX_HELO = 255  # RFC 5321 4.5.3.1.2

# A path in angle brackets whose local part is quoted, so that ">" and spaces may stand in it.
_QUOTED_PATH = re.compile(rb'<((?:@[^:<>"\s]*:)?"(?:[^"\\]|\\.)*"@[^<>"\s]+)>')
_XTEXT_HEX = re.compile(r"\+([0-9A-F]{2})")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")  # RFC 3461 4
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,32}\Z")
_NUMBER = re.compile(rb"\d{1,20}\Z")  # RFC 1870 4: at most 20 digits
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class PathRules:
    """How a session reads paths.

    `hostname` (a canonical domain) completes `<postmaster>` (RFC 5321 4.5.1). `may_omit_brackets`: old PHP
    programs write `MAIL FROM:a@b`; tolerated from people who signed in.
    """

    hostname: str
    may_omit_brackets: bool = False


def parse_helo(argument: bytes) -> str:
    """Return the name given in HELO or EHLO, made printable; anything is taken except nothing.

    Programs send the machine's name in any encoding; it is only ever shown, so it is never a reason to
    refuse.
    """
    name = argument.strip()
    if not name:
        raise SmtpReply(501, "5.5.4", "Say who you are: HELO hostname")
    return _UNPRINTABLE.sub("?", name[:MAX_HELO].decode("ascii", "replace"))


def parse_mail(argument: bytes, rules: PathRules, limits: ServerLimits) -> MailFrom:
    """Parse what follows `MAIL `."""
    if argument[:5].upper() != b"FROM:":
        raise SmtpReply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
    path, rest = _split_path(argument[5:], rules, "5.1.7")
    if not rest:
        return MailFrom(_sender(path, smtputf8=False))
    size: int | None = None
    body = BodyType.SEVEN_BIT
    smtputf8 = False
    ret: Return | None = None
    envelope_id: str | None = None
    for keyword, value in _parameters(rest).items():
        match keyword:
            case b"SIZE":
                size = _size(value, limits)
            case b"BODY":
                body = _body(value)
            case b"SMTPUTF8" if value is None:
                smtputf8 = True
            case b"RET":
                ret = _return(value)
            case b"ENVID":
                envelope_id = decode_xtext(_required(value, "ENVID"), MAX_ENVELOPE_ID, "ENVID")
            case b"AUTH":
                # RFC 4954 5: to be taken by whoever offers AUTH; nobody is trusted enough to have it passed
                # on.
                decode_xtext(_required(value, "AUTH"), MAX_ORIGINAL_RECIPIENT, "AUTH")
            case _:
                raise _unknown_parameter(keyword)
    return MailFrom(_sender(path, smtputf8), size, body, smtputf8, ret, envelope_id)


def parse_recipient(argument: bytes, rules: PathRules, smtputf8: bool) -> EnvelopeRecipient:
    """Parse what follows `RCPT `; `smtputf8` is whether MAIL asked for it."""
    if argument[:3].upper() != b"TO:":
        raise SmtpReply(501, "5.5.4", "Syntax: RCPT TO:<address>")
    path, rest = _split_path(argument[3:], rules, "5.1.3")
    if path.lower() == b"postmaster":  # RFC 5321 4.5.1: always taken, without a domain
        address = Address(path.decode("ascii"), rules.hostname)
    elif not path:
        raise SmtpReply(501, "5.1.3", "A recipient cannot be empty")
    else:
        address = _address(path, smtputf8, 553, "5.1.3")
    if not rest:
        return EnvelopeRecipient(address)
    notify: Notify | None = None
    original: OriginalRecipient | None = None
    for keyword, value in _parameters(rest).items():
        match keyword:
            case b"NOTIFY":
                notify = _notify(_required(value, "NOTIFY"))
            case b"ORCPT":
                original = _original(_required(value, "ORCPT"))
            case _:
                raise _unknown_parameter(keyword)
    return EnvelopeRecipient(address, notify, original)


def parse_chunk(argument: bytes) -> tuple[int, bool]:
    """Parse what follows `BDAT `: how many octets come, and whether they are the last (RFC 3030 2)."""
    words = argument.upper().split()
    if words and _NUMBER.match(words[0]) and words[1:] in ([], [b"LAST"]):
        return int(words[0]), len(words) == 2
    raise SmtpReply(501, "5.5.4", "Syntax: BDAT octets [LAST]")


def decode_xtext(value: str, limit: int, keyword: str) -> str:
    """Decode xtext (RFC 3461 4) to printable text of at most `limit` characters; raise `SmtpReply`."""
    if not _XTEXT.match(value):
        raise SmtpReply(501, "5.5.4", f"The value of {keyword} is not xtext")
    text = _XTEXT_HEX.sub(lambda match: chr(int(match[1], 16)), value)
    # RFC 3461 4.4 and 4.2 allow printable characters and space; more would let line breaks into notices.
    if not all(" " <= character <= "~" for character in text):
        raise SmtpReply(501, "5.5.4", f"The value of {keyword} has characters that cannot be shown")
    if len(text) > limit:
        raise SmtpReply(501, "5.5.4", f"The value of {keyword} is longer than {limit} characters")
    return text


def encode_xtext(text: str) -> str:
    """Encode text as xtext (RFC 3461 4); anything but printable ASCII as the hex of its UTF-8."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=" else _hex(character)
        for character in text
    )


def _hex(character: str) -> str:
    return "".join(f"+{byte:02X}" for byte in character.encode("utf-8", "replace"))


def _split_path(text: bytes, rules: PathRules, status: str) -> tuple[bytes, bytes]:
    """Split a path from the parameters behind it; the path without brackets and source route."""
    # RFC 5321 3.3 forbids spaces here; old clients and Outlook send one all the same.
    text = text.strip(b" \t")
    if text.startswith(b"<"):
        end = text.find(b">")
        path = text[1:end]
        if b'"' in path:
            quoted = _QUOTED_PATH.match(text)
            if quoted is None:
                raise _bad_path(status)
            path, end = quoted[1], quoted.end() - 1
        elif end < 0:
            raise _bad_path(status)
        rest = text[end + 1 :]
        if rest and rest[:1] not in b" \t":
            raise _bad_path(status)
        if path.startswith(b"@"):  # RFC 5321 4.1.1.3 and appendix C: a source route is accepted and ignored
            _, colon, path = path.partition(b":")
            if not colon:
                raise _bad_path(status)
        return path, rest
    if rules.may_omit_brackets and text and b"<" not in text:
        path, _, rest = text.partition(b" ")
        return path, rest
    raise _bad_path(status)


def _bad_path(status: str) -> SmtpReply:
    return SmtpReply(501, status, "An address stands in angle brackets: <name@domain>")


def _sender(path: bytes, smtputf8: bool) -> Address | None:
    return _address(path, smtputf8, 553, "5.1.7") if path else None


def _address(path: bytes, smtputf8: bool, code: int, status: str) -> Address:
    try:
        text = path.decode("ascii")
    except UnicodeDecodeError:
        if not smtputf8:  # RFC 6531 3.1: only where MAIL carried SMTPUTF8
            raise SmtpReply(553, "5.6.7", "An address outside ASCII needs SMTPUTF8") from None
        try:
            text = path.decode("utf-8")
        except UnicodeDecodeError:
            raise SmtpReply(code, status, "The address is not UTF-8") from None
    try:
        return Address.parse(text)
    except BadAddress as error:
        raise SmtpReply(code, status, f"Bad address: {error}") from None


def _parameters(text: bytes) -> dict[bytes, str | None]:
    found: dict[bytes, str | None] = {}
    for word in text.split():
        keyword, equals, value = word.partition(b"=")
        keyword = keyword.upper()
        if keyword in found:
            raise SmtpReply(501, "5.5.4", "A parameter is given twice")
        try:
            found[keyword] = value.decode("ascii") if equals else None
        except UnicodeDecodeError:
            raise SmtpReply(501, "5.5.4", "A parameter is not ASCII") from None
    return found


def _required(value: str | None, keyword: str) -> str:
    if not value:
        raise SmtpReply(501, "5.5.4", f"{keyword} needs a value")
    return value


def _unknown_parameter(keyword: bytes) -> SmtpReply:
    # RFC 5321 4.1.1.11
    return SmtpReply(555, "5.5.4", f"Unknown parameter {keyword[:40].decode('ascii', 'replace')}")


def _size(value: str | None, limits: ServerLimits) -> int:
    digits = _required(value, "SIZE")
    if not _NUMBER.match(digits.encode()):
        raise SmtpReply(501, "5.5.4", "SIZE needs a number of bytes")
    size = int(digits)
    if size > limits.message:  # RFC 1870 6.1: refused before anything of it is sent
        raise SmtpReply(552, "5.3.4", f"The message is larger than {limits.message} bytes")
    return size


def _body(value: str | None) -> BodyType:
    try:
        return BodyType((value or "").upper())
    except ValueError:
        raise SmtpReply(501, "5.5.4", "BODY is 7BIT or 8BITMIME") from None


def _return(value: str | None) -> Return:
    try:
        return Return((value or "").upper())
    except ValueError:
        raise SmtpReply(501, "5.5.4", "RET is FULL or HDRS") from None


def _notify(value: str) -> Notify:
    flags = Notify(0)
    for word in value.upper().split(","):
        flag = Notify.__members__.get(word)
        if flag is None:
            raise SmtpReply(501, "5.5.4", "NOTIFY is NEVER, or of SUCCESS, FAILURE and DELAY")
        flags |= flag
    if Notify.NEVER in flags and flags != Notify.NEVER:  # RFC 3461 4.1: NEVER stands alone
        raise SmtpReply(501, "5.5.4", "NOTIFY=NEVER stands alone")
    return flags


def _original(value: str) -> OriginalRecipient:
    address_type, separator, address = value.partition(";")
    if not separator or not _ADDRESS_TYPE.match(address_type):
        raise SmtpReply(501, "5.5.4", "ORCPT is of the form type;address")
    return OriginalRecipient(address_type.lower(), decode_xtext(address, MAX_ORIGINAL_RECIPIENT, "ORCPT"))
