"""The roads that are walked: everything a worker promises, each as one scenario in three acts.

A road is an async generator. What it does before its first `yield` sets the scene, past every fault; from
there to its second `yield` the fault happens somewhere; what follows holds what was acknowledged against
what is there. A road joins by `@road("its name")`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

from postroad.campaigns.tracking.hits import Hit
from postroad.db.pool import Database
from postroad.directory.errors import WrongCredentials
from postroad.dns.lookups import Lookups
from postroad.events.outbox import Event, Outbox
from postroad.events.reader import EventReader
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.folders import Role
from postroad.notifications.lines import Lines
from postroad.notifications.receivers import Receivers
from postroad.notifications.telling import Telling
from postroad.notifications.ways import open_ways
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, SessionInfo
from postroad.protocols.smtp.envelope import Role as SmtpRole
from tests.faults.mailed import NOTICE, mailed
from tests.faults.scene import ANNA, BERT, HOSTNAME, PASSWORD, Walk, mail, until

Road: TypeAlias = Callable[[Walk], AsyncGenerator[None, None]]
ROADS: dict[str, Road] = {}


def road(name: str) -> Callable[[Road], Road]:
    """Join the roads that are walked."""

    def join(walk: Road) -> Road:
        ROADS[name] = walk
        return walk

    return join


# -- taking mail


@road("accept local")
async def accept_local(walk: Walk) -> AsyncGenerator[None, None]:
    """Two mails at once for two accounts: each lies in both inboxes or in none."""
    send = partial(walk.send, walk.parts.transport, str(ANNA), str(BERT))
    yield
    await asyncio.gather(walk.ask(send), walk.ask(send))
    yield
    copies = await walk.scene.inboxes(walk.mark)
    anna, bert = _of(copies, ANNA, Role.INBOX), _of(copies, BERT, Role.INBOX)
    walk.hold_copies(anna)
    assert anna == bert, f"not for all or nobody: {copies}"


@road("accept remote")
async def accept_remote(walk: Walk) -> AsyncGenerator[None, None]:
    """Mails for elsewhere: what was acknowledged goes out, once."""
    transport = walk.parts.transport
    yield
    await asyncio.gather(
        walk.ask(partial(walk.send, transport, "one@there.test")),
        walk.ask(partial(walk.send, transport, "one@there.test", "two@there.test")),
    )
    await walk.until_queue_rests()
    yield
    walk.hold_copies(_names(walk.scene.at_sink(walk.mark)))


# -- delivering it


@road("deliver")
async def deliver(walk: Walk) -> AsyncGenerator[None, None]:
    """Mails that lie in the queue are claimed, read and sent, once."""
    taker = walk.scene.taker
    for _ in range(3):
        await walk.send(taker, "one@there.test")
    yield
    walk.parts.transport.dispatcher.look()
    await walk.until_queue_rests()
    yield
    walk.hold_copies(_names(walk.scene.at_sink(walk.mark)))


@road("settle")
async def settle(walk: Walk) -> AsyncGenerator[None, None]:
    """One mail of three recipients: taken, refused for now, refused for good."""
    await walk.send(
        walk.scene.taker, "one@there.test", f"greylisted{walk.mark}@there.test", "unknown@there.test"
    )
    yield
    walk.parts.transport.dispatcher.look()
    await walk.until_queue_rests()
    yield
    sent = walk.scene.at_sink(walk.mark)
    assert set(sent.values()) == {1}, f"sent more than once: {sent}"
    assert len(sent) == 2, f"not sent: {sent}"
    await _hold_notices(walk)


@road("notice")
async def notice(walk: Walk) -> AsyncGenerator[None, None]:
    """Mail that is refused for good comes back to its sender, once."""
    await walk.send(walk.scene.taker, "unknown1@there.test")
    await walk.send(walk.scene.taker, "unknown2@there.test")
    yield
    walk.parts.transport.dispatcher.look()
    await walk.until_queue_rests()
    yield
    await _hold_notices(walk)


# -- in the mailbox


@road("APPEND")
async def append(walk: Walk) -> AsyncGenerator[None, None]:
    """A mail put into a folder lies there once."""
    anna = walk.scene.accounts[ANNA]

    async def put() -> None:
        name = walk.name()
        await walk.parts.append.put(anna, Role.DRAFTS, mail(name))
        walk.acknowledged.add(name)

    yield
    await walk.ask(put)
    yield
    walk.hold_copies(_of(await walk.scene.inboxes(walk.mark), ANNA, Role.DRAFTS))


@road("replace")
async def replace(walk: Walk) -> AsyncGenerator[None, None]:
    """A draft that is saved again takes the place of the old one: one of the two is there, never both."""
    anna, old = walk.scene.accounts[ANNA], walk.name()
    placed = await walk.parts.append.put(anna, Role.DRAFTS, mail(old))

    async def save() -> str:
        name = walk.name()
        await walk.parts.append.replace(anna, placed.folder_id, placed.uid, mail(name))
        return name

    yield
    new = await walk.ask(save)
    yield
    there = _of(await walk.scene.inboxes(walk.mark), ANNA, Role.DRAFTS)
    assert sum(there.values()) == 1, f"not one draft but {dict(there)}"
    assert new is None or new in there, f"{new} was saved, it was said, but there is {dict(there)}"


@road("move")
async def move(walk: Walk) -> AsyncGenerator[None, None]:
    """Entries of one folder go to another: each lies in one of them, whatever was said."""
    anna, parts = walk.scene.accounts[ANNA], walk.parts
    names = [walk.name() for _ in range(3)]
    placed = [await parts.append.put(anna, Role.INBOX, mail(name)) for name in names]
    archive = await parts.folders.get_by_role(anna, Role.ARCHIVE)
    uids = [each.uid for each in placed]
    yield
    moved = await walk.ask(lambda: parts.entries.move(anna, placed[0].folder_id, uids, archive.id))
    yield
    lies = await walk.scene.inboxes(walk.mark)
    there, here = _of(lies, ANNA, Role.ARCHIVE), _of(lies, ANNA, Role.INBOX)
    for name in names:
        assert there[name] + here[name] == 1, f"{name}: {lies}"
        assert moved is None or name in there, f"moved, it was said, but {name} was not"


@road("flags, copy, expunge")
async def flags_copy_expunge(walk: Walk) -> AsyncGenerator[None, None]:
    """What mail programs do all day: one mail is marked as deleted and removed, another copied."""
    anna, parts = walk.scene.accounts[ANNA], walk.parts
    names = [walk.name() for _ in range(2)]
    removed, copied = [await parts.append.put(anna, Role.INBOX, mail(name)) for name in names]
    inbox, archive = removed.folder_id, await parts.folders.get_by_role(anna, Role.ARCHIVE)
    deleted = FlagChange.adding(Flag.DELETED)
    yield
    marked = await walk.ask(lambda: parts.entries.set_flags(anna, inbox, [removed.uid], deleted))
    gone = await walk.ask(lambda: parts.entries.expunge_deleted(anna, inbox, [removed.uid, copied.uid]))
    done = await walk.ask(lambda: parts.entries.copy(anna, inbox, [copied.uid], archive.id))
    yield
    lies = await walk.scene.inboxes(walk.mark)
    there, here = _of(lies, ANNA, Role.ARCHIVE), _of(lies, ANNA, Role.INBOX)
    assert here[names[1]] == 1, f"what was only copied has gone: {lies}"
    assert there[names[1]] <= 1, f"copied twice: {lies}"
    assert done is None or there[names[1]] == 1, f"copied, it was said, but {lies}"
    assert not (marked and gone is not None) or not here[names[0]], f"removed, it was said, but {lies}"
    assert not gone or gone == [removed.uid], f"{gone} were removed"


@road("index")
async def index(walk: Walk) -> AsyncGenerator[None, None]:
    """A mail is found by its words once it is said to be indexed."""
    anna, parts = walk.scene.accounts[ANNA], walk.parts
    name = walk.name()
    await parts.append.put(anna, Role.INBOX, mail(name))
    yield
    is_indexed = await walk.ask(parts.indexer.run_until_done)
    yield
    if is_indexed is not None:
        found = await parts.search.search(anna, f"subject:{name}")
        assert [each.subject for each in found.entries] == [name], f"{name} is not found: {found}"


# -- the bridges


@road("websent")
async def websent(walk: Walk) -> AsyncGenerator[None, None]:
    """Rows that an OA writes become mails, with a copy in Sent; each once."""
    names = [walk.name() for _ in range(2)]
    async with _beside(walk.parts.oa_sql.outgoing.run(), "websent"):
        yield
        walk.acknowledged.update(names)

        async def are_written() -> bool:
            await walk.scene.database.executemany(
                "INSERT INTO oa.websent (mailid, account, mailto, mailsubject, mailbodytext, savetosent) "
                "VALUES ($1, $2, $3, $4, 'Text', 1) ON CONFLICT DO NOTHING",
                [
                    (f"{walk.mark[:14]}{number}", str(ANNA), f"{BERT},one@there.test", name)
                    for number, name in enumerate(names)
                ],
            )
            return True

        await until(are_written, "the OA has written its rows")

        async def is_done() -> bool:
            return not await walk.scene.database.fetchval(
                "SELECT EXISTS (SELECT FROM oa.websent WHERE mailstatus IN (1, 2))"
            )

        await until(is_done, "every row of websent is done with")
        await walk.until_queue_rests()
        yield
    refused = await walk.scene.database.fetch("SELECT errorinfo FROM oa.websent WHERE mailstatus <> 0")
    assert not refused, f"refused: {refused}"
    copies = await walk.scene.inboxes(walk.mark)
    walk.hold_copies(_of(copies, BERT, Role.INBOX))
    walk.hold_copies(_of(copies, ANNA, Role.SENT))
    walk.hold_copies(_names(walk.scene.at_sink(walk.mark)))


# -- telling others


@road("notifications")
async def notifications(walk: Walk) -> AsyncGenerator[None, None]:
    """Mails that come are told of at least once: a file each, whole."""
    scene = walk.scene
    with tempfile.TemporaryDirectory(prefix="told-") as directory:
        receiver = await Receivers(scene.database).add_files(directory, account=str(ANNA))
        lookups = Lookups()
        ways = open_ways(scene.settings.notifications, lookups, walk.parts.messages, walk.parts.clock)

        async def tell(database: Database) -> bool:
            lines, receivers = Lines(database, timedelta(milliseconds=100)), Receivers(database)
            telling = Telling(database, lines, receivers, ways, scene.settings.notifications)
            await telling.fan_out()
            for line in await lines.claim(receiver.id, 1):
                await telling.tell_line(line)
            return walk.acknowledged <= _told(directory).keys()

        try:
            yield
            await walk.ask(partial(walk.send, walk.parts.transport, str(ANNA)))
            await walk.ask(partial(tell, walk.parts.database))
            yield
            await until(partial(tell, scene.database), f"all of {walk.acknowledged} are told of")
            told = _told(directory)
            assert set(told.values()) <= {1}, f"more than one file: {told}"
        finally:
            await lookups.close()
            await Receivers(scene.database).remove(receiver.id)


def _told(directory: str) -> Counter[str]:
    """The mails that a directory has files of."""
    return Counter(json.loads(each.read_bytes())["subject"] for each in Path(directory).glob("*.json"))


# -- signing in


@road("sign-in")
async def sign_in(walk: Walk) -> AsyncGenerator[None, None]:
    """A right password is never called wrong, a wrong one never right."""
    right = partial(walk.parts.sign_in.check, str(ANNA), PASSWORD, "192.0.2.7")
    wrong = partial(walk.parts.sign_in.check, str(ANNA), f"not {PASSWORD}", "192.0.2.7")
    yield
    with suppress(WrongCredentials):
        assert await walk.ask(wrong) is None, "a wrong password was taken"
    for _ in range(2):  # checked, then answered from memory
        await walk.ask(right)
    yield


@road("session")
async def session(walk: Walk) -> AsyncGenerator[None, None]:
    """A session that was opened is found; one that was closed is not."""
    sessions = walk.parts.sessions
    principal = await walk.parts.sign_in.vouched(str(ANNA))
    token: str | None = None

    async def is_open() -> bool:
        return token is not None and await sessions.find(token) is not None

    async def close() -> bool:
        await sessions.close(token or "")
        return True

    yield
    token = await walk.ask(lambda: sessions.open(principal))
    was_found = None if token is None else await walk.ask(is_open)
    is_closed = None if token is None else await walk.ask(close)
    yield
    assert was_found is not False, "an opened session was not found"
    assert not (is_closed and await is_open()), "a closed session was found"


# -- events


@road("outbox")
async def outbox(walk: Walk) -> AsyncGenerator[None, None]:
    """Events are recorded with their transaction and handed on by claims, each exactly once."""
    database = walk.parts.database
    reader = EventReader(database, "walker")
    yield
    for _ in range(2):
        await walk.ask(partial(_record, walk))
    while await walk.ask(partial(_hand_on, reader)):
        pass
    yield
    late = EventReader(walk.scene.database, "walker")
    handed: Counter[str] = Counter()

    async def are_handed() -> bool:
        # Not at once: whoever writes events elsewhere at this moment may hold readers back for a while.
        await _hand_on(late)
        rows = await walk.scene.database.fetch("SELECT payload FROM event WHERE kind = 'walk.handed'")
        handed.clear()
        handed.update(row["payload"]["name"] for row in rows)
        return walk.acknowledged <= handed.keys()

    await until(are_handed, f"all of {walk.acknowledged} are handed on")
    walk.hold_copies({name: handed[name] for name in handed.keys() & walk.tried})


async def _record(walk: Walk) -> None:
    name = walk.name()
    async with walk.parts.database.transaction() as connection:
        await Outbox().record_in(connection, [Event("walk.recorded", None, {"name": name})])
    walk.acknowledged.add(name)


async def _hand_on(reader: EventReader) -> int:
    """Hand on some events, with what comes of them in the same transaction; gives how many there were."""
    async with reader.claim(100) as claim:
        new = [event for event in claim.events if event.kind == "walk.recorded"]
        async with claim.settling() as connection:
            await Outbox().record_in(connection, [Event("walk.handed", None, event.payload) for event in new])
    return len(claim.events)


# -- campaigns


@road("track")
async def track(walk: Walk) -> AsyncGenerator[None, None]:
    """Opens and clicks of readers are written once, whatever stood in the way."""
    run = await mailed(walk.scene.database, walk.mark, HOSTNAME)
    hits = walk.parts.hits

    async def are_written() -> bool:
        return hits.waiting == 0

    yield
    for number in (1, 2, 3):
        hits.add(Hit(run.run_id, run.email_base + number, None, time.monotonic(), "Mozilla/5.0 (X11)", None))
    with suppress(TimeoutError):  # held up by the fault; what is strict waits for it
        async with asyncio.timeout(None if walk.is_strict else 2.0):
            await until(are_written, "the hits are written")
    yield
    await until(are_written, "the hits are written")
    rows = await walk.scene.database.fetch("SELECT number FROM hit WHERE run_id = $1", run.run_id)
    assert Counter(row["number"] for row in rows) == {1: 1, 2: 1, 3: 1}


@road("bounce")
async def bounce(walk: Walk) -> AsyncGenerator[None, None]:
    """A notice to a sealed envelope sender: what was taken changes its recipient, and the count is void."""
    run = await mailed(walk.scene.database, walk.mark, HOSTNAME)
    returns, taken = walk.parts.campaigns.returns, set[int]()

    async def take(number: int) -> bool:
        envelope = Envelope(None, (EnvelopeRecipient(run.bounces[number - 1]),))
        session = SessionInfo(SmtpRole.MX, "127.0.0.1", "client.test", True)
        await walk.parts.transport.acceptance.accept(envelope, NOTICE, session)
        return True

    yield
    for number in (1, 2):
        if await walk.ask(partial(take, number)):
            taken.add(number)
    await walk.ask(returns.run_all)
    yield
    await walk.scene.database.execute("UPDATE collected_mail SET due_at = now()")
    await returns.run_all()
    states = await run.states(walk.scene.database)
    assert all(states[number - 1] == 3 for number in taken), f"taken: {taken}, but {states}"
    assert states[2] == 2
    is_counted = await walk.scene.database.fetchval("SELECT is_counted FROM run WHERE id = $1", run.run_id)
    assert is_counted != (3 in states), "a count that is no longer true was kept"


# -- what lies where


def _of(copies: Counter[tuple[str, str, str]], account: object, role: Role) -> Counter[str]:
    """How often each mail lies in one folder."""
    return Counter(
        {
            name: n
            for (name, address, folder), n in copies.items()
            if (address, folder) == (str(account), role)
        }
    )


def _names(sent: Counter[tuple[str, str]]) -> Counter[str]:
    """How often each mail went out to the recipient who got it most often."""
    found: Counter[str] = Counter()
    for (name, _), times in sent.items():
        found[name] = max(found[name], times)
    return found


async def _hold_notices(walk: Walk) -> None:
    """Each mail that was refused is told of in one notice."""
    for name in walk.acknowledged:
        count = await walk.scene.database.fetchval(
            "SELECT count(*) FROM content c JOIN message m ON m.id = c.message_id "
            "WHERE position($1::bytea IN c.body) > 0 AND NOT starts_with(m.subject, $2)",
            f"{name}@walk.test".encode(),
            walk.mark,
        )
        assert count == 1, f"{count} notices about {name}"


@asynccontextmanager
async def _beside(work: Coroutine[object, object, None], name: str) -> AsyncIterator[None]:
    """Let something run beside a road, as the worker does."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
        assert not task.done(), f"{name} has died: {task}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
