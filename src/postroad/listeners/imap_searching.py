"""IMAP's SEARCH, SORT and THREAD: which mails, in which order, told in the form that was asked for.

RFC 9051 6.4.4, RFC 4731 (ESEARCH), RFC 5182 (SEARCHRES), RFC 5256 and 5267 (SORT, THREAD, ESORT), RFC 9394.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from postroad.listeners.imap_session import ImapSession
from postroad.mailstore.breath import Batch
from postroad.mailstore.views import Told
from postroad.message.envelope import decode_envelope
from postroad.message.headers import MAX_HEADER_BYTES, decode_text, field_matches, parse_message_ids
from postroad.message.scan import decode_structure
from postroad.protocols.imap import ordering, wire
from postroad.protocols.imap.commands import Command, Returns, Search, Sort, Thread
from postroad.protocols.imap.errors import ImapNo
from postroad.protocols.imap.search_keys import Program, Within
from postroad.protocols.imap.sequences import written

MAX_SAVED = 200_000  # mails a saved result names
MAX_ORDERED = 200_000  # mails put in order at once; each takes about a kilobyte on the way
SORTED_AT_ONCE = 1000
FIRST_SORTED = 100  # as many more each time as the columns are small
COLUMNS_AT_ONCE = 1024 * 1024  # bytes of envelopes and structures
HEADERS_AT_ONCE = 4 * 1024 * 1024  # bytes of headers read by one query
IN_LOOP_MAILS = 100  # put in order within the loop: with 100 references each, two milliseconds

T = TypeVar("T")


async def _find(session: ImapSession, program: Program) -> list[int]:
    """The UIDs that match and that the client knows of."""
    selected = session.folder()

    def resolve(key: Within) -> Sequence[int]:
        view = selected.view
        return view.by_uid(key.wanted) if key.by_uid else view.by_sequence(key.wanted)

    found = await session.door.store.search.find(selected.folder_id, program.key, resolve)
    return selected.view.still_there(found)


async def search(session: ImapSession, command: Command) -> str:
    """SEARCH and UID SEARCH."""
    asked = command.arguments
    assert isinstance(asked, Search)
    if asked.program.asks_mod_sequence:
        session.features.is_condstore = True
    returns = asked.returns
    try:
        uids = await _find(session, asked.program)
    except ImapNo:
        if returns is not None and "SAVE" in returns.options:
            session.folder().view.saved = ()  # RFC 5182 2.1: a search that fails saves nothing
        raise
    if returns is None and session.features.is_rev2:
        returns = Returns(frozenset(("ALL",)))  # RFC 9051 6.4.4: there is no other answer any more
    highest = 0
    if asked.program.asks_mod_sequence and uids:
        highest = await session.door.store.search.highest_mod_sequence(session.folder().folder_id, uids)
    numbers = _numbers(session, uids, asked.by_uid)
    if returns is None:
        told = f" {' '.join(map(str, numbers))}" if numbers else ""
        session.say(f"* SEARCH{told}{f' (MODSEQ {highest})' if highest else ''}")
    else:
        _save(session, returns, uids)
        _tell(session, command.tag, asked.by_uid, returns, numbers, highest, is_ordered=False)
    return "That is all"


def _numbers(session: ImapSession, uids: Sequence[int], by_uid: bool) -> list[int]:
    if by_uid:
        return list(uids)
    sequence = session.folder().view.sequence
    return [number for number in map(sequence, uids) if number is not None]


def _save(session: ImapSession, returns: Returns, uids: Sequence[int]) -> None:
    """Keep the result for `$` (RFC 5182 2.4: with MIN or MAX alone, only those)."""
    if "SAVE" not in returns.options:
        return
    view = session.folder().view
    ends = returns.options & {"MIN", "MAX"}
    if ends and not returns.options & {"ALL", "COUNT"} and uids and returns.partial is None:
        view.saved = tuple(
            sorted({*(uids[:1] if "MIN" in ends else ()), *(uids[-1:] if "MAX" in ends else ())})
        )
        return
    if returns.partial is not None:
        uids = _part(uids, returns.partial)
    view.saved = tuple(sorted(uids)[:MAX_SAVED])


def _part(numbers: Sequence[int], partial: tuple[int, int]) -> Sequence[int]:
    low, high = partial
    if low > 0:
        return numbers[low - 1 : high]
    return numbers[max(0, len(numbers) + high) : len(numbers) + low + 1]


def _tell(
    session: ImapSession,
    tag: str,
    by_uid: bool,
    returns: Returns,
    numbers: Sequence[int],
    highest: int,
    *,
    is_ordered: bool,
) -> None:
    """ESEARCH: what was asked for, nothing of an empty result but its count (RFC 4731 3.1)."""
    options = returns.options
    if options == {"SAVE"}:
        return  # RFC 5182 2.1: nothing but saving was wanted
    pieces = [f"* ESEARCH (TAG {wire.string(tag)})"]
    if by_uid:
        pieces.append("UID")
    if numbers:
        if "MIN" in options:
            pieces.append(f"MIN {numbers[0] if is_ordered else min(numbers)}")
        if "MAX" in options:
            pieces.append(f"MAX {numbers[-1] if is_ordered else max(numbers)}")
        if "ALL" in options:
            pieces.append(f"ALL {written(numbers)}")
    if "COUNT" in options:
        pieces.append(f"COUNT {len(numbers)}")
    if returns.partial is not None:
        low, high = returns.partial
        part = written(_part(numbers, returns.partial)) or "NIL"
        pieces.append(f"PARTIAL ({low}:{high} {part})")
    if highest:
        pieces.append(f"MODSEQ {highest}")
    session.say(" ".join(pieces))


async def sort(session: ImapSession, command: Command) -> str:
    """SORT and UID SORT."""
    asked = command.arguments
    assert isinstance(asked, Sort)
    mails = await _sortable(session, await _find(session, asked.program))
    ordered = await _worked_out(len(mails), partial(ordering.sort, mails, asked.criteria))
    numbers = _numbers(session, ordered, asked.by_uid)
    if asked.returns is None:
        session.say(f"* SORT {' '.join(map(str, numbers))}".rstrip())
    else:
        _save(session, asked.returns, sorted(mail.uid for mail in mails))
        _tell(session, command.tag, asked.by_uid, asked.returns, numbers, 0, is_ordered=True)
    return "That is all"


async def thread(session: ImapSession, command: Command) -> str:
    """THREAD and UID THREAD."""
    asked = command.arguments
    assert isinstance(asked, Thread)
    uids = await _find(session, asked.program)
    is_references = asked.algorithm == "REFERENCES"
    mails = await _sortable(session, uids, with_references=is_references)
    number = dict(zip(uids, _numbers(session, uids, asked.by_uid), strict=True))
    if is_references:
        told = await _worked_out(
            len(mails), lambda: ordering.write_references(ordering.by_references(mails), number)
        )
    else:
        told = await _worked_out(
            len(mails), lambda: ordering.write_ordered(ordering.ordered_subject(mails), number)
        )
    session.say(f"* THREAD {told}".rstrip())
    return "That is all"


async def _worked_out(mails: int, work: Callable[[], T]) -> T:
    """Run `work`; over many mails in a thread, so that the worker's loop goes on beside it."""
    return work() if mails <= IN_LOOP_MAILS else await asyncio.to_thread(work)


