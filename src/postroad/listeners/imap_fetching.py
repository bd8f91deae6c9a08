"""IMAP's FETCH: answered from what is kept of a mail where that suffices, else from the bytes needed.

Mails come in batches, bytes in pieces of at most a megabyte, so an answer of any length takes bounded memory.
RFC 9051 6.4.5, RFC 3516 (BINARY), RFC 7162 (CHANGEDSINCE, VANISHED), RFC 8474, 8514, 8970, 9394, 9586.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from postroad.db.pool import DatabaseUnavailable
from postroad.listeners.connection import Gone
from postroad.listeners.imap_session import ImapSession
from postroad.mailstore.breath import Batch
from postroad.mailstore.errors import MailStoreError
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.summaries import IN_LOOP_BYTES
from postroad.mailstore.views import EntryState, Told
from postroad.message.envelope import decode_envelope
from postroad.message.headers import field_matches
from postroad.message.scan import Part, decode_structure, find_part
from postroad.message.transfer import decoded
from postroad.protocols.imap import wire
from postroad.protocols.imap.commands import Command, Fetch
from postroad.protocols.imap.errors import ImapNo
from postroad.protocols.imap.fetch_items import Section
from postroad.protocols.imap.sequences import SequenceSet, written

MAILS_AT_ONCE = 500  # whose columns are in memory together
FIRST_MAILS = 50  # of a fetch: as many more each time as the columns are small
COLUMNS_AT_ONCE = (
    1024 * 1024
)  # bytes of envelopes and structures: those of an ordinary mail take about one KB
BYTES_AT_ONCE = 1024 * 1024  # of bodies read by one query; a longer piece is read and sent by itself

_STATES_ONLY = frozenset(("UID", "FLAGS", "MODSEQ"))
_OF_MESSAGE = frozenset(("ENVELOPE", "BODY", "BODYSTRUCTURE", "PREVIEW"))
_DECODABLE = frozenset(("7bit", "8bit", "binary", "base64", "quoted-printable"))


def wanted_uids(session: ImapSession, wanted: SequenceSet, by_uid: bool) -> list[int]:
    """The UIDs that a set of a command means. Raises `ImapBad`."""
    view = session.folder().view
    return view.by_uid(wanted) if by_uid else view.by_sequence(wanted)


async def fetch(session: ImapSession, command: Command) -> str:
    """FETCH and UID FETCH."""
    asked = command.arguments
    assert isinstance(asked, Fetch)
    selected = session.folder()
    uids = wanted_uids(session, asked.wanted, asked.by_uid)
    if asked.changed_since is not None or "MODSEQ" in asked.items.simple:
        session.features.is_condstore = True  # RFC 7162 3.1: asking enables it
    if asked.partial is not None:
        uids = _positions(uids, asked.partial)
    if asked.asks_vanished:
        await _say_vanished(session, asked)
    items = list(asked.items.simple)
    if asked.by_uid and "UID" not in items and not session.features.is_uidonly:
        items.insert(0, "UID")
    if asked.changed_since is not None and "MODSEQ" not in items:
        items.append("MODSEQ")
    expected = len(uids)
    since = asked.changed_since or 0
    if not asked.items.sections and not set(items) - _STATES_ONLY:
        found = await _fetch_states(session, uids, items, since)
    else:
        found = start = 0
        batch = Batch(FIRST_MAILS, MAILS_AT_ONCE, COLUMNS_AT_ONCE)
        while start < len(uids):
            some = uids[start : start + batch.size]
            start += len(some)
            found += await _fetch_some(session, asked, items, some, since, batch)
    if found < expected and asked.changed_since is None and selected.pending:
        return "[EXPUNGEISSUED] Some of them are gone"
    return "Fetched"


def _positions(uids: Sequence[int], partial: tuple[int, int]) -> list[int]:
    low, high = partial
    if low > 0:
        return list(uids[low - 1 : high])
    return list(uids[max(0, len(uids) + high) : len(uids) + low + 1])


async def _say_vanished(session: ImapSession, asked: Fetch) -> None:
    """What of the set has gone since (RFC 7162 3.2.6)."""
    selected = session.folder()
    news = await session.door.store.views.news(
        session.account_id, selected.folder_id, asked.changed_since or 0
    )
    spans = asked.wanted.spans(selected.uid_next - 1)
    if news.vanished is not None:
        gone: Iterable[int] = news.vanished
        text = written([uid for uid in gone if any(low <= uid <= high for low, high in spans)])
        if text:
            session.say(f"* VANISHED (EARLIER) {text}")


async def _fetch_states(session: ImapSession, uids: Sequence[int], items: Sequence[str], since: int) -> int:
    """Flags of many mails: the answer mail programs wait for when they open a folder."""
    selected = session.folder()
    sequence = selected.view.sequence
    is_uidonly = session.features.is_uidonly
    found = 0
    async for states in session.door.store.views.states(selected.folder_id, uids, since):
        session.tell_keywords(word for each in states for word in each.keywords)
        lines: list[str] = []
        for each in states:
            values = " ".join(
                f"UID {each.uid}"
                if item == "UID"
                else f"FLAGS {wire.flags(each.flags, each.keywords)}"
                if item == "FLAGS"
                else f"MODSEQ ({each.mod_sequence})"
                for item in items
            )
            if is_uidonly:
                lines.append(f"* {each.uid} UIDFETCH ({values})\r\n")
            else:
                lines.append(f"* {sequence(each.uid)} FETCH ({values})\r\n")
        session.write("".join(lines).encode())
        await session.pace()
        found += len(states)
    return found


@dataclass(slots=True)
class _Cut:
    """Bytes to be told: of the prefix, then of the body between two offsets. `holds` them once read."""

    front: bytes
    start: int
    end: int
    holds: bytes | None = None

    @property
    def size(self) -> int:
        return len(self.front) + max(0, self.end - self.start)


async def _fetch_some(
    session: ImapSession,
    asked: Fetch,
    items: Sequence[str],
    uids: Sequence[int],
    since: int,
    batch: Batch,
) -> int:
    selected = session.folder()
    sections = asked.items.sections
    views = session.door.store.views
    mails = await views.told(
        selected.folder_id,
        uids,
        with_message=bool(sections) or bool(_OF_MESSAGE.intersection(items)),
        changed_since=since,
    )
    batch.took(sum(len(each.envelope or b"") + len(each.structure or b"") for each in mails))
    marked: dict[int, EntryState] = {}
    if asked.items.marks_seen and not selected.is_read_only:
        marked = await _mark_seen(session, [each.uid for each in mails if not each.flags & Flag.SEEN])
    session.tell_keywords(word for each in mails for word in each.keywords)
    prefixes: dict[int, bytes] = {}
    if any(not section.numbers and section.what != "TEXT" for section in sections):
        prefixes = await views.prefixes([each.message_id for each in mails])
    gathered: list[tuple[Told, Part | None, list[_Cut | None]]] = []
    size = 0
    for mail in mails:
        await session.breath()
        structure = decode_structure(mail.structure) if mail.structure is not None else None
        cuts = [
            _cut(section, structure, prefixes.get(mail.message_id, b"")) if structure is not None else None
            for section in sections
        ]
        gathered.append((mail, structure, cuts))
        size += sum(cut.size for cut in cuts if cut is not None)
        if size >= BYTES_AT_ONCE:
            await _tell(session, asked, items, gathered, marked)
            gathered, size = [], 0
    await _tell(session, asked, items, gathered, marked)
    return len(mails)


async def _mark_seen(session: ImapSession, uids: Sequence[int]) -> dict[int, EntryState]:
    """Set \\Seen on what is about to be read; the answer tells it."""
    if not uids:
        return {}
    selected = session.folder()
    done = await session.door.store.entries.set_flags(
        session.account_id, selected.folder_id, uids, FlagChange.adding(Flag.SEEN)
    )
    if done.changed and done.mod_sequence == selected.mod_sequence + 1:
        selected.mod_sequence = done.mod_sequence  # nothing else happened, and this is told here
    return {
        each.uid: EntryState(each.uid, int(each.flags), each.keywords, each.mod_sequence)
        for each in done.changed
    }


async def _tell(
    session: ImapSession,
    asked: Fetch,
    items: Sequence[str],
    gathered: Sequence[tuple[Told, Part | None, list[_Cut | None]]],
    marked: dict[int, EntryState],
) -> None:
    """Read the bytes of some mails that fit together, and write their lines."""
    small = [
        (mail.message_id, cut)
        for mail, _, cuts in gathered
        # A mail of which much is asked is read piece by piece, however small each of them is.
        if sum(cut.size for cut in cuts if cut is not None) <= BYTES_AT_ONCE
        for cut in cuts
        if cut is not None
    ]
    wanted = [(message_id, cut.start, cut.end) for message_id, cut in small if cut.end > cut.start]
    read = iter(await session.door.store.views.ranges(wanted)) if wanted else iter(())
    for _, each in small:
        each.holds = each.front + (next(read) if each.end > each.start else b"")
    features = session.features
    for mail, structure, cuts in gathered:
        number = session.folder().view.sequence(mail.uid)
        if number is None:
            continue
        now = marked.get(mail.uid)
        told = list(_values(session, items, mail, structure, now))
        if now is not None and "FLAGS" not in items:
            told.append(f"FLAGS {wire.flags(now.flags, now.keywords)}")
            if features.is_condstore and "MODSEQ" not in items:
                told.append(f"MODSEQ ({now.mod_sequence})")
        head = f"* {mail.uid} UIDFETCH (" if features.is_uidonly else f"* {number} FETCH ("
        _check_encodings(asked.items.sections, structure)
        session.write((head + " ".join(told)).encode())
        is_first = not told
        try:
            for section, cut in zip(asked.items.sections, cuts, strict=True):
                session.write(b"" if is_first else b" ")
                is_first = False
                async for piece in _section_value(session, mail, structure, section, cut):
                    session.write(piece)
                    await session.pace()
        except (MailStoreError, DatabaseUnavailable) as error:
            # Half a line is said already: a refusal behind it would be read as a part of the mail.
            session.connection.abort()
            raise Gone(str(error)) from error
        session.write(b")\r\n")
        await session.pace()


def _check_encodings(sections: Sequence[Section], structure: Part | None) -> None:
    """Before a line begins: whether what is to be decoded can be. Raises `ImapNo` (RFC 3516 4.3)."""
    for section in sections:
        if section.is_decoded and section.numbers and structure is not None:
            part = find_part(structure, section.numbers)
            if part is not None and part.encoding not in _DECODABLE:
                raise ImapNo("That part's encoding is not known", "UNKNOWN-CTE")


def _values(
    session: ImapSession, items: Sequence[str], mail: Told, structure: Part | None, now: EntryState | None
) -> Iterable[str]:
    is_utf8 = session.is_utf8
    for item in items:
        match item:
            case "UID":
                yield f"UID {mail.uid}"
            case "FLAGS":
                bits, words = (now.flags, now.keywords) if now is not None else (mail.flags, mail.keywords)
                yield f"FLAGS {wire.flags(bits, words)}"
            case "INTERNALDATE":
                yield f"INTERNALDATE {wire.date_time(mail.received_at)}"
            case "SAVEDATE":
                yield f"SAVEDATE {wire.date_time(mail.saved_at)}"
            case "RFC822.SIZE":
                yield f"RFC822.SIZE {mail.size_bytes}"
            case "MODSEQ":
                yield f"MODSEQ ({now.mod_sequence if now is not None else mail.mod_sequence})"
            case "EMAILID":
                yield f"EMAILID (M{mail.message_id})"
            case "THREADID":
                yield f"THREADID (T{mail.thread})" if mail.thread else "THREADID NIL"
            case "PREVIEW":
                yield f"PREVIEW {wire.string(mail.preview or '', is_utf8)}"
            case "ENVELOPE":
                yield f"ENVELOPE {wire.envelope(decode_envelope(mail.envelope or b''), is_utf8)}"
            case "BODY" | "BODYSTRUCTURE" if structure is not None:
                is_extended = item == "BODYSTRUCTURE"
                yield f"{item} {wire.body(structure, is_extended=is_extended, is_utf8=is_utf8)}"


def _cut(section: Section, root: Part, prefix: bytes) -> _Cut | None:
    """Where a section's bytes lie, its partial range taken into account; None when there is no such part."""
    if not section.numbers:
        cut = _Cut(prefix, 0, root.body_end)
        if section.what in ("HEADER", "HEADER.FIELDS"):
            cut.end = root.body_start
        elif section.what == "TEXT":
            cut = _Cut(b"", root.body_start, root.body_end)
    else:
        part = find_part(root, section.numbers)
        if part is None:
            return None
        if section.what == "MIME":
            cut = _Cut(b"", part.header_start, part.body_start)
        elif section.what == "":
            cut = _Cut(b"", part.body_start, part.body_end)
        elif part.message is None:
            return None
        elif section.what == "TEXT":
            cut = _Cut(b"", part.message.body_start, part.message.body_end)
        else:
            cut = _Cut(b"", part.message.header_start, part.message.body_start)
    if section.partial is not None and not section.is_decoded and section.what != "HEADER.FIELDS":
        _restrict(cut, *section.partial)
    return cut


