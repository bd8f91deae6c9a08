"""The MIME scanner: offsets, limits, agreement with the standard library's parser."""

from __future__ import annotations

import email
import email.message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.scan import (
    MAX_DEPTH,
    MAX_PARTS,
    Part,
    decode_structure,
    encode_structure,
    find_part,
    header_end,
    scan,
    walk,
)
from tests.message.mails import MAILS, crlf, header, header_flood, multipart, mutations, part

# What the two parsers see differently on purpose: we show people the text of a multipart without parts, stop
# at a depth, and read no header into a line that is none.
DELIBERATE = {"no-boundary-parameter", "boundary-never-used", "deep", "bad-type"}


def shape(message: email.message.Message) -> object:
    """The standard library's view: types nested as the parts are."""
    kind = message.get_content_type()
    if message.is_multipart():
        payload = message.get_payload()
        assert isinstance(payload, list)
        return kind, [shape(child) for child in payload if isinstance(child, email.message.Message)]
    return kind


def our_shape(one: Part) -> object:
    if one.children:
        return one.media_type, [our_shape(child) for child in one.children]
    if one.message is not None:
        return one.media_type, [our_shape(one.message)]
    return one.media_type


def bodies(message: email.message.Message) -> list[bytes]:
    found = []
    for one in message.walk():
        if not one.is_multipart() and one.get_content_maintype() != "message":
            payload = one._payload  # type: ignore[attr-defined]  # get_payload would decode the charset
            found.append(payload.encode("ascii", "surrogateescape"))
    return found


@pytest.mark.parametrize("name", sorted(MAILS))
def test_structure_agrees_with_the_standard_library(name: str) -> None:
    content = MAILS[name]
    if name in DELIBERATE:
        pytest.skip("seen differently on purpose")
    oracle = email.message_from_bytes(content)
    root = scan(content)
    if oracle.get_content_type() == "message/delivery-status" or name == "status-report":
        # The standard library cuts the status fields into parts of their own.
        assert [child.media_type for child in root.children][1] == "message/delivery-status"
        return
    assert our_shape(root) == shape(oracle)
    ours = [
        content[one.body_start : one.body_end]
        for _, one in walk(root)
        if not one.children and one.content_type not in ("multipart", "message")
    ]
    theirs = bodies(oracle)
    if name == "no-final-boundary":
        theirs[-1] += b"\r\n"  # we keep every byte of a part that nothing ends
    assert ours == theirs


@pytest.mark.parametrize("name", sorted(MAILS))
def test_structure_survives_storing(name: str) -> None:
    root = scan(MAILS[name])
    data = encode_structure(root)
    assert decode_structure(data) == root
    assert b"\\u0000" not in data
    assert b"\0" not in data


@pytest.mark.parametrize("name", sorted(MAILS))
def test_every_section_number_leads_back_to_its_part(name: str) -> None:
    root = scan(MAILS[name])
    for section, one in walk(root):
        assert find_part(root, section) is one
        numbers = [int(number) for number in section.split(".") if number]
        assert find_part(root, numbers) is one
    assert find_part(root, "99") is None
    assert find_part(root, "0") is None
    assert find_part(root, "1.99.7") is None
    assert find_part(root, "x") is None


def test_sections_inside_an_enclosed_mail() -> None:
    root = scan(MAILS["enclosed-multipart"])
    assert [(section, one.media_type) for section, one in walk(root)] == [
        ("", "multipart/mixed"),
        ("1", "text/plain"),
        ("2", "message/rfc822"),
        ("2.1", "text/plain"),
        ("2.2", "text/html"),
    ]
    enclosed = find_part(root, "2")
    assert enclosed is not None
    assert enclosed.envelope is not None
    assert enclosed.envelope.subject == "Inner"
    single = scan(MAILS["enclosed-only"])
    assert [section for section, _ in walk(single)] == ["1", "1.1"]


def test_offsets_cut_the_mail_exactly() -> None:
    content = MAILS["attachment-rfc2231"]
    root = scan(content)
    pdf = find_part(root, "2")
    assert pdf is not None
    assert content[pdf.header_start :].startswith(b"Content-Type: application/pdf\r\n")
    assert content[pdf.body_start - 4 : pdf.body_start] == b"\r\n\r\n"
    assert content[pdf.body_end :].startswith(b"\r\n------=_NextPart")
    assert pdf.filename == "会议纪要.pdf"
    assert pdf.disposition == "attachment"
    assert pdf.encoding == "base64"
    assert pdf.line_count == content[pdf.body_start : pdf.body_end].count(b"\n")


