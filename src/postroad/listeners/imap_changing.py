"""IMAP's commands that change mails: flagged, copied, moved, removed, put in.

RFC 9051 6.3.12, 6.4.3, 6.4.6 to 6.4.8; RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 7162 (UNCHANGEDSINCE),
RFC 3502 (MULTIAPPEND), RFC 8508 (REPLACE).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from postroad.listeners.imap_fetching import wanted_uids
from postroad.listeners.imap_folders import find
from postroad.listeners.imap_session import ImapSession
from postroad.mailstore.append import Appended
from postroad.mailstore.errors import BadKeyword
from postroad.mailstore.filing import FlagsChanged
from postroad.mailstore.flags import NO_FLAGS, Flag, FlagChange, keywords
from postroad.mailstore.views import EntryState
from postroad.protocols.imap.commands import Append, Command, Expunge, NewMail, Replace, Store, Transfer
from postroad.protocols.imap.errors import ImapNo
from postroad.protocols.imap.sequences import written

_SYSTEM = {
    "\\SEEN": Flag.SEEN,
    "\\ANSWERED": Flag.ANSWERED,
    "\\FLAGGED": Flag.FLAGGED,
    "\\DELETED": Flag.DELETED,
    "\\DRAFT": Flag.DRAFT,
}


def read_flags(words: Iterable[str]) -> tuple[Flag, tuple[str, ...]]:
    """Take flags apart from keywords, in any case; \\Recent is nobody's to set. Raises `ImapNo`."""
    flags = NO_FLAGS
    others: list[str] = []
    for word in words:
        known = _SYSTEM.get(word.upper())
        if known is not None:
            flags |= known
        elif word.upper() == "\\RECENT":
            continue
        elif word.startswith("\\"):
            raise ImapNo("There is no such flag", "CANNOT")
        else:
            others.append(word)
    try:
        return flags, keywords(others)
    except BadKeyword as error:
        raise ImapNo(str(error), "LIMIT") from error


def _writable(session: ImapSession) -> None:
    if session.folder().is_read_only:
        raise ImapNo("The folder is open for reading only", "READ-ONLY")


async def store(session: ImapSession, command: Command) -> str:
    """STORE and UID STORE."""
    asked = command.arguments
    assert isinstance(asked, Store)
    _writable(session)
    selected = session.folder()
    if asked.unchanged_since is not None:
        session.features.is_condstore = True
    flags, words = read_flags(asked.flags)
    make = {"+": FlagChange.adding, "-": FlagChange.removing, "": FlagChange.replacing}[asked.mode]
    uids = wanted_uids(session, asked.wanted, asked.by_uid)
    before = selected.mod_sequence
    done = await session.door.store.entries.set_flags(
        session.account_id, selected.folder_id, uids, make(flags, words), asked.unchanged_since
    )
    await _tell_stored(session, asked, uids, done, before)
    if done.refused:
        named = sorted(done.refused)
        if not asked.by_uid:
            named = sorted(number for number in map(selected.view.sequence, named) if number is not None)
        return f"[MODIFIED {written(named)}] Some had changed meanwhile"
    return "Stored"


async def _tell_stored(
    session: ImapSession, asked: Store, uids: Sequence[int], done: FlagsChanged, before: int
) -> None:
    """Tell the new flags, unless the client knows them; and remember what needs no telling later.

    What others changed between is left to the next look, which then tells ours again as well: better twice
    than never.
    """
    selected = session.folder()
    steps = len({each.mod_sequence for each in done.changed})
    is_undisturbed = done.mod_sequence == before + steps
    changed = {each.uid: each for each in done.changed}
    if asked.is_silent:
        if is_undisturbed:
            session.tell_keywords(word for each in done.changed for word in each.keywords)
            if session.features.is_condstore:
                for each in done.changed:
                    state = EntryState(each.uid, int(each.flags), each.keywords, each.mod_sequence)
                    session.tell_state(state, with_flags=False, with_uid=asked.by_uid)
                    await session.pace()
            selected.mod_sequence = done.mod_sequence
        return
    refused = set(done.refused)
    unchanged = [uid for uid in uids if uid not in changed and uid not in refused]
    states = [
        EntryState(each.uid, int(each.flags), each.keywords, each.mod_sequence) for each in done.changed
    ]
    async for found in session.door.store.views.states(selected.folder_id, unchanged):
        states.extend(found)
    states.sort(key=lambda each: each.uid)
    session.tell_keywords(word for each in states for word in each.keywords)
    for state in states:
        session.tell_state(state, with_uid=asked.by_uid)
        await session.pace()
    if is_undisturbed:
        selected.mod_sequence = done.mod_sequence