def _restrict(cut: _Cut, offset: int, length: int) -> None:
    """Narrow a cut to a range of its bytes, so that no more than that is read."""
    whole = cut.size
    low, high = min(offset, whole), min(offset + length, whole)
    in_front = len(cut.front)
    start = cut.start + max(0, low - in_front)
    end = cut.start + max(0, high - in_front)
    cut.front = cut.front[low:high]
    cut.start, cut.end = start, end


async def _section_value(
    session: ImapSession, mail: Told, structure: Part | None, section: Section, cut: _Cut | None
) -> AsyncIterator[bytes]:
    """Yield a section's name and value; a long one in pieces."""
    label = section.label.encode()
    if cut is None:
        yield label + (b" 0" if section.is_size else b" NIL")
        return
    if section.is_decoded:
        yield await _decoded(session, mail, structure, section, cut)
        return
    if section.what == "HEADER.FIELDS" and cut.holds is None:
        await _read(session, mail, cut)
    if cut.holds is not None:
        data = cut.holds
        if section.what == "HEADER.FIELDS":
            data = _chosen_fields(data, section)
            if section.partial is not None:
                offset, length = section.partial
                data = data[offset : offset + length]
        yield label + b" " + wire.literal(data)
        return
    yield label + b" {%d}\r\n" % cut.size + cut.front
    for start in range(cut.start, cut.end, BYTES_AT_ONCE):
        end = min(start + BYTES_AT_ONCE, cut.end)
        piece = (await session.door.store.views.ranges([(mail.message_id, start, end)]))[0]
        # Removed for good in the middle of being told: the length was promised, the connection has to go.
        if len(piece) != end - start:
            session.connection.abort()
        yield piece