@pytest.mark.parametrize("name", ["attachment-rfc2047-name", "attachment-raw-gbk-name"])
def test_chinese_file_names_of_broken_mailers(name: str) -> None:
    pdf = find_part(scan(MAILS[name]), "2")
    assert pdf is not None
    assert pdf.filename == "会议纪要.pdf"


def test_inline_picture_is_no_attachment() -> None:
    picture = find_part(scan(MAILS["related-inline-picture"]), "2")
    assert picture is not None
    assert picture.content_id == "logo@example.com"
    assert not picture.is_attachment


def test_a_line_that_begins_with_a_longer_boundary_is_not_the_boundary() -> None:
    root = scan(MAILS["prefix-boundaries"])
    assert [child.media_type for child in root.children] == ["multipart/alternative", "application/pdf"]
    assert [child.media_type for child in root.children[0].children] == ["text/plain", "text/html"]


def test_depth_is_bounded_and_the_rest_opaque() -> None:
    depth, one = 0, scan(MAILS["deep"])
    while one.children:
        depth, one = depth + 1, one.children[0]
    assert depth == MAX_DEPTH
    assert one.media_type == "text/plain"


def test_enclosed_mails_are_bounded_in_depth() -> None:
    content = b"Content-Type: message/rfc822\r\n\r\n" * 400 + b"x"
    depth, one = 0, scan(content)
    while one.message is not None:
        depth, one = depth + 1, one.message
    assert depth == MAX_DEPTH
    assert decode_structure(encode_structure(scan(content))) == scan(content)


def test_parts_are_bounded_in_number() -> None:
    root = scan(multipart("mixed", *[part(b"x")] * (MAX_PARTS * 3)))
    assert len(root.children) == MAX_PARTS - 1
    assert root.children[-1].size_bytes == 1


def test_a_hundred_thousand_headers_are_bounded() -> None:
    content = header_flood()
    root = scan(content)
    assert content[root.body_start :] == b"hello\r\n"


def test_false_boundaries_do_not_make_the_search_long() -> None:
    content = header() + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"a--x" * 1_000_000
    assert scan(content).body_end == len(content)


def test_header_end_of_odd_beginnings() -> None:
    assert header_end(b"\r\nbody", 0, 6) == 2
    assert header_end(b"\nbody", 0, 5) == 1
    assert header_end(b"no header here\r\n\r\nx", 0, 19) == 0
    assert header_end(b"A: b\r\n", 0, 6) == 6
    assert header_end(b"A: b\n\nbody", 0, 10) == 6
    assert header_end(b"A: b\r\n c\r\n\r\nbody", 0, 16) == 12
    assert header_end(b"xxA: b\n\nbody", 2, 12) == 8


@given(st.binary(max_size=2000))
def test_any_bytes_scan(content: bytes) -> None:
    check(content)


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b\r\n", b"--b--\r\n", b"--bb\n", b"\r\n", b"\n", b"text",
                b"Content-Type: multipart/mixed;boundary=b\r\n", b"Content-Type: message/rfc822\r\n", b"\0",
                b"Content-Type: multipart/digest; boundary=bb\n", b" folded\r\n",
                b"Content-Disposition: attachment; filename*0*=gbk''%C4%E3; filename*1=\"b\r\n",
            ]
        ),
        max_size=40,
    )
)  # fmt: skip
def test_any_arrangement_of_mime_pieces_scans(pieces: list[bytes]) -> None:
    check(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(pieces))


def check(content: bytes) -> None:
    """Every part lies inside its parent, in order, and the structure can be stored."""
    root = scan(content)
    assert root.header_start == 0
    assert root.body_end == len(content)
    for _, one in walk(root):
        assert one.header_start <= one.body_start <= one.body_end
        position = one.body_start
        for child in one.children:
            assert position <= child.header_start
            assert child.body_end <= one.body_end
            position = child.body_end
    data = encode_structure(root)
    assert decode_structure(data) == root
    assert b"\\u0000" not in data


def test_mutated_mails_scan() -> None:
    for _, content in mutations(300, seed=1):
        check(content)


def test_status_fields_keep_their_blank_lines() -> None:
    content = MAILS["status-report"]
    status = find_part(scan(content), "2")
    assert status is not None
    assert crlf("Action: failed") in content[status.body_start : status.body_end]
