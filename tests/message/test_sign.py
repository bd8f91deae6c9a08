"""DKIM signatures, each checked by an independent verifier."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.message.address import BadAddress
from postroad.message.compose import Draft, compose
from postroad.message.headers import Mailbox
from postroad.message.sign import BadKey, SigningKey, canonical_body, dns_record, generate_key, sign
from tests.message.mails import MAILS, mutations

NOW = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
RSA = SigningKey.load("example.com", "r1", generate_key("rsa-2048"))
ED25519 = SigningKey.load("Example.com", "e1", generate_key("ed25519"))
RECORDS = {f"{key.record_name}.".encode(): "".join(dns_record(key)).encode() for key in (RSA, ED25519)}


def verify(content: bytes) -> list[bool]:
    """What dkimpy says of each signature, from the top."""
    verifier = dkim.DKIM(content)
    count = len(re.findall(rb"^DKIM-Signature:", content.split(b"\r\n\r\n")[0], re.MULTILINE))
    return [_verified(verifier, index) for index in range(count)]


def _verified(verifier: dkim.DKIM, index: int) -> bool:
    try:
        return bool(verifier.verify(idx=index, dnsfunc=lambda name, timeout=5: RECORDS[name]))
    except dkim.ValidationError:
        return False


def check(content: bytes, header_prefix: bytes = b"") -> None:
    fields = sign(content, [RSA, ED25519], now=NOW, header_prefix=header_prefix)
    # SMTP ends the last line of whatever it carries (RFC 5321 4.1.1.4).
    travelling = content if content.endswith(b"\r\n") else content + b"\r\n"
    assert verify(fields + header_prefix + travelling) == [True, True]
    assert all(len(line) <= 78 for line in fields.split(b"\r\n"))


@pytest.mark.parametrize("name", sorted(MAILS))
def test_every_mail_of_the_corpus_is_signed_so_that_others_agree(name: str) -> None:
    content = MAILS[name]
    if name in ("empty", "no-headers", "empty-line-first", "bare-lf", "mbox-line"):
        content = b"From: li@example.com\r\n\r\n" + content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if name in ("nul-and-controls", "only-headers"):
        content = content.replace(b"\0", b"") + b"\r\n"
    check(content)


def test_composed_mails_verify() -> None:
    draft = Draft(
        Mailbox("李四", "li@example.com"),
        to=(Mailbox("", "a@b.cn"),),
        subject="会议 " * 50,
        text="你好\n" * 20,
    )
    content = compose(draft, now=NOW, message_id="a@example.com")
    check(content)
    check(
        content,
        header_prefix=b"Received: from a by b;\r\n\tTue, 3 Mar 2026\r\nSender: x@example.com\r\n",
    )


BODY_PIECES = st.sampled_from(
    [
        b"\r\n",
        b" ",
        b"\t",
        b"text",
        b"  \t",
        b"\r\n\r\n",
        b" \r\n",
        "你好".encode(),
        b".",
        b"x" * 1200,
        b"\r\n.\r\n",
        b"--",
    ]
)
VALUES = st.lists(
    st.sampled_from(
        [b" ", b"\t", b"word", b"\r\n ", b"\r\n\t", "会议".encode(), b"=?utf-8?q?a?=", b":", b";", b"x" * 90]
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=80)
@given(st.lists(BODY_PIECES, max_size=14).map(b"".join))
def test_any_body_verifies(body: bytes) -> None:
    check(b"From: li@example.com\r\nSubject: x\r\n\r\n" + body)


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"Subject", b"To", b"X-Other", b"sUBJECT", b"List-Id"]), VALUES),
        max_size=6,
    )
)
def test_any_header_verifies(fields: list[tuple[bytes, bytes]]) -> None:
    header = b"".join(name + b":" + value.rstrip() + b"\r\n" for name, value in fields)
    check(header + b"From: li@example.com\r\n\r\nbody\r\n")


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 3.4.5
        (b"no end", b"no end\r\n"),
        (b"a\nb\rc", b"a\r\nb\r\nc\r\n"),
        (b" \r\n \r\n", b""),
        (b"a \t", b"a\r\n"),
        (b"a\r\n \t\r\n\t", b"a\r\n"),
    ],
)
def test_relaxed_bodies(body: bytes, canonical: bytes) -> None:
    assert canonical_body(body) == canonical


@given(st.lists(BODY_PIECES, max_size=20).map(b"".join))
def test_the_relaxed_form_is_the_reference_one(body: bytes) -> None:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    assert canonical_body(body) == b"".join(line + b"\r\n" for line in lines)


@pytest.mark.parametrize(
    "name", [b"From", b"Subject", b"To", b"Cc", b"Date", b"Reply-To", b"Message-ID", b"Content-Type"]
)
def test_a_field_that_is_added_breaks_the_signature(name: bytes) -> None:
    content = MAILS["plain-ascii"]
    signed = sign(content, [RSA, ED25519], now=NOW) + name + b": added@example.com\r\n" + content
    assert verify(signed) == [False, False]


def test_a_changed_body_breaks_the_signature() -> None:
    content = MAILS["plain-ascii"]
    assert verify(sign(content, [RSA], now=NOW) + content + b"more\r\n") == [False]


def test_mutated_mails_are_signed_without_complaint() -> None:
    for _, content in mutations(60, seed=4):
        assert sign(content, [ED25519], now=NOW).count(b"DKIM-Signature:") == 1


def test_records_fit_their_strings() -> None:
    strings = dns_record(RSA)
    assert len(strings) == 2
    assert max(map(len, strings)) <= 255
    assert strings[0].startswith("v=DKIM1; k=rsa; p=")
    assert len(dns_record(ED25519)) == 1
    assert ED25519.record_name == "e1._domainkey.example.com"


def test_keys_that_cannot_sign() -> None:
    pem = generate_key("ed25519")
    with pytest.raises(BadKey):
        SigningKey.load("example.com", "No Selector", pem)
    with pytest.raises(BadKey):
        SigningKey.load("example.com", "s", b"no key")
    with pytest.raises(BadAddress):
        SigningKey.load("no domain", "s", pem)
    curve = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(BadKey):
        SigningKey.load("example.com", "s", curve)
