"""IMAP's folder in hand: opened, caught up with, watched, closed.

RFC 9051 6.3.2, 6.3.3, 6.3.13 (IDLE), 6.4.1, 6.4.2; RFC 7162 3.2.5 (QRESYNC).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from contextlib import suppress

from postroad.db.pool import DatabaseUnavailable
from postroad.listeners.connection import Gone, Silent
from postroad.listeners.imap_folders import find
from postroad.listeners.imap_session import ImapSession, Selected
from postroad.protocols.imap import wire
from postroad.protocols.imap.commands import Command, Resync, Select
from postroad.protocols.imap.errors import ImapBad
from postroad.protocols.imap.sequences import written
from postroad.protocols.imap.states import State

# Routers forget a silent connection after five minutes at the earliest (RFC 5382 5 asks them for two hours);
# Dovecot's imap_idle_notify_interval is two minutes.
KEEP_ALIVE_SECONDS = 120.0
DONE_LINE = 1000  # bytes


async def select(session: ImapSession, command: Command) -> str:
    """SELECT and EXAMINE."""
    asked = command.arguments
    assert isinstance(asked, Select)
    features = session.features
    if asked.resync is not None and not features.is_qresync:
        raise ImapBad("Enable QRESYNC first")  # RFC 7162 3.2.5
    had_one = session.selected is not None
    session.unselect()  # RFC 9051 6.3.2: also when the new one cannot be had
    if had_one:
        session.say("* OK [CLOSED] The folder before is closed")
    folder = await find(session, asked.name)
    opened = await session.door.store.views.open(session.account_id, folder.id)
    features.is_condstore |= asked.is_condstore
    selected = Selected(opened, is_read_only=command.verb == "EXAMINE")
    session.selected = selected
    session.state = State.SELECTED
    session.say_flags()
    session.say(f"* {len(selected.view)} EXISTS")
    if not features.is_rev2:
        session.say("* 0 RECENT")
        first = selected.view.sequence(opened.first_unseen) if opened.first_unseen else None
        if first is not None and not features.is_uidonly:
            session.say(f"* OK [UNSEEN {first}] The first unread")
    else:
        session.say(f'* LIST () "/" {wire.mailbox(opened.name, session.is_utf8)}')
    session.say(f"* OK [UIDVALIDITY {opened.uid_validity}] UIDs hold")
    session.say(f"* OK [UIDNEXT {opened.uid_next}] The next UID")
    session.say(f"* OK [HIGHESTMODSEQ {opened.mod_sequence}] The latest change")
    session.say(f"* OK [MAILBOXID (F{opened.folder_id})] For ever")
    if asked.resync is not None and asked.resync.uid_validity == opened.uid_validity:
        await _catch_up(session, selected, asked.resync)
    return f"[{'READ-ONLY' if selected.is_read_only else 'READ-WRITE'}] Open"


async def _catch_up(session: ImapSession, selected: Selected, known: Resync) -> None:
    """Tell a client that was here before what vanished and changed since (RFC 7162 3.2.5.1)."""
    view = selected.view
    news = await session.door.store.views.news(session.account_id, selected.folder_id, known.mod_sequence)
    if news.vanished is not None:
        gone = [uid for uid in news.vanished if view.sequence(uid) is None]
        if known.known_uids is not None:
            spans = known.known_uids.spans(selected.uid_next - 1)
            gone = [uid for uid in gone if any(low <= uid <= high for low, high in spans)]
        text = written(gone)
    else:
        # Too long ago: everything that is not there may have been, among what the client says it knows.
        text = _absent(selected, known)
    if text:
        session.say(f"* VANISHED (EARLIER) {text}")
    session.tell_keywords(word for each in news.changed for word in each.keywords)
    for each in news.changed:
        if view.sequence(each.uid) is not None:
            session.tell_state(each, with_uid=True)
            await session.pace()


def _absent(selected: Selected, known: Resync) -> str:
    highest = selected.uid_next - 1
    spans = known.known_uids.spans(highest) if known.known_uids is not None else [(1, highest)]
    pieces: list[str] = []
    uids = selected.view.uids
    for low, high in spans:
        start = low
        high = min(high, highest)
        place = bisect_left(uids, low)
        while start <= high:
            following = uids[place] if place < len(uids) and uids[place] <= high else high + 1
            if following > start:
                pieces.append(str(start) if following - 1 == start else f"{start}:{following - 1}")
            start = following + 1
            place += 1
    return ",".join(pieces)


async def close(session: ImapSession, command: Command) -> str:
    """CLOSE: what is flagged as deleted goes, without a word for each."""
    selected = session.folder()
    if not selected.is_read_only:
        await session.door.store.entries.expunge_deleted(session.account_id, selected.folder_id)
    session.unselect()
    return "Closed"


async def unselect(session: ImapSession, _: Command) -> str:
    """UNSELECT: nothing goes (RFC 9051 6.4.2)."""
    session.unselect()
    return "Closed"


async def idle(session: ImapSession, _: Command) -> str:
    """IDLE: tell at once what happens, until the client says DONE."""
    session.say("+ Watching")
    session.flush()
    watching = asyncio.get_running_loop().create_task(_watch(session)) if session.selected else None
    waited = 0.0
    try:
        while not session.has_ended():
            line = session.take_line(DONE_LINE)
            if line is not None:
                if line.strip().upper() != b"DONE":
                    raise ImapBad("DONE is wanted")
                break
            try:
                await session.connection.wait_readable(KEEP_ALIVE_SECONDS)
            except Silent:
                if session.has_ended():
                    break
                waited += KEEP_ALIVE_SECONDS
                if waited >= session.door.idle_seconds:
                    raise
                session.say("* OK Still here")
                session.flush()
                continue
            session.take_waiting()
            if session.connection.is_at_end:
                raise Gone
    finally:
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    if session.selected is not None and not session.has_ended():
        await session.look(allows_expunge=True)
    return "Done"


async def _watch(session: ImapSession) -> None:
    """Tell what happens to the folder, whoever did it, on whichever worker."""
    folder_id = session.folder().folder_id
    async with session.door.store.changes.subscribe(session.account_id) as feed:
        await _look(session)  # what happened before the feed began
        async for change in feed:
            if change.folder_id == folder_id:
                await _look(session)
                if session.has_ended():
                    session.connection.interrupt()  # the one who waits for DONE
                    return


async def _look(session: ImapSession) -> None:
    try:
        await session.look(allows_expunge=True)
    except DatabaseUnavailable:
        return  # the feed looks again
    except Gone:
        return
    session.flush()
    with suppress(Gone):
        await session.connection.drained()
