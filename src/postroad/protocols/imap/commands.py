"""Commands with their arguments, read from the pieces that `framing` cut. RFC 9051 6 and its extensions.

A command is one of the classes below. Reading never touches a folder: a name that means nothing is found out
by whoever serves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from postroad.protocols.imap import names
from postroad.protocols.imap.cursor import Cursor
from postroad.protocols.imap.errors import ImapBad, ImapNo
from postroad.protocols.imap.fetch_items import FetchItems, parse_fetch_items
from postroad.protocols.imap.framing import RawCommand, tag_of
from postroad.protocols.imap.search_keys import Program, check_charset, parse_program
from postroad.protocols.imap.sequences import SequenceSet

MAX_LIST_PATTERNS = 100
MAX_ID_PAIRS = 30  # RFC 2971 3.3
MAX_FLAGS = 200  # named in one command


@dataclass(frozen=True, slots=True)
class Plain:
    """A command without arguments."""


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE; `initial` is what stood on its line (RFC 4959)."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Id:
    """ID (RFC 2971): what the client says of itself."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Words:
    """ENABLE, COMPRESS, GETQUOTA: words."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """The QRESYNC parameter of SELECT (RFC 7162 3.2.5): what the client knew when it was here last."""

    uid_validity: int
    mod_sequence: int
    known_uids: SequenceSet | None
    known_sequence: tuple[SequenceSet, SequenceSet] | None


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT and EXAMINE."""

    name: str
    is_condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """CREATE, DELETE, SUBSCRIBE, UNSUBSCRIBE, GETQUOTAROOT: a folder's name."""

    name: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ListFolders:
    """LIST with its options (RFC 5258, 5819, 6154), and LSUB."""

    reference: str
    patterns: tuple[str, ...]
    selects: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS."""

    name: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail of APPEND."""

    content: bytes = field(repr=False)
    flags: tuple[str, ...] = ()
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND of one mail or several (RFC 3502)."""

    name: str
    mails: tuple[NewMail, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """REPLACE (RFC 8508): a mail in the place of another."""

    wanted: SequenceSet
    by_uid: bool
    name: str
    mail: NewMail


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH; `partial` are positions among what was found (RFC 9394)."""

    wanted: SequenceSet
    by_uid: bool
    items: FetchItems
    changed_since: int | None = None
    asks_vanished: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """STORE; `mode` is "+", "-" or "" for replacing."""

    wanted: SequenceSet
    by_uid: bool
    mode: str
    flags: tuple[str, ...]
    is_silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """COPY and MOVE."""

    wanted: SequenceSet
    by_uid: bool
    name: str


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, and UID EXPUNGE with a set."""

    wanted: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Returns:
    """What a SEARCH or SORT returns (RFC 4731, 5182, 5267, 9394); None in a command: the old answer."""

    options: frozenset[str] = frozenset()
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH."""

    by_uid: bool
    program: Program
    returns: Returns | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """SORT (RFC 5256): criteria with whether each is reversed."""

    by_uid: bool
    criteria: tuple[tuple[str, bool], ...]
    program: Program
    returns: Returns | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """THREAD (RFC 5256)."""

    by_uid: bool
    algorithm: str
    program: Program