async def _sortable(
    session: ImapSession, uids: Sequence[int], *, with_references: bool = False
) -> list[ordering.Sortable]:
    if len(uids) > MAX_ORDERED:
        raise ImapNo(f"At most {MAX_ORDERED} mails are put in order at once", "LIMIT")
    views = session.door.store.views
    found: list[ordering.Sortable] = []
    batch = Batch(FIRST_SORTED, SORTED_AT_ONCE, COLUMNS_AT_ONCE)
    start = 0
    while start < len(uids):
        some = uids[start : start + batch.size]
        start += len(some)
        mails = await views.told(session.folder().folder_id, some, with_message=True)
        batch.took(sum(len(mail.envelope or b"") + len(mail.structure or b"") for mail in mails))
        references = await _references_of(session, mails) if with_references else {}
        for mail in mails:
            await session.breath()
            told = decode_envelope(mail.envelope or b"")
            found.append(
                ordering.sortable(
                    mail.uid,
                    mail.received_at,
                    mail.size_bytes,
                    told,
                    decode_text((told.subject or "").encode("utf-8", "replace")),
                    references.get(mail.uid, []),
                )
            )
    return found


async def _references_of(session: ImapSession, mails: Sequence[Told]) -> dict[int, list[str]]:
    """The references of mails, from their headers: a few megabytes of those at a time."""
    found: dict[int, list[str]] = {}
    some: list[tuple[int, tuple[int, int, int]]] = []
    size = 0
    for place, mail in enumerate(mails, 1):
        await session.breath()
        end = min(decode_structure(mail.structure or b"").body_start, MAX_HEADER_BYTES)
        some.append((mail.uid, (mail.message_id, 0, end)))
        size += end
        if size >= HEADERS_AT_ONCE or place == len(mails):
            read = await session.door.store.views.ranges([wanted for _, wanted in some])
            for (uid, _), header in zip(some, read, strict=True):
                found[uid] = _references(header)
                await session.breath()
            some, size = [], 0
    return found


def _references(header: bytes) -> list[str]:
    for match in field_matches(header):
        if match[1].lower() == b"references":
            return parse_message_ids(match[2])
    return []
