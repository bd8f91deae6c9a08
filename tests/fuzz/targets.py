"""What is fuzzed: each parser of bytes that strangers send, with what must hold of whatever it is given.

A target takes bytes and raises when something does not hold. `scripts/fuzz` lets coverage find the bytes;
`test_corpus.py` runs what was found before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from postroad.bridges.fields import BadForm, read_fields
from postroad.bridges.jdmail.login_cgi import Malformed, read_link
from postroad.mailstore.lexemes import document_lexemes, text_end
from postroad.message.address import Address, BadAddress
from postroad.message.budget import MAX_WORDS, Budget
from postroad.message.charsets import decode, storable
from postroad.message.css import StyleFilter
from postroad.message.headers import (
    address_items,
    decode_text,
    mailboxes,
    parse_date,
    parse_message_ids,
    raw_text,
)
from postroad.message.html_bounds import bounded_html
from postroad.message.html_text import html_to_text
from postroad.message.parameters import MAX_PARAMETER, parse_parametrised
from postroad.message.sanitise import sanitise_html
from postroad.message.scan import MAX_PARTS, decode_structure, encode_structure, find_part, scan, walk
from postroad.message.sign import canonical_body
from postroad.message.summary import PREVIEW_LENGTH, summarise
from postroad.message.text import html_body, readable_text, text_body
from postroad.message.tokens import MAX_TOKENS, query_terms, search_tokens
from postroad.message.transfer import decoded, uudecoded
from postroad.protocols.ctrl.client import CtrlClient, Errand, UploadWanted
from postroad.protocols.ctrl.patterns import pattern
from postroad.protocols.ctrl.replies import Code
from postroad.protocols.ctrl.server import Command, CtrlServer, Greeting, Login, StartTls
from postroad.protocols.smtp.commands import PathRules, parse_chunk, parse_helo, parse_mail, parse_recipient
from postroad.protocols.smtp.content import has_bare_line_ends, unstuff, with_crlf
from postroad.protocols.smtp.events import MessageComplete
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply
from postroad.protocols.smtp.server import ServerConfig, SmtpServer
from postroad.web.mail.invitation import read_invitation
from postroad.web.mail.text_body import cut, text_markup, unflowed

MAX_INPUT = 8_192  # bytes of one try: shapes show in a few of them
_RULES = PathRules("mx.example.com")
_LIMITS = ServerLimits()

# What the markup of a plain text is made of.
_OURS = (
    *("a href=", "/a>", "details class=", "/details>", "summary>", "/summary>"),
    *("blockquote>", "/blockquote>", "span class=", "/span>"),
)

Target = Callable[[bytes], None]


def is_storable(*texts: str) -> bool:
    """Whether a database takes the texts as they are."""
    return all(storable(text) == text for text in texts)


def mail(data: bytes) -> None:
    """A whole mail: its structure, summary, texts and search words."""
    summary = summarise(data)
    root = summary.structure
    assert decode_structure(encode_structure(root)) == root == scan(data)
    parts = list(walk(root))
    assert len(parts) <= MAX_PARTS
    for section, part in parts:
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(data)
        assert find_part(root, section) is not None
        assert is_storable(part.filename or "", *part.parameters.values(), part.description or "")
        decoded(data, part)
    assert len(summary.preview) <= PREVIEW_LENGTH
    names = [one.name + one.address_text for one in (*summary.header_from, *summary.to, *summary.cc)]
    assert is_storable(summary.subject, summary.preview, *names)
    assert is_storable(text_body(data, root) or "", html_body(data, root) or "")
    assert len(readable_text(data, root, 500)) <= 500
    assert is_storable(
        *document_lexemes(summary.subject, summary.envelope, root, data[: text_end(root)], [1])
    )


def headers(data: bytes) -> None:
    """The values of header fields, one reader after the other."""
    budget = Budget()
    text = decode_text(data, budget)
    assert is_storable(text)
    assert budget.words <= MAX_WORDS
    people = mailboxes(address_items(raw_text(data)))
    assert sum(len(one.name) + len(one.address_text) for one in people) <= 4 * len(raw_text(data)) + 100
    assert is_storable(*(one.name + one.address_text for one in people))
    value, parameters = parse_parametrised(data)
    assert value == value.lower()
    assert all(len(each) <= MAX_PARAMETER for each in parameters.values())
    assert is_storable(*parameters.values())
    parse_date(data)
    assert len(parse_message_ids(data)) <= 100


def charsets(data: bytes) -> None:
    """Bytes under any label: the first line is the label."""
    label, _, body = data.partition(b"\n")
    assert is_storable(decode(body, label.decode("latin-1")), decode(body, None))


def transfer(data: bytes) -> None:
    """Transfer encodings; the first byte chooses."""
    names = (b"base64", b"quoted-printable", b"x-uuencode", b"8bit")
    field = b"Content-Transfer-Encoding: " + names[data[0] % 4] if data else b"X: y"
    content = field + b"\r\n\r\n" + data[1:]
    part = scan(content)
    whole = decoded(content, part)
    assert len(whole) <= len(content)
    assert len(decoded(content, part, 50)) <= 50
    uudecoded(data)


def html(data: bytes) -> None:
    """HTML made safe, bounded, and made into text."""
    text = decode(data, "utf-8")
    for allow_remote in (False, True):
        clean = sanitise_html(text, allow_remote=allow_remote, cid_url=lambda cid: f"/part/{cid}").html
        lower = clean.lower()
        assert not any(f"<{name}" in lower for name in ("script", "iframe", "object", "svg", "form", "meta"))
        if not allow_remote:
            assert 'src="http' not in lower
    bounded = bounded_html(text * 4)
    assert len(bounded) <= 10 * len(text) * 4 + 100
    assert is_storable(html_to_text(text), html_to_text(text, with_links=True))


def css(data: bytes) -> None:
    """Style sheets and attributes: what comes out can stand in both."""
    text = decode(data, "utf-8")
    styles = StyleFilter(lambda url: None)
    for found in (styles.declarations(text), styles.sheet(text, ".x_mail", "x_")):
        assert not set(found) & set("<\\\0")
        assert "/*" not in found
        assert found.count('"') % 2 == 0
        assert found.count("{") == found.count("}")
        assert "url(" not in found.lower()
        assert "expression" not in found.lower() or "expression(" not in found.lower()


def plain_text(data: bytes) -> None:
    """Plain bodies: nothing of the mail becomes an element."""
    budget = Budget()
    text, is_whole = cut(decode(data, "utf-8"), budget)
    assert is_whole
    markup = str(text_markup(unflowed(text), "Quoted", budget))
    assert len(markup) <= 60 * len(text) + 1_000
    assert all(begin.startswith(_OURS) for begin in markup.split("<")[1:])


def invitation(data: bytes) -> None:
    """Calendars."""
    found = read_invitation(decode(data, "utf-8"), "/file")
    if found is not None:
        assert len(found.attendees) <= 200
        assert len(found.summary) <= 500


def tokens(data: bytes) -> None:
    """Search: documents and queries are cut alike."""
    text = decode(data, "utf-8")
    words = search_tokens(text)
    assert len(words) <= MAX_TOKENS
    assert len(set(words)) == len(words)
    query_terms(text)


def addresses(data: bytes) -> None:
    """Envelope addresses: one spelling each."""
    try:
        address = Address.parse(decode(data, "utf-8"))
    except BadAddress:
        return
    assert Address.parse(str(address)) == address
    assert Address.parse(address.key).key == address.key


def smtp_commands(data: bytes) -> None:
    """Arguments of commands."""
    line = data.replace(b"\r", b"").replace(b"\n", b"")
    for parse in (
        lambda: parse_mail(line, _RULES, _LIMITS),
        lambda: parse_recipient(line, _RULES, True),
        lambda: parse_chunk(line),
        lambda: parse_helo(line),
    ):
        try:
            parse()
        except SmtpReply as reply:
            assert not reply.is_positive
            assert b"\n" not in reply.render()[:-2]


def smtp_session(data: bytes) -> None:
    """A session that is answered yes to everything, cut in two at the first byte: the cut changes nothing."""
    if not data:
        return
    results = []
    for pieces in ([data[1:]], [data[1:][: data[0]], data[1:][data[0] :]]):
        server = SmtpServer(ServerConfig("mx.example.com"))
        server.greet()
        mails = []
        for piece in pieces:
            events = server.receive(piece)
            while server.question is not None:
                if isinstance(server.question, MessageComplete):
                    content = server.question.content
                    mails.append(content)
                    assert b"\0" not in content
                    assert not has_bare_line_ends(content)
                events += server.accept()
        results.append((mails, server.bytes_to_send()))
    assert results[0] == results[1]


def ctrl_session(data: bytes) -> None:
    """A control session, cut in two at the first byte: the cut changes nothing. And as a server's words."""
    if not data:
        return
    results = []
    for pieces in ([data[1:]], [data[1:][: data[0]], data[1:][data[0] :]]):
        server = CtrlServer(Greeting("<1.2@x>", "x", "x"), offers_tls=False)
        requests = []
        for piece in pieces:
            server.receive(piece)
            while (request := server.next_request()) is not None:
                requests.append(request)
                if isinstance(request, Login):
                    server.signed_in()
                elif isinstance(request, Command) and request.arguments:
                    server.want_upload()
                else:
                    assert not isinstance(request, StartTls)
                    server.fail(Code.SYNTAX)
        results.append((requests, server.output()))
    assert results[0] == results[1]
    client = CtrlClient(Errand(b"a", b"b", [b"noop"]))
    client.receive(data)
    for _ in range(len(data) + 10):
        if (event := client.next_event()) is None:
            if client.is_over:
                break
            client.end_of_input()
        elif event == UploadWanted():
            client.upload([])
    assert client.is_over
    text = decode(data, "utf-8")
    half = len(text) // 2
    pattern(text[:half]).matches(text[half:])


def line_ends(data: bytes) -> None:
    """Content on its way: repaired once is repaired."""
    repaired = with_crlf(data)
    assert not has_bare_line_ends(repaired)
    assert with_crlf(repaired) == repaired
    unstuff(data)
    body = canonical_body(data)
    assert canonical_body(body) == body


def forms(data: bytes) -> None:
    """Fields and links of other systems' pages."""
    with suppress(BadForm):
        json.dumps(dict(read_fields(data).values))
    try:
        link = read_link(data)
    except Malformed:
        return
    assert link.account and link.password


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        mail, headers, charsets, transfer, html, css, plain_text, invitation, tokens, addresses,
        smtp_commands, smtp_session, ctrl_session, line_ends, forms,
    )
}  # fmt: skip