Arguments = (
    Plain | Login | Authenticate | Id | Words | Select | Named | Rename | ListFolders | Status | Append
    | Replace | Fetch | Store | Transfer | Expunge | Search | Sort | Thread
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its tag, its name (`UID FETCH` is one), and what it says."""

    tag: str
    verb: str
    arguments: Arguments


class Refused(Exception):
    """A command that cannot be read: whose it was, and what to answer."""

    def __init__(self, tag: str, verb: str, why: ImapBad | ImapNo) -> None:
        super().__init__(why.text)
        self.tag = tag
        self.verb = verb
        self.why = why


def parse_command(raw: RawCommand, known: frozenset[str], *, is_utf8: bool) -> Command:
    """Read a command that must be one of `known`. `is_utf8`: names are UTF-8. Raises `Refused`."""
    tag = tag_of(raw.pieces[0])
    verb = ""
    try:
        if tag == "*":
            raise ImapBad("A command begins with a tag")
        cursor = Cursor((raw.pieces[0][len(tag) :], *raw.pieces[1:]))
        cursor.space()
        verb = cursor.keyword()
        if verb == "UID":
            cursor.space()
            verb = f"UID {cursor.keyword()}"
        reader = PARSERS.get(verb)
        if reader is None:
            verb = ""
            raise ImapBad("That command is not known")
        if verb not in known:
            raise ImapBad("That command is out of order here")
        arguments = reader(_Reading(cursor, verb.startswith("UID "), is_utf8))
        cursor.end()
        return Command(tag, verb, arguments)
    except (ImapBad, ImapNo) as why:
        raise Refused(tag, verb, why) from why


@dataclass(slots=True)
class _Reading:
    cursor: Cursor
    by_uid: bool
    is_utf8: bool

    def name(self) -> str:
        """A folder's name, after a blank."""
        self.cursor.space()
        return self.decoded(self.cursor.astring())

    def decoded(self, text: str) -> str:
        return names.canonical(text if self.is_utf8 else names.decode_utf7(text))


def _plain(_: _Reading) -> Plain:
    return Plain()


def _login(reading: _Reading) -> Login:
    cursor = reading.cursor
    cursor.space()
    username = cursor.astring()
    cursor.space()
    return Login(username, cursor.astring())


def _authenticate(reading: _Reading) -> Authenticate:
    cursor = reading.cursor
    cursor.space()
    mechanism = cursor.keyword()
    initial = None
    if cursor.peek() == b" ":
        cursor.space()
        initial = b"=" if cursor.accept(b"=") else cursor.bytes_astring()
    return Authenticate(mechanism, initial)


def _id(reading: _Reading) -> Id:
    cursor = reading.cursor
    cursor.space()
    if not cursor.opens():
        if cursor.nstring() is not None:
            raise ImapBad("A list or NIL is wanted")
        return Id(())
    pairs: list[tuple[str, str]] = []
    while not cursor.accept(b")"):
        if pairs:
            cursor.space()
        name = cursor.string()
        cursor.space()
        value = cursor.nstring() or b""
        pairs.append((name.decode("utf-8", "replace")[:30], value.decode("utf-8", "replace")[:1024]))
        if len(pairs) > MAX_ID_PAIRS:
            raise ImapBad("Too many fields")
    return Id(tuple(pairs))


def _words(reading: _Reading) -> Words:
    found: list[str] = []
    while reading.cursor.peek() == b" " and len(found) < 100:
        reading.cursor.space()
        if reading.cursor.at_end():
            break
        found.append(reading.cursor.astring().upper())
    if not found:
        raise ImapBad("A word is wanted")
    return Words(tuple(found))


def _quota_root(reading: _Reading) -> Words:
    reading.cursor.space()
    return Words((reading.cursor.astring(),))


def _select(reading: _Reading) -> Select:
    name = reading.name()
    cursor = reading.cursor
    is_condstore = False
    resync = None
    if cursor.peek() == b" ":
        cursor.space()
        cursor.expect(b"(")
        while not cursor.accept(b")"):
            word = cursor.keyword()
            if word == "CONDSTORE":
                is_condstore = True
            elif word == "QRESYNC":
                cursor.space()
                resync = _resync(cursor)
            else:
                raise ImapBad("That parameter is not known")
            if cursor.peek() == b" ":
                cursor.space()
    return Select(name, is_condstore or resync is not None, resync)


def _resync(cursor: Cursor) -> Resync:
    cursor.expect(b"(")
    uid_validity = cursor.number()
    cursor.space()
    mod_sequence = cursor.number()
    known_uids = None
    known_sequence = None
    if cursor.peek() == b" ":
        cursor.space()
        if cursor.peek() != b"(":
            known_uids = cursor.sequence_set()
            if cursor.peek() == b" ":
                cursor.space()
    if cursor.accept(b"("):
        numbers = cursor.sequence_set()
        cursor.space()
        known_sequence = (numbers, cursor.sequence_set())
        cursor.expect(b")")
    cursor.expect(b")")
    return Resync(uid_validity, mod_sequence, known_uids, known_sequence)


def _named(reading: _Reading) -> Named:
    return Named(reading.name())


def _create(reading: _Reading) -> Named:
    name = reading.name()
    cursor = reading.cursor
    roles: list[str] = []
    if cursor.peek() == b" ":  # RFC 6154 3
        cursor.space()
        cursor.expect(b"(")
        cursor.expect(b"USE")
        cursor.space()
        cursor.expect(b"(")
        roles = cursor.rest_of_list(cursor.flag)
        cursor.expect(b")")
    return Named(name, tuple(roles))


def _rename(reading: _Reading) -> Rename:
    return Rename(reading.name(), reading.name())


def _list(reading: _Reading) -> ListFolders:
    cursor = reading.cursor
    cursor.space()
    selects: list[str] = []
    is_extended = False
    if cursor.opens():
        is_extended = True
        selects = cursor.rest_of_list(cursor.flag)
        cursor.space()
    reference = reading.decoded(cursor.astring()) if cursor.peek() != b"" else ""
    cursor.space()
    if cursor.opens():
        is_extended = True
        patterns = cursor.rest_of_list(cursor.list_mailbox)
        if not patterns or len(patterns) > MAX_LIST_PATTERNS:
            raise ImapBad(f"1 to {MAX_LIST_PATTERNS} patterns are wanted")
    else:
        patterns = [cursor.list_mailbox()]
    returns: list[str] = []
    status: tuple[str, ...] = ()
    if cursor.peek() == b" ":
        is_extended = True
        cursor.space()
        cursor.expect(b"RETURN")
        cursor.space()
        cursor.expect(b"(")
        while not cursor.accept(b")"):
            word = cursor.keyword()
            if word == "STATUS":
                cursor.space()
                status = _status_items(cursor)
            else:
                returns.append(word)
            if cursor.peek() == b" ":
                cursor.space()
    known_selects = {"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"}
    chosen = frozenset(each.upper() for each in selects)
    if chosen - known_selects or frozenset(returns) - {"SUBSCRIBED", "CHILDREN", "SPECIAL-USE"}:
        raise ImapBad("That option is not known")
    if "RECURSIVEMATCH" in chosen and not chosen - {"RECURSIVEMATCH", "REMOTE"}:
        raise ImapBad("RECURSIVEMATCH does not stand alone")  # RFC 5258 3.1
    return ListFolders(
        reference,
        tuple(text if reading.is_utf8 else names.decode_utf7(text) for text in patterns),
        chosen,
        frozenset(returns),
        status,
        is_extended,
    )


STATUS_ITEMS = frozenset(
    ("MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "RECENT", "DELETED", "SIZE", "HIGHESTMODSEQ",
     "APPENDLIMIT", "MAILBOXID", "DELETED-STORAGE")
)  # fmt: skip


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    cursor.expect(b"(")
    items = tuple(dict.fromkeys(cursor.rest_of_list(cursor.keyword)))
    if not items or frozenset(items) - STATUS_ITEMS:
        raise ImapBad("That status item is not known")
    return items


def _status(reading: _Reading) -> Status:
    name = reading.name()
    reading.cursor.space()
    return Status(name, _status_items(reading.cursor))


def _mail(cursor: Cursor) -> NewMail:
    flags: list[str] = []
    received_at = None
    if cursor.opens():
        flags = cursor.rest_of_list(cursor.flag)
        if len(flags) > MAX_FLAGS:
            raise ImapBad("Too many flags")
        cursor.space()
    if cursor.peek() == b'"':
        received_at = cursor.date_time()
        cursor.space()
    if cursor.accept(b"UTF8"):  # RFC 6855 4
        cursor.space()
        cursor.expect(b"(")
        content = cursor.string()
        cursor.expect(b")")
    elif cursor.peek() in (b"{", b"~"):
        content = cursor.string()
    else:
        raise ImapBad("The mail is wanted, as a literal")
    return NewMail(content, tuple(flags), received_at)


def _append(reading: _Reading) -> Append:
    name = reading.name()
    mails: list[NewMail] = []
    while reading.cursor.peek() == b" ":
        reading.cursor.space()
        if reading.cursor.at_end():
            break
        mails.append(_mail(reading.cursor))
    if not mails:
        raise ImapBad("The mail is wanted, as a literal")
    return Append(name, tuple(mails))


def _replace(reading: _Reading) -> Replace:
    reading.cursor.space()
    wanted = reading.cursor.sequence_set()
    name = reading.name()
    reading.cursor.space()
    return Replace(wanted, reading.by_uid, name, _mail(reading.cursor))


def _fetch(reading: _Reading) -> Fetch:
    cursor = reading.cursor
    cursor.space()
    wanted = cursor.sequence_set()
    cursor.space()
    items = parse_fetch_items(cursor)
    changed_since = None
    asks_vanished = False
    partial = None
    if cursor.peek() == b" ":
        cursor.space()
        if cursor.opens():
            while not cursor.accept(b")"):
                word = cursor.keyword()
                if word == "CHANGEDSINCE":
                    cursor.space()
                    changed_since = cursor.number()
                elif word == "VANISHED":
                    asks_vanished = True
                elif word == "PARTIAL":
                    cursor.space()
                    partial = _partial(cursor)
                else:
                    raise ImapBad("That modifier is not known")
                if cursor.peek() == b" ":
                    cursor.space()
    if asks_vanished and (changed_since is None or not reading.by_uid):
        raise ImapBad("VANISHED goes with UID FETCH and CHANGEDSINCE")  # RFC 7162 3.2.6
    if partial is not None and not reading.by_uid:
        raise ImapBad("PARTIAL goes with UID FETCH")
    return Fetch(wanted, reading.by_uid, items, changed_since, asks_vanished, partial)


def _partial(cursor: Cursor) -> tuple[int, int]:
    """Positions `1:500`, or `-1:-100` from the end (RFC 9394 3.1), as a pair with the nearer end first."""
    ends: list[int] = []
    for place in range(2):
        sign = -1 if cursor.accept(b"-") else 1
        ends.append(sign * cursor.number())
        if place == 0:
            cursor.expect(b":")
    first, last = ends
    if first == 0 or last == 0 or (first < 0) != (last < 0):
        raise ImapBad("A range lies on one side of zero")
    low, high = sorted((abs(first), abs(last)))
    return (low, high) if first > 0 else (-low, -high)


def _store(reading: _Reading) -> Store:
    cursor = reading.cursor
    cursor.space()
    wanted = cursor.sequence_set()
    cursor.space()
    unchanged_since = None
    if cursor.opens():
        cursor.expect(b"UNCHANGEDSINCE")
        cursor.space()
        unchanged_since = cursor.number()
        cursor.expect(b")")
        cursor.space()
    mode = "+" if cursor.accept(b"+") else "-" if cursor.accept(b"-") else ""
    cursor.expect(b"FLAGS")
    is_silent = cursor.accept(b".SILENT")
    cursor.space()
    flags = cursor.flags()
    if len(flags) > MAX_FLAGS:
        raise ImapBad("Too many flags")
    return Store(wanted, reading.by_uid, mode, tuple(flags), is_silent, unchanged_since)


def _transfer(reading: _Reading) -> Transfer:
    reading.cursor.space()
    wanted = reading.cursor.sequence_set()
    return Transfer(wanted, reading.by_uid, reading.name())


def _expunge(reading: _Reading) -> Expunge:
    if not reading.by_uid:
        return Expunge()
    reading.cursor.space()
    return Expunge(reading.cursor.sequence_set())


_RETURNS = frozenset(("MIN", "MAX", "ALL", "COUNT", "SAVE"))


def _returns(cursor: Cursor) -> Returns | None:
    """RETURN (…), if it stands here; without options it means ALL (RFC 4731 3.1)."""
    if not cursor.accept(b"RETURN ("):
        return None
    options: set[str] = set()
    partial = None
    while not cursor.accept(b")"):
        word = cursor.keyword()
        if word == "PARTIAL":
            cursor.space()
            partial = _partial(cursor)
        elif word in _RETURNS:
            options.add(word)
        else:
            raise ImapBad("That return option is not known")
        if cursor.peek() == b" ":
            cursor.space()
    if partial is not None and "ALL" in options:
        raise ImapBad("PARTIAL and ALL exclude each other")  # RFC 9394 3.1
    if not options and partial is None:
        options.add("ALL")
    return Returns(frozenset(options), partial)


def _search(reading: _Reading) -> Search:
    cursor = reading.cursor
    cursor.space()
    returns = _returns(cursor)
    if returns is not None:
        cursor.space()
    if cursor.accept(b"CHARSET "):
        check_charset(cursor.astring())
        cursor.space()
    return Search(reading.by_uid, parse_program(cursor), returns)


SORT_CRITERIA = frozenset(("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO"))
ALGORITHMS = frozenset(("ORDEREDSUBJECT", "REFERENCES"))


def _sort(reading: _Reading) -> Sort:
    cursor = reading.cursor
    cursor.space()
    returns = _returns(cursor)
    if returns is not None:
        cursor.space()
    cursor.expect(b"(")
    criteria: list[tuple[str, bool]] = []
    is_reversed = False
    for word in cursor.rest_of_list(cursor.keyword):
        if word == "REVERSE":
            is_reversed = True
            continue
        if word not in SORT_CRITERIA or len(criteria) >= 20:
            raise ImapBad("That order is not known")
        criteria.append((word, is_reversed))
        is_reversed = False
    if not criteria or is_reversed:
        raise ImapBad("An order is wanted")
    cursor.space()
    check_charset(cursor.astring())
    cursor.space()
    return Sort(reading.by_uid, tuple(criteria), parse_program(cursor), returns)


def _thread(reading: _Reading) -> Thread:
    cursor = reading.cursor
    cursor.space()
    algorithm = cursor.keyword()
    if algorithm not in ALGORITHMS:
        raise ImapBad("That algorithm is not known")
    cursor.space()
    check_charset(cursor.astring())
    cursor.space()
    return Thread(reading.by_uid, algorithm, parse_program(cursor))


PARSERS: dict[str, Callable[[_Reading], Arguments]] = {
    **dict.fromkeys(
        ("CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "NAMESPACE", "IDLE", "CLOSE", "UNSELECT", "CHECK"),
        _plain,
    ),
    "LOGIN": _login,
    "AUTHENTICATE": _authenticate,
    "ID": _id,
    "ENABLE": _words,
    "COMPRESS": _words,
    "GETQUOTA": _quota_root,
    "SELECT": _select,
    "EXAMINE": _select,
    "CREATE": _create,
    **dict.fromkeys(("DELETE", "SUBSCRIBE", "UNSUBSCRIBE", "GETQUOTAROOT"), _named),
    "RENAME": _rename,
    "LIST": _list,
    "LSUB": _list,
    "STATUS": _status,
    "APPEND": _append,
    **{
        f"{prefix}{verb}": reader
        for prefix in ("", "UID ")
        for verb, reader in (
            ("FETCH", _fetch),
            ("STORE", _store),
            ("COPY", _transfer),
            ("MOVE", _transfer),
            ("EXPUNGE", _expunge),
            ("SEARCH", _search),
            ("SORT", _sort),
            ("THREAD", _thread),
            ("REPLACE", _replace),
        )
    },
}
