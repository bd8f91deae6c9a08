"""Texts cut into the tokens that search compares: words, numbers, addresses, and pairs of CJK characters.

The same cutting serves documents and queries, so that whatever was indexed can be asked for. Unicode NFKC
makes full-width and half-width forms one; accents are folded; Chinese, Japanese and Korean, which write
without blanks, become overlapping pairs (bigrams) and single characters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_TEXT = 200_000  # characters read of one document: a tsvector ends at 1 MB, and a mail at 20 pages
MAX_NORMALISED = 400_000  # characters that they become: ligatures fall apart, letters rarely
MAX_TOKENS = 8_000  # different ones of one document; 200,000 characters of Chinese prose give about 6,000
MAX_TOKEN = 64  # characters of one; longer runs are base64 and other noise, kept by their beginning
MAX_QUERY = 256  # characters read of one query
MAX_QUERY_TERMS = 16  # of one query; nobody types more on purpose

_CJK = (
    "\u3005-\u3007\u3021-\u3029\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
# An address first (its pieces are cut from it), then CJK runs, then words: letters, digits and marks of any
# script.
_PIECE = re.compile(
    rf"(?P<address>[\w.+-]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}})|(?P<cjk>[{_CJK}]+)|(?P<word>(?:(?![{_CJK}_])\w)+)"
)
_PIECE_LENGTH = 8_192
_ADDRESS_PIECE = re.compile(r"[^\W_]+")
_QUERY_PIECE = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<plain>[^\s"]+))')


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One thing a query asks for: a document fits when it has all of `tokens`.

    With `is_prefix` the last token may also be the beginning of a word. With `is_excluded` a fitting document
    is not wanted.
    """

    tokens: tuple[str, ...]
    is_prefix: bool = False
    is_excluded: bool = False


def normalise(text: str) -> str:
    """Return the form in which texts are compared: NFKC, lower case, without accents."""
    if text.isascii():
        return text.lower()
    # A piece at a time: one character may become 18, and one call for them all would hold every other thread.
    pieces: list[str] = []
    room = MAX_NORMALISED
    for at in range(0, len(text), _PIECE_LENGTH):
        piece = unicodedata.normalize("NFKC", text[at : at + _PIECE_LENGTH]).casefold()
        pieces.append("".join(map(_without_accent, piece)) if _ACCENTED.search(piece) else piece)
        room -= len(piece)
        if room <= 0:
            break
    return "".join(pieces)[:MAX_NORMALISED]


# Latin, Greek and Cyrillic letters and the marks above them. Kana and Hangul also fall apart in NFD: not
# theirs.
_ACCENTED = re.compile("[\u00c0-\u052f\u0300-\u036f\u1e00-\u1fff]")


def _without_accent(letter: str) -> str:
    if not _ACCENTED.match(letter):
        return letter
    return "".join(mark for mark in unicodedata.normalize("NFD", letter) if not unicodedata.combining(mark))


def search_tokens(text: str) -> list[str]:
    """List the different tokens of a document, in order of their first appearance, at most `MAX_TOKENS`."""
    seen: dict[str, None] = {}
    for match in _PIECE.finditer(normalise(text[:MAX_TEXT])):
        kind = match.lastgroup
        piece = match[0]
        if kind == "cjk":
            for character in piece:
                seen[character] = None
            for place in range(len(piece) - 1):
                seen[piece[place : place + 2]] = None
        else:
            if kind == "address":
                for token in _address_tokens(piece):
                    seen[token] = None
            else:
                seen[piece[:MAX_TOKEN]] = None
        if len(seen) >= MAX_TOKENS:
            return list(seen)[:MAX_TOKENS]
    return list(seen)


def _address_tokens(address: str) -> list[str]:
    """Cut `li.si@mail.example.com` into itself, its domain and the words of both."""
    address = address.strip(".-+_")[:254]
    _, _, domain = address.partition("@")
    tokens = [address, domain]
    for piece in _ADDRESS_PIECE.findall(address):
        tokens.extend(_word_tokens(piece))
    return [token for token in tokens if token]


def _word_tokens(piece: str) -> list[str]:
    """Cut a run of letters where CJK begins and ends."""
    tokens: list[str] = []
    for match in _PIECE.finditer(piece):
        if match.lastgroup == "cjk":
            tokens.extend(match[0])
            tokens.extend(match[0][place : place + 2] for place in range(len(match[0]) - 1))
        else:
            tokens.append(match[0][:MAX_TOKEN])
    return tokens


def query_terms(query: str) -> list[QueryTerm]:
    """Read what a person typed into the search field; all terms must fit.

    Blanks part terms, `"…"` keeps words together (all of them must be there), a leading `-` excludes. A word
    without quotes also finds longer words that begin with it. Nothing searchable gives an empty list.
    """
    terms: list[QueryTerm] = []
    for match in _QUERY_PIECE.finditer(query[:MAX_QUERY]):
        is_excluded = bool(match["minus"])
        if match["phrase"] is not None:
            tokens = _query_tokens(match["phrase"])
            if tokens:
                terms.append(QueryTerm(tuple(tokens), is_excluded=is_excluded))
            continue
        plain = match["plain"]
        tokens = _query_tokens(plain)
        if tokens:
            last = tokens[-1]
            is_prefix = not re.match(f"[{_CJK}]", last) and plain[-1].isalnum()
            terms.append(QueryTerm(tuple(tokens), is_prefix=is_prefix, is_excluded=is_excluded))
    return terms[:MAX_QUERY_TERMS]


def _query_tokens(text: str) -> list[str]:
    """Cut a query's text: as a document's, but of CJK runs longer than one character only the pairs."""
    tokens: dict[str, None] = {}
    for match in _PIECE.finditer(normalise(text)):
        piece = match[0]
        if match.lastgroup == "cjk":
            if len(piece) == 1:
                tokens[piece] = None
            for place in range(len(piece) - 1):
                tokens[piece[place : place + 2]] = None
        elif match.lastgroup == "address":
            tokens[piece.strip(".-+_")[:254]] = None
        else:
            tokens[piece[:MAX_TOKEN]] = None
    return [token for token in tokens if token]