async def _read(session: ImapSession, mail: Told, cut: _Cut) -> bytes:
    """Read a cut's bytes, which it holds from then on."""
    ranges = await session.door.store.views.ranges([(mail.message_id, cut.start, cut.end)])
    cut.holds = cut.front + ranges[0]
    return cut.holds


def _chosen_fields(header: bytes, section: Section) -> bytes:
    """The fields named, as they stand, and an empty line (RFC 9051 6.4.5.1)."""
    pieces = [
        match[0].rstrip(b"\r\n") + b"\r\n"
        for match in field_matches(header)
        if (match[1].lower() in section.fields) != section.is_not
    ]
    return b"".join(pieces) + b"\r\n"


async def _decoded(
    session: ImapSession, mail: Told, structure: Part | None, section: Section, cut: _Cut
) -> bytes:
    """BINARY and BINARY.SIZE: the part as it was before it was encoded (RFC 3516)."""
    assert structure is not None
    data = cut.holds if cut.holds is not None else await _read(session, mail, cut)
    part = find_part(structure, section.numbers) if section.numbers else None
    if part is not None:
        moved = msgspec.structs.replace(part, body_start=0, body_end=len(data))
        is_small = len(data) <= IN_LOOP_BYTES
        data = decoded(data, moved) if is_small else await asyncio.to_thread(decoded, data, moved)
    if section.is_size:
        return f"{section.label} {len(data)}".encode()
    if section.partial is not None:
        offset, length = section.partial
        data = data[offset : offset + length]
    return section.label.encode() + b" " + wire.literal(data, is_binary=True)