async def copy(session: ImapSession, command: Command) -> str:
    """COPY and UID COPY: all or nothing."""
    asked = command.arguments
    assert isinstance(asked, Transfer)
    selected = session.folder()
    target = await find(session, asked.name, creates=True)
    uids = wanted_uids(session, asked.wanted, asked.by_uid)
    done = await session.door.store.entries.copy(session.account_id, selected.folder_id, uids, target.id)
    if not done.uids:
        return "Nothing to copy"
    return f"[COPYUID {_pairs(done.target_uid_validity, done.uids)}] Copied"


async def move(session: ImapSession, command: Command) -> str:
    """MOVE and UID MOVE: the pairs are told first, then what is gone (RFC 6851 4.3)."""
    asked = command.arguments
    assert isinstance(asked, Transfer)
    _writable(session)
    selected = session.folder()
    target = await find(session, asked.name, creates=True)
    uids = wanted_uids(session, asked.wanted, asked.by_uid)
    done = await session.door.store.entries.move(session.account_id, selected.folder_id, uids, target.id)
    if not done.uids:
        return "Nothing to move"
    session.say(f"* OK [COPYUID {_pairs(done.target_uid_validity, done.uids)}] Moved")
    await session.look(allows_expunge=True)
    return f"{_latest(session)}Done"


def _pairs(uid_validity: int, uids: Sequence[tuple[int, int]]) -> str:
    return f"{uid_validity} {written([old for old, _ in uids])} {written([new for _, new in uids])}"


async def expunge(session: ImapSession, command: Command) -> str:
    """EXPUNGE, and UID EXPUNGE of some."""
    asked = command.arguments
    assert isinstance(asked, Expunge)
    _writable(session)
    selected = session.folder()
    uids = None if asked.wanted is None else selected.view.by_uid(asked.wanted)
    gone = await session.door.store.entries.expunge_deleted(session.account_id, selected.folder_id, uids)
    await session.look(allows_expunge=True)
    return f"{_latest(session)}Done" if gone else "Nothing was flagged as deleted"


def _latest(session: ImapSession) -> str:
    """RFC 7162 3.2.7: who resynchronises learns the mod-sequence of the removal."""
    if session.features.is_qresync and session.selected is not None:
        return f"[HIGHESTMODSEQ {session.selected.mod_sequence}] "
    return ""


async def append(session: ImapSession, command: Command) -> str:
    """APPEND of one mail or several: all or none."""
    asked = command.arguments
    assert isinstance(asked, Append)
    folder = await find(session, asked.name, creates=True)
    placed = await session.door.store.append.put_all(
        session.account_id, folder.id, [_appended(each) for each in asked.mails]
    )
    return f"[APPENDUID {folder.uid_validity} {written([each.uid for each in placed])}] Stored"


async def replace(session: ImapSession, command: Command) -> str:
    """REPLACE and UID REPLACE: the new mail in, the old one out, or neither."""
    asked = command.arguments
    assert isinstance(asked, Replace)
    _writable(session)
    selected = session.folder()
    uids = wanted_uids(session, asked.wanted, asked.by_uid)
    if len(uids) != 1:
        raise ImapNo("One mail is replaced, and it must be there", "EXPUNGEISSUED")
    folder = await find(session, asked.name, creates=True)
    store = session.door.store
    mail = _appended(asked.mail)
    if folder.id == selected.folder_id:
        placed = await store.append.put_all(session.account_id, folder.id, [mail], replacing=uids[0])
    else:
        placed = await store.append.put_all(session.account_id, folder.id, [mail])
        await store.entries.expunge(session.account_id, selected.folder_id, uids)
    session.say(f"* OK [APPENDUID {folder.uid_validity} {placed[0].uid}] Stored")  # RFC 8508 3.3
    await session.look(allows_expunge=True)
    return f"{_latest(session)}Replaced"


def _appended(mail: NewMail) -> Appended:
    flags, words = read_flags(mail.flags)
    return Appended(mail.content, flags, words, mail.received_at)
