"""The list of standards agrees with what the server announces and with what the code cites."""

from __future__ import annotations

import re
from pathlib import Path

from postroad.protocols.imap.capabilities import capabilities
from postroad.protocols.pop3.server import Pop3Config, Pop3Server
from postroad.protocols.smtp.server import ServerConfig, SmtpServer

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| (RFC \d+) \| [^|]+ \| (done|partly|planned) \| ?([^|]*)\|$")

# What each word of EHLO promises.
PROMISES = {
    "PIPELINING": "RFC 2920",
    "SIZE": "RFC 1870",
    "ENHANCEDSTATUSCODES": "RFC 2034",
    "8BITMIME": "RFC 6152",
    "SMTPUTF8": "RFC 6531",
    "CHUNKING": "RFC 3030",
    "DSN": "RFC 3461",
    "LIMITS": "RFC 9422",
    "STARTTLS": "RFC 3207",
    "AUTH": "RFC 4954",
    "HELP": "RFC 5321",
}

# What each word of CAPA promises.
POP3_PROMISES = {
    "TOP": "RFC 1939",
    "UIDL": "RFC 1939",
    "USER": "RFC 1939",
    "RESP-CODES": "RFC 2449",
    "PIPELINING": "RFC 2449",
    "EXPIRE": "RFC 2449",
    "LOGIN-DELAY": "RFC 2449",
    "IMPLEMENTATION": "RFC 2449",
    "AUTH-RESP-CODE": "RFC 3206",
    "SASL": "RFC 5034",
    "STLS": "RFC 2595",
    "UTF8": "RFC 6856",
}

# What each word of CAPABILITY promises.
IMAP_PROMISES = {
    "IMAP4rev1": "RFC 3501",
    "IMAP4rev2": "RFC 9051",
    "LITERAL+": "RFC 7888",
    "SASL-IR": "RFC 4959",
    "ID": "RFC 2971",
    "ENABLE": "RFC 5161",
    "IDLE": "RFC 2177",
    "NAMESPACE": "RFC 2342",
    "CHILDREN": "RFC 3348",
    "LIST-EXTENDED": "RFC 5258",
    "LIST-STATUS": "RFC 5819",
    "SPECIAL-USE": "RFC 6154",
    "UIDPLUS": "RFC 4315",
    "MOVE": "RFC 6851",
    "UNSELECT": "RFC 3691",
    "MULTIAPPEND": "RFC 3502",
    "BINARY": "RFC 3516",
    "ESEARCH": "RFC 4731",
    "SEARCHRES": "RFC 5182",
    "SORT": "RFC 5256",
    "ESORT": "RFC 5267",
    "THREAD": "RFC 5256",
    "WITHIN": "RFC 5032",
    "CONDSTORE": "RFC 7162",
    "QRESYNC": "RFC 7162",
    "QUOTA": "RFC 9208",
    "STATUS": "RFC 8438",
    "OBJECTID": "RFC 8474",
    "PREVIEW": "RFC 8970",
    "SAVEDATE": "RFC 8514",
    "COMPRESS": "RFC 4978",
    "UTF8": "RFC 6855",
    "PARTIAL": "RFC 9394",
    "UIDONLY": "RFC 9586",
    "REPLACE": "RFC 8508",
    "APPENDLIMIT": "RFC 7889",
    "STARTTLS": "RFC 9051",
    "AUTH": "RFC 4616",
    "LOGINDISABLED": "RFC 9051",
}


def listed() -> dict[str, tuple[str, str]]:
    """Each standard of the page with its state and note."""
    rows = (_ROW.match(line) for line in (ROOT / "docs" / "standards.md").read_text().splitlines())
    return {row[1]: (row[2], row[3].strip()) for row in rows if row}


def announced() -> set[str]:
    """The words of EHLO, over a session that can do everything."""
    server = SmtpServer(ServerConfig("mx.example.com", offers_starttls=True, allows_plain_auth=True))
    return {line.split()[0] for line in server.extensions()}


def announced_by_pop3() -> set[str]:
    """The words of CAPA, likewise."""
    server = Pop3Server(Pop3Config("mx.example.com", offers_stls=True, allows_plain_auth=True))
    return {line.split()[0] for line in server.capabilities()}


def announced_by_imap() -> set[str]:
    """The words of CAPABILITY, of every session there may be."""
    return {
        word.partition("=")[0]
        for is_signed_in in (False, True)
        for takes_passwords in (False, True)
        for word in capabilities(
            is_signed_in=is_signed_in, offers_starttls=True, takes_passwords=takes_passwords, append_limit=1
        )
    }


def cited() -> set[str]:
    """Every RFC that the code names where it obeys it."""
    sources = (ROOT / "src" / "postroad").rglob("*.py")
    return {
        f"RFC {number}"
        for source in sources
        for number in re.findall(r"\bRFC (\d{3,4})\b", source.read_text(encoding="utf-8"))
    }


def test_everything_announced_is_listed_as_obeyed() -> None:
    assert announced() == PROMISES.keys(), "a word of EHLO came or went: say which standard it promises"
    standards = listed()
    for word in announced():
        state, _ = standards[PROMISES[word]]
        assert state in {"done", "partly"}, word


def test_everything_pop3_announces_is_listed_as_obeyed() -> None:
    assert announced_by_pop3() == POP3_PROMISES.keys()
    standards = listed()
    for word in announced_by_pop3():
        assert standards[POP3_PROMISES[word]][0] in {"done", "partly"}, word


def test_everything_imap_announces_is_listed_as_obeyed() -> None:
    assert announced_by_imap() == IMAP_PROMISES.keys()
    standards = listed()
    for word in announced_by_imap():
        assert standards[IMAP_PROMISES[word]][0] in {"done", "partly"}, word


def test_what_is_partly_done_says_what_is_missing() -> None:
    assert not [standard for standard, (state, note) in listed().items() if state == "partly" and not note]


def test_what_is_called_done_is_cited_in_the_code() -> None:
    unfounded = {standard for standard, (state, _) in listed().items() if state == "done"} - cited()
    assert not unfounded
