"""Commands read from the wire: what clients write, what is refused, and that nothing breaks the reading."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.imap import names
from postroad.protocols.imap.commands import (
    PARSERS,
    Append,
    Command,
    Fetch,
    ListFolders,
    Login,
    NewMail,
    Refused,
    Resync,
    Returns,
    Search,
    Select,
    Sort,
    Store,
    parse_command,
)
from postroad.protocols.imap.errors import ImapBad
from postroad.protocols.imap.framing import Framing, RawCommand
from postroad.protocols.imap.search_keys import And, Contains, Day, HasFlag, Not, Or, Within
from postroad.protocols.imap.sequences import SequenceSet, merged, parse_sequence_set, written
from postroad.protocols.imap.states import COMMANDS, KNOWN, State
from postroad.protocols.imap.view import View


def parsed(text: bytes, *, is_utf8: bool = False) -> Command:
    framing = Framing(1_000_000)
    framing.is_signed_in = True
    framing.feed(b"t " + text + b"\r\n")
    while not isinstance(raw := framing.next(), RawCommand):
        assert raw is not None
    return parse_command(raw, KNOWN, is_utf8=is_utf8)


def test_every_known_command_can_be_read_and_the_other_way_round() -> None:
    assert PARSERS.keys() == KNOWN
    assert COMMANDS[State.SELECTED] >= COMMANDS[State.SIGNED_IN]
    assert not COMMANDS[State.ENDED]


def test_arguments_as_clients_write_them() -> None:
    assert parsed(b'login "a\\"b" {3+}\r\nc d').arguments == Login('a"b', "c d")
    assert parsed(b"SELECT inbox").arguments == Select("INBOX")
    assert parsed(b"SELECT INBOX.x").arguments == Select("INBOX.x")
    assert parsed(b"SELECT &ZeVnLIqe-").arguments == Select("日本語")
    assert parsed("SELECT 日本語".encode()).arguments == Select("日本語")
    assert parsed("SELECT 日本語".encode(), is_utf8=True).arguments == Select("日本語")
    assert parsed(b"SELECT &ZeVnLIqe-", is_utf8=True).arguments == Select("&ZeVnLIqe-")
    sets = SequenceSet(((41, 41), (43, 211)))
    assert parsed(b"SELECT x (QRESYNC (67890007 20050715194045000 41,43:211))").arguments == Select(
        "x", True, Resync(67890007, 20050715194045000, sets, None)
    )
    assert parsed(b'LIST "" %').arguments == ListFolders("", ("%",))
    extended = parsed(
        b'LIST (SUBSCRIBED) "" ("INBOX" "a/*") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))'
    ).arguments
    assert isinstance(extended, ListFolders)
    assert extended.patterns == ("INBOX", "a/*")
    assert extended.status == ("MESSAGES", "UNSEEN")
    assert parsed(b'APPEND x (\\Seen $A) "17-Jul-1996 02:44:25 -0700" {3+}\r\nabc').arguments == Append(
        "x", (NewMail(b"abc", ("\\Seen", "$A"), datetime(1996, 7, 17, 9, 44, 25, tzinfo=UTC)),)
    )
    stored = parsed(
        b"UID STORE 1:3,$ +FLAGS.SILENT (\\Deleted)" if False else b"UID STORE 1:3 +flags.silent \\Deleted"
    )
    assert stored.arguments == Store(SequenceSet(((1, 3),)), True, "+", ("\\Deleted",), True)


def test_fetch_items() -> None:
    fetch = parsed(b'FETCH 1 (FLAGS BODY[1.2.MIME] body.peek[header.fields (From "X Y")]<0.99>)').arguments
    assert isinstance(fetch, Fetch)
    assert fetch.items.simple == ("FLAGS",)
    assert fetch.items.marks_seen
    assert [each.label for each in fetch.items.sections] == [
        "BODY[1.2.MIME]",
        'BODY[HEADER.FIELDS (FROM "X Y")]<0>',
    ]
    partial = parsed(b"UID FETCH 1:* (UID FLAGS) (PARTIAL -1:-30 CHANGEDSINCE 5)").arguments
    assert isinstance(partial, Fetch)
    assert (partial.partial, partial.changed_since) == ((-1, -30), 5)


def test_search_programs() -> None:
    search = parsed(b'SEARCH RETURN (MIN) NOT (FROM "a b" OR SEEN KEYWORD x) 2:4 SINCE 1-Feb-1994').arguments
    assert isinstance(search, Search)
    assert search.returns == Returns(frozenset(("MIN",)))
    assert search.program.key == And(
        (
            Not(And((Contains("from", "a b", True), Or(HasFlag("\\Seen"), HasFlag("x"))))),
            Within(SequenceSet(((2, 4),))),
            Day("internal", "since", date(1994, 2, 1)),
        )
    )
    sort = parsed(b"UID SORT RETURN () (REVERSE DATE SUBJECT) UTF-8 ALL").arguments
    assert isinstance(sort, Sort)
    assert sort.criteria == (("DATE", True), ("SUBJECT", False))


@pytest.mark.parametrize(
    "text",
    [
        b"NONSENSE", b"NOOP x", b"LOGIN a", b"SELECT", b'SELECT "x', b"FETCH 1", b"FETCH x FLAGS",
        b"FETCH 0 FLAGS",
        b"FETCH 1 (FLAGS", b"FETCH 1 BODY[", b"FETCH 1 BODY[1.NONSENSE]", b"STORE 1 FLAGS", b"SEARCH",
        b"SEARCH (ALL",
        b"SEARCH SINCE 32-Jan-2000", b"APPEND x", b'APPEND x "1-Jan-2000" {1+}\r\nx', b"UID NOOP",
        b"SORT (NONE) UTF-8 ALL",
        b"LIST", b"LIST (NONE) \"\" *", b"STATUS x ()", b"UID FETCH 1 FLAGS (VANISHED)",
        b"SEARCH " + b"(" * 100,
        b"SEARCH " + b"NOT " * 100 + b"ALL",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_tag(text: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parsed(text)
    assert refused.value.tag == "t"
    assert refused.value.why.line("t").startswith((b"t BAD ", b"t NO "))


_WORDS = st.sampled_from(
    [*(name.encode() for name in sorted(KNOWN)), b"(", b")", b"1:*", b"$", b'"x"', b"BODY[", b"]", b"<0.1>",
     b"NIL",
     b"RETURN (", b"ALL", b"{3+}\r\nabc", b"~{1+}\r\n\0", b"\\Seen", b"FLAGS", b"\xff", b"NOT", b"OR"]
)  # fmt: skip


@given(st.lists(st.one_of(_WORDS, st.binary(max_size=10)), max_size=12))
def test_arbitrary_words_never_break_the_reading(words: list[bytes]) -> None:
    framing = Framing(1000)
    framing.is_signed_in = True
    framing.feed(b"t " + b" ".join(words) + b"\r\n")
    while (raw := framing.next()) is not None:
        if isinstance(raw, RawCommand):
            try:
                parse_command(raw, KNOWN, is_utf8=False)
            except Refused as refused:
                assert refused.why.line(refused.tag)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_names_survive_modified_utf7(name: str) -> None:
    encoded = names.encode_utf7(name)
    assert encoded.isascii()
    assert names.decode_utf7(encoded) == name


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("*", ["INBOX", "a/b"], []),
        ("%", ["INBOX", "a"], ["a/b"]),
        ("a/%", ["a/b"], ["a", "a/b/c"]),
        ("inbox", ["INBOX"], ["INBOX2"]),
        ("a*c", ["ac", "a/b/c"], ["a"]),
        ("*a" * 60 + "b", ["a" * 60 + "b"], ["a" * 500]),
        ("%*%*" * 50 + "x", ["x"], ["y" * 500]),
    ],
)
def test_patterns(pattern: str, fitting: list[str], other: list[str]) -> None:
    compiled = names.Pattern(pattern)
    assert all(compiled.matches(name) for name in fitting)
    assert not any(compiled.matches(name) for name in other)


@given(st.lists(st.integers(1, 60), min_size=1, unique=True))
def test_sets_are_read_back_as_written(numbers: list[int]) -> None:
    ordered = sorted(numbers)
    spans = parse_sequence_set(written(ordered)).spans(10_000)
    assert [number for low, high in spans for number in range(low, high + 1)] == ordered
    unordered = parse_sequence_set(written(numbers))
    assert unordered.spans(10_000) == spans


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)).map(lambda ends: (min(ends), max(ends)))))
def test_merged_spans_cover_the_same_and_are_disjoint(spans: list[tuple[int, int]]) -> None:
    result = merged(spans)
    covered = {number for low, high in spans for number in range(low, high + 1)}
    assert {number for low, high in result for number in range(low, high + 1)} == covered
    assert all(first[1] + 1 < second[0] for first, second in pairwise(result))


@given(
    st.lists(st.integers(1, 300), unique=True).map(sorted),
    st.lists(st.integers(1, 300), unique=True),
)
def test_expunges_told_one_by_one_leave_the_client_the_same_picture(uids: list[int], gone: list[int]) -> None:
    view = View(uids)
    picture = list(uids)
    for number in view.remove(gone):
        del picture[number - 1]
    assert picture == list(view.uids) == [uid for uid in uids if uid not in gone]


def test_a_view_answers_sets_as_the_standard_says() -> None:
    view = View([2, 5, 9])
    assert view.by_uid(parse_sequence_set("*")) == [9]
    assert view.by_uid(parse_sequence_set("100:*")) == [9]
    assert view.by_uid(parse_sequence_set("9:1,5")) == [2, 5, 9]
    assert view.by_sequence(parse_sequence_set("3:2")) == [5, 9]
    with pytest.raises(ImapBad):
        view.by_sequence(parse_sequence_set("4"))
    assert View().by_uid(parse_sequence_set("1:*")) == []
    assert View().by_sequence(parse_sequence_set("*")) == []
