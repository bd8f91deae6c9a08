"""Bytes of a claimed, wrong or missing charset made into text that can be stored.

Rules: the labels as browsers read them (WHATWG Encoding 4.2: gb2312 is read as its superset, latin-1 as
windows-1252), RFC 2046 4.1.2 for the default. Text leaves here without NUL, control characters or surrogates.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

from charset_normalizer import from_bytes

from .budget import Budget

MAX_WEIGHED = 4096  # bytes of a body in which everyday Chinese characters are counted
MAX_NAME = 512  # bytes of a name or a word in which they are, 0.1 ms
MAX_GUESSED = 2048  # bytes charset-normalizer is shown: it takes about 2 ms for each KB it must weigh
MAX_DAMAGED = 0.2  # share of characters that may be broken before a label counts as wrong
_ENOUGH_COMMON = 0.6  # share of first-level characters; running Chinese text has over 0.9, Russian under 0.3

# Every label that may name a codec; unlisted ones are guessed, so that "unicode_escape" or "rot13" never
# runs.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "x-gbk": "gb18030",
    "windows-936": "gb18030",
    "ms936": "gb18030",
    "euc-cn": "gb18030",
    "gb_2312-80": "gb18030",
    "csgb2312": "gb18030",
    "x-euc-cn": "gb18030",
    "gb18030": "gb18030",
    "hz-gb-2312": "hz",
    "hz": "hz",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "cp950": "cp950",
    "x-x-big5": "big5hkscs",
    "csbig5": "big5hkscs",
    "euc-tw": "cp950",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "cp932": "cp932",
    "euc-jp": "euc_jp",
    "x-euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp_ext",
    "csiso2022jp": "iso2022_jp_ext",
    "iso-2022-jp-2": "iso2022_jp_2",
    "cp50220": "iso2022_jp_ext",
    "iso-2022-kr": "iso2022_kr",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "cp949": "cp949",
    "windows-949": "cp949",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "utf-32": "utf-32",
    "utf-7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
    "macintosh": "mac_roman",
    "x-mac-roman": "mac_roman",
    "iso-8859-8-i": "iso8859_8",
    "cp866": "cp866",
    "cp437": "cp437",
    "cp850": "cp850",
    "cp852": "cp852",
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{n}": f"cp{n}" for n in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258)},
    **{f"cp{n}": f"cp{n}" for n in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258)},
}

_PLAIN_ASCII = frozenset(("utf-8", "gb18030", "cp1252"))  # codecs whose ASCII bytes are always ASCII

_UNSTORABLE = re.compile("[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ud800-\udfff\ufffe\uffff]")
# What turns the direction of the text around it (Unicode TR 9 2): a name with one that ends in `fdp.exe`
# reads as if it ended in `exe.pdf`.
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FOREIGN = re.compile(rb"[\x80-\xff]")
_GB_PAIR = re.compile(rb"[\x81-\xfe][\x30-\x39\x40-\x7e\x80-\xfe]")
_GB_COMMON = re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]")
_BIG5_COMMON = re.compile(rb"[\xa1-\xc6][\x40-\x7e\xa1-\xfe]")
_EUC_KANA = re.compile(rb"[\xa4\xa5][\xa1-\xf6]")


def storable(text: str) -> str:
    """Return `text` without what a database or a page cannot hold: NUL, controls (not tab, CR, LF),
    surrogates.
    """
    if text.isprintable() or not _UNSTORABLE.search(text):
        return text
    return _UNSTORABLE.sub("", text)


def undirected(text: str) -> str:
    """Return a name, subject or address without controls of direction: it reads as its letters stand."""
    if text.isascii() or not _DIRECTIONS.search(text):
        return text
    return _DIRECTIONS.sub("", text)


@lru_cache(maxsize=512)
def codec_for(label: str) -> str | None:
    """Return the Python codec that reads what mails label `label`, or None where nothing known is named."""
    name = label.strip().strip("\"'").lower()
    codec = _SUPERSETS.get(name) or _SUPERSETS.get(name.replace("_", "-"))
    if codec is None and name.startswith("iso8859"):
        codec = _SUPERSETS.get("iso-8859" + name[7:])
    return codec


def decode(data: bytes, charset: str | None) -> str:
    """Return the text of `data`, labelled `charset` (None: no label). Never raises, never loses the ASCII in
    it.

    A label that does not fit the bytes is set aside: UTF-8, the encodings of Chinese and Japanese, and
    windows-1252 are tried then. Cheap: for names, words and parameters, of which a mail may have thousands.
    """
    return storable(decode_line(data, charset))


def decode_body(data: bytes, charset: str | None, budget: Budget) -> str:
    """Do as `decode` for a body, which is long enough to tell any encoding by its letters' frequency.

    That takes milliseconds, so a mail has one such guess (`Budget.guesses`); further ones are cheap.
    """
    return storable(decode_line(data, charset, budget))


def decode_line(data: bytes, charset: str | None, budget: Budget | None = None) -> str:
    """Do as `decode`, or with a budget as `decode_body`, but leave control characters in: for callers that
    fold blanks before they call `storable`.
    """
    codec = codec_for(charset) if charset else None
    if codec in _PLAIN_ASCII and data.isascii():
        return data.decode("ascii")
    if codec is None:
        return _guess(data, budget)
    try:
        # A byte order mark is no character of the text ("utf-8-sig" would say the same three times as
        # slowly).
        return data.decode(codec).removeprefix("\ufeff")
    except (UnicodeError, ValueError):
        pass
    if codec == "iso2022_jp_ext":
        # Windows mailers put row 13 (①, ㈱) under the plain JIS X 0208 escape; JIS X 0213 has it at the same
        # place.
        return data.replace(b"\x1b$B", b"\x1b$(Q").decode("iso2022_jp_2004", "replace")
    if codec != "utf-8" and _fits(data, "utf-8"):
        return data.decode("utf-8")
    if codec == "cp1252":
        return data.decode("latin-1")
    text = data.decode(codec, "replace")
    if codec == "utf-8" and _is_mostly_broken(text):
        return _guess(data, budget)
    return text


def _is_mostly_broken(text: str) -> bool:
    """Whether the label was wrong, and not only a few bytes: told by the share of broken characters."""
    beginning = text[: MAX_WEIGHED * 16]
    foreign = len(beginning) - len(beginning.encode("ascii", "ignore"))
    return beginning.count("\ufffd") > foreign * MAX_DAMAGED


def _fits(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeError:
        return False
    return True


def _guess(data: bytes, budget: Budget | None) -> str:
    """Decode bytes that nobody labelled, or wrongly: UTF-8, then the encodings of Chinese and Japanese, then
    (with a budget) a statistical guess.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\x1b$" in data:  # Japanese in seven bits: valid UTF-8 as well, but nobody's text
        return data.decode("iso2022_jp_ext", "replace")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        # A text cut in the middle of its last character is still UTF-8.
        if error.reason == "unexpected end of data" and error.start > len(data) - 4 and error.start > 0:
            return data.decode("utf-8", "replace")
    foreign = _FOREIGN.search(data)
    start = foreign.start() if foreign is not None else 0  # no encoding looked for begins a letter before it
    codec = _chinese(data[start : start + (MAX_NAME if budget is None else MAX_WEIGHED)])
    if codec is not None:
        return data.decode(codec, "replace")
    # Shorter ones give it too little to tell encodings apart.
    if budget is not None and len(data) - start >= 32 and budget.take_guess():
        best = from_bytes(data[start : start + MAX_GUESSED]).best()
        if best is not None and codec_for(best.encoding.replace("_", "-")) is not None:
            return data.decode(best.encoding, "replace")
    return data.decode("cp1252", "replace")


def _chinese(sample: bytes) -> str | None:
    """Say whether unlabelled bytes are GB 18030 or Big5, judged by how many are everyday characters."""
    high = sum(map((0x7F).__lt__, sample))
    if high < 2:
        return None
    pairs = len(_GB_PAIR.findall(sample))
    if not pairs:
        return None
    kana = len(_EUC_KANA.findall(sample))
    if kana * 3 > pairs and _fits(sample[: len(sample) - 1], "euc_jp"):
        return "euc_jp"
    if len(_GB_COMMON.findall(sample)) >= pairs * _ENOUGH_COMMON and _decodes_mostly(sample, "gb18030"):
        return "gb18030"
    if len(_BIG5_COMMON.findall(sample)) >= pairs * 0.9 and _decodes_mostly(sample, "big5hkscs"):
        return "big5hkscs"
    return None


def _decodes_mostly(sample: bytes, codec: str) -> bool:
    return sample.decode(codec, "replace").count("\ufffd") <= len(sample) // 200 + (
        1 if len(sample) > 8 else 0
    )
