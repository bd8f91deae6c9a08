"""IMAP's commands on folders: listed, made, renamed, counted. RFC 9051 6.3.

RFC 5258 (LIST-EXTENDED), RFC 5819 (LIST-STATUS), RFC 6154 (SPECIAL-USE), RFC 8438 (STATUS=SIZE), RFC 8474
(MAILBOXID), RFC 9208 (QUOTA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postroad.listeners.imap_session import ImapSession
from postroad.mailstore.errors import BadFolderName, NoSuchFolder
from postroad.mailstore.folder_names import superiors
from postroad.mailstore.folders import Folder, Role
from postroad.protocols.imap import names, wire
from postroad.protocols.imap.commands import Command, ListFolders, Named, Rename, Status, Words
from postroad.protocols.imap.errors import ImapNo

_USES = {
    Role.SENT: "\\Sent",
    Role.DRAFTS: "\\Drafts",
    Role.TRASH: "\\Trash",
    Role.JUNK: "\\Junk",
    Role.ARCHIVE: "\\Archive",
}
ROOT = '""'  # the one quota root: everything an account holds
KIBIBYTE = 1024  # RFC 9208 5.1: STORAGE counts in units of 1,024 bytes


async def find(session: ImapSession, name: str, *, creates: bool = False) -> Folder:
    """Return the folder a client names.

    Raises `ImapNo`; with `creates`, in the words that tell a client to create it first.
    """
    try:
        return await session.door.store.folders.get_by_name(session.account_id, name)
    except (NoSuchFolder, BadFolderName) as error:
        raise ImapNo("There is no such folder", "TRYCREATE" if creates else "NONEXISTENT") from error


async def list_folders(session: ImapSession, command: Command) -> str:
    """LIST."""
    asked = command.arguments
    assert isinstance(asked, ListFolders)
    if not asked.is_extended and asked.patterns == ("",):
        session.say('* LIST (\\Noselect) "/" ""')  # only the delimiter was asked for
        return "That is all"
    folders = await session.door.store.folders.list(session.account_id)
    patterns = _patterns(asked)
    below = _Below.of(folders, asked)
    for folder in folders:
        await session.breath()
        if any(pattern.matches(folder.name) for pattern in patterns):
            told = _listed(session, folder, below, asked)
            if told is not None:
                session.say(told)
                if asked.status:
                    session.say(await _status_line(session, folder, asked.status))
                await session.pace()
    return "That is all"


async def lsub(session: ImapSession, command: Command) -> str:
    """LSUB: the subscribed ones, as old clients ask (RFC 3501 6.3.9)."""
    asked = command.arguments
    assert isinstance(asked, ListFolders)
    folders = await session.door.store.folders.list(session.account_id)
    patterns = _patterns(asked)
    subscribed = {folder.name for folder in folders if folder.is_subscribed}
    told: set[str] = set()
    for name in sorted(subscribed):
        await session.breath()
        if any(pattern.matches(name) for pattern in patterns):
            session.say(f'* LSUB () "/" {wire.mailbox(name, session.is_utf8)}')
            told.add(name)
    # RFC 3501 6.3.9: a level that `%` shows, with something subscribed below it that it does not
    for name in sorted(subscribed - told):
        await session.breath()
        levels = name.split(names.SEPARATOR)
        for depth in range(1, len(levels)):
            above = names.SEPARATOR.join(levels[:depth])
            if above not in told and any(pattern.matches(above) for pattern in patterns):
                session.say(f'* LSUB (\\Noselect) "/" {wire.mailbox(above, session.is_utf8)}')
                told.add(above)
    return "That is all"


def _patterns(asked: ListFolders) -> list[names.Pattern]:
    # RFC 9051 6.3.9: the reference stands in front, unless a pattern begins at the root.
    return [
        names.Pattern(text.removeprefix("/") if text.startswith("/") else asked.reference + text)
        for text in asked.patterns
    ]


@dataclass(frozen=True, slots=True)
class _Below:
    """Names with a folder below them; `selected`: with one that RECURSIVEMATCH looks for."""

    any: frozenset[str]
    selected: frozenset[str]

    @classmethod
    def of(cls, folders: Sequence[Folder], asked: ListFolders) -> _Below:
        """Look once at every folder's superiors, not for each at all others."""
        selected = (
            each
            for each in folders
            if ("SUBSCRIBED" not in asked.selects or each.is_subscribed)
            and ("SPECIAL-USE" not in asked.selects or each.role in _USES)
        )
        return cls(
            frozenset(above for each in folders for above in superiors(each.name)),
            frozenset(above for each in selected for above in superiors(each.name)),
        )


