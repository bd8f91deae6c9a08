"""The IMAP doors, `imap` and `imaps`: which coroutine serves which command. RFC 9051, RFC 8314."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from postroad.db.tasks import TaskSupervisor
from postroad.listeners import imap_changing as changing
from postroad.listeners import imap_fetching as fetching
from postroad.listeners import imap_folders as folders
from postroad.listeners import imap_searching as searching
from postroad.listeners import imap_selecting as selecting
from postroad.listeners import imap_signing_in as signing_in
from postroad.listeners.access import AccessListener, Turned
from postroad.listeners.connection import Connection
from postroad.listeners.imap_session import Handler, ImapDoor, ImapSession
from postroad.listeners.limits import Connections

WORDS = Turned(b"* BYE [LIMIT] Too many connections\r\n", b"* BYE [SERVERBUG] Something went wrong here\r\n")

HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "CAPABILITY": signing_in.capability,
        "NOOP": signing_in.noop,
        "CHECK": signing_in.noop,
        "LOGOUT": signing_in.logout,
        "ID": signing_in.identify,
        "STARTTLS": signing_in.start_tls,
        "LOGIN": signing_in.login,
        "AUTHENTICATE": signing_in.authenticate,
        "ENABLE": signing_in.enable,
        "COMPRESS": signing_in.compress,
        "LIST": folders.list_folders,
        "LSUB": folders.lsub,
        "NAMESPACE": folders.namespace,
        "CREATE": folders.create,
        "DELETE": folders.delete,
        "RENAME": folders.rename,
        "SUBSCRIBE": folders.subscribe,
        "UNSUBSCRIBE": folders.subscribe,
        "STATUS": folders.status,
        "GETQUOTA": folders.get_quota,
        "GETQUOTAROOT": folders.get_quota_root,
        "SELECT": selecting.select,
        "EXAMINE": selecting.select,
        "CLOSE": selecting.close,
        "UNSELECT": selecting.unselect,
        "IDLE": selecting.idle,
        "APPEND": changing.append,
        **{
            f"{prefix}{verb}": handler
            for prefix in ("", "UID ")
            for verb, handler in (
                ("FETCH", fetching.fetch),
                ("STORE", changing.store),
                ("COPY", changing.copy),
                ("MOVE", changing.move),
                ("EXPUNGE", changing.expunge),
                ("REPLACE", changing.replace),
                ("SEARCH", searching.search),
                ("SORT", searching.sort),
                ("THREAD", searching.thread),
            )
        },
    }
)


def imap_listener(
    name: str, door: ImapDoor, connections: Connections, tasks: TaskSupervisor | None = None
) -> AccessListener:
    """Make the listener of `imap` or `imaps`."""

    async def serve(connection: Connection) -> None:
        await ImapSession(door, connection, HANDLERS, asyncio.get_running_loop().time).run()

    return AccessListener(
        name,
        serve,
        WORDS,
        connections=connections,
        metrics=door.metrics,
        tls=door.tls,
        is_tls_first=name == "imaps",
        tasks=tasks,
    )