def _listed(session: ImapSession, folder: Folder, below: _Below, asked: ListFolders) -> str | None:
    attributes = ["\\HasChildren" if folder.name in below.any else "\\HasNoChildren"]
    use = _USES.get(folder.role) if folder.role is not None else None
    extended = ""
    is_selected = True
    if "SPECIAL-USE" in asked.selects and use is None:
        is_selected = False
    if "SUBSCRIBED" in asked.selects and not folder.is_subscribed:
        is_selected = False
    if not is_selected:
        if "RECURSIVEMATCH" not in asked.selects or folder.name not in below.selected:
            return None
        chosen = " ".join(f'"{word}"' for word in ("SUBSCRIBED", "SPECIAL-USE") if word in asked.selects)
        extended = f' ("CHILDINFO" ({chosen}))'
    if use is not None:
        attributes.append(use)
    if folder.is_subscribed and ("SUBSCRIBED" in asked.selects or "SUBSCRIBED" in asked.returns):
        attributes.append("\\Subscribed")
    return f'* LIST ({" ".join(attributes)}) "/" {wire.mailbox(folder.name, session.is_utf8)}{extended}'


async def namespace(session: ImapSession, _: Command) -> str:
    """NAMESPACE: one's own folders, and no others yet."""
    session.say('* NAMESPACE (("" "/")) NIL NIL')
    return "That is all"


async def create(session: ImapSession, command: Command) -> str:
    """CREATE; a name may end in the delimiter (RFC 9051 6.3.4)."""
    asked = command.arguments
    assert isinstance(asked, Named)
    if asked.roles:
        raise ImapNo("Every account has its special folders already", "USEATTR")
    folder = await session.door.store.folders.create(
        session.account_id, asked.name.removesuffix(names.SEPARATOR)
    )
    return f"[MAILBOXID (F{folder.id})] Made"


async def delete(session: ImapSession, command: Command) -> str:
    """DELETE."""
    asked = command.arguments
    assert isinstance(asked, Named)
    folder = await find(session, asked.name)
    await session.door.store.folders.delete(session.account_id, folder.id)
    if session.selected is not None and session.selected.folder_id == folder.id:
        session.unselect()
    return "Deleted"


async def rename(session: ImapSession, command: Command) -> str:
    """RENAME; of INBOX, its mails move to a new folder and it stays (RFC 9051 6.3.6)."""
    asked = command.arguments
    assert isinstance(asked, Rename)
    folder = await find(session, asked.old)
    store = session.door.store
    new = asked.new.removesuffix(names.SEPARATOR)
    if folder.role is Role.INBOX:
        made = await store.folders.create(session.account_id, new)
        await store.entries.move(session.account_id, folder.id, None, made.id)
    else:
        await store.folders.rename(session.account_id, folder.id, new)
    return "Renamed"


async def subscribe(session: ImapSession, command: Command) -> str:
    """SUBSCRIBE and UNSUBSCRIBE."""
    asked = command.arguments
    assert isinstance(asked, Named)
    folder = await find(session, asked.name)
    await session.door.store.folders.set_subscribed(
        session.account_id, folder.id, command.verb == "SUBSCRIBE"
    )
    return "Done"


async def status(session: ImapSession, command: Command) -> str:
    """STATUS."""
    asked = command.arguments
    assert isinstance(asked, Status)
    folder = await find(session, asked.name)
    session.say(await _status_line(session, folder, asked.items))
    return "That is all"


async def _status_line(session: ImapSession, folder: Folder, items: Sequence[str]) -> str:
    values: dict[str, object] = {
        "MESSAGES": folder.message_count,
        "RECENT": 0,
        "UIDNEXT": folder.uid_next,
        "UIDVALIDITY": folder.uid_validity,
        "UNSEEN": folder.unseen_count,
        "SIZE": folder.size_bytes,
        "HIGHESTMODSEQ": folder.mod_sequence,
        "APPENDLIMIT": session.door.largest_mail,
        "MAILBOXID": f"(F{folder.id})",
    }
    if "DELETED" in items or "DELETED-STORAGE" in items:
        count, size_bytes = await session.door.store.views.deleted(folder.id)
        values |= {"DELETED": count, "DELETED-STORAGE": size_bytes}
    if "HIGHESTMODSEQ" in items:
        session.features.is_condstore = True  # RFC 7162 3.1: asking for one enables it
    told = " ".join(f"{item} {values[item]}" for item in items)
    return f"* STATUS {wire.mailbox(folder.name, session.is_utf8)} ({told})"


async def get_quota_root(session: ImapSession, command: Command) -> str:
    """GETQUOTAROOT."""
    asked = command.arguments
    assert isinstance(asked, Named)
    folder = await find(session, asked.name)
    session.say(f"* QUOTAROOT {wire.mailbox(folder.name, session.is_utf8)} {ROOT}")
    await _say_quota(session)
    return "That is all"


async def get_quota(session: ImapSession, command: Command) -> str:
    """GETQUOTA."""
    asked = command.arguments
    assert isinstance(asked, Words)
    if asked.words != ("",):
        raise ImapNo("There is no such quota root", "NONEXISTENT")
    await _say_quota(session)
    return "That is all"


async def _say_quota(session: ImapSession) -> None:
    usage = await session.door.store.quota.usage(session.account_id)
    if usage.quota_bytes is None:
        session.say(f"* QUOTA {ROOT} ()")
        return
    used, limit = -(-usage.used_bytes // KIBIBYTE), usage.quota_bytes // KIBIBYTE
    session.say(f"* QUOTA {ROOT} (STORAGE {used} {limit})")
