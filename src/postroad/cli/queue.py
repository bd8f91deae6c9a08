"""`postroad queue …`: mail on its way out, looked at and decided upon."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument, Limit, page
from postroad.cli.desk import Desk, Failed
from postroad.cli.output import Answer, Grid, size_text
from postroad.db.notify import Announcer
from postroad.events.outbox import Outbox
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.messages import Messages
from postroad.transport.queue.mail_ids import mail_id_of
from postroad.transport.queue.queued_mails import QueuedMails, QueuedRow, Selection, Stopped

_MAIL_ID = re.compile(r"[0-9A-Fa-f]{1,15}\Z")  # fits a bigint

app = App(name="queue", help="Mail on its way out.")

Id: TypeAlias = Annotated[str, Parameter(help="The ids of mails, as `queue list` shows them.")]
Sender: TypeAlias = Annotated[
    str | None, Parameter(help="Only from this address, or @domain for all of one; <> is the null sender.")
]
Recipient: TypeAlias = Annotated[
    str | None, Parameter(help="Only to this address, or @domain for all of one.")
]
Route: TypeAlias = Annotated[str | None, Parameter(help="Only by this route, as `queue stats` shows them.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Which:
    """What a command shall change, beside ids."""

    sender: Sender = None
    recipient: Recipient = None
    route: Route = None
    everything: Annotated[bool, Parameter(name="--all", negative=(), help="All of the queue.")] = False


WHATEVER = Which()


@app.command(name="list")
async def list_queue(
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    route: Route = None,
    held: Annotated[
        bool | None, Parameter(help="Only those that are held, or only those that are not.")
    ] = None,
    after: Annotated[str, Parameter(help="Begin behind this: `next` of the page before.")] = "",
    limit: Limit = 100,
    desk: DeskArgument,
) -> Answer:
    """List the recipients that wait, a line each."""
    which = Selection(route=route, sender=_sender(sender), recipient=recipient, is_held=held)
    async with _queue(desk) as queue:
        rows = await queue.list(which, _position(after), limit)
    more = f"{rows[-1].name}:{rows[-1].number}" if len(rows) >= max(1, min(limit, 1000)) else None
    grid = Grid(
        ("id", "sender", "recipient", "attempts", "next attempt", "state", "last answer"),
        [
            (
                row.name,
                _shown(row),
                row.recipient,
                row.attempts,
                row.next_attempt_at,
                _state(desk, row),
                _answer(row),
            )
            for row in rows
        ],
        empty="queue-empty",
    )
    return Answer({"recipients": [fields(row) for row in rows], "next": more}, page(desk, grid, more))


@app.command
async def show(id: str, /, *, desk: DeskArgument) -> Answer:
    """Show a mail: its recipients, what came of the attempts, its header."""
    async with _queue(desk) as queue:
        mail = await queue.show(_id(id))
    header = mail.header.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
    first = mail.rows[0]
    top = Grid(
        ("field", "value"),
        [
            (desk.say(word), value)
            for word, value in (
                ("id", first.name),
                ("sender", _shown(first)),
                ("size", size_text(first.size_bytes)),
                ("queued", first.queued_at),
            )
        ],
    )
    rows = Grid(
        ("recipient", "route", "attempts", "next attempt", "state", "last answer"),
        [
            (row.recipient, row.route, row.attempts, row.next_attempt_at, _state(desk, row), _answer(row))
            for row in mail.rows
        ],
    )
    data = {"id": first.name, "recipients": [fields(row) for row in mail.rows], "header": header}
    return Answer({"mail": data}, [top, "", rows, "", header])


@app.command
async def retry(*ids: Id, which: Which = WHATEVER, desk: DeskArgument) -> Answer:
    """Try again now, also what is held."""
    return await _each(desk, "retried", QueuedMails.retry, _selections(ids, which))


@app.command
async def hold(*ids: Id, which: Which = WHATEVER, desk: DeskArgument) -> Answer:
    """Keep from being tried until released."""
    return await _stop(desk, "held", QueuedMails.hold, _selections(ids, which))


@app.command
async def release(*ids: Id, which: Which = WHATEVER, desk: DeskArgument) -> Answer:
    """Let what is held be tried again."""
    return await _each(desk, "released", QueuedMails.release, _selections(ids, which))


@app.command
async def drop(*ids: Id, which: Which = WHATEVER, desk: DeskArgument) -> Answer:
    """Remove from the queue; the senders are not told."""
    selections = _selections(ids, which)
    desk.confirm("ask-drop")
    return await _stop(desk, "dropped", QueuedMails.drop, selections)


@app.command
async def stats(*, desk: DeskArgument) -> Answer:
    """Count the queue, all of it and by route."""
    async with _queue(desk) as queue:
        found = await queue.stats()
    total = desk.say(
        "queue-total",
        recipients=found.recipients,
        mails=found.mails,
        size=size_text(found.size_bytes),
        due=found.due,
        held=found.held,
        tried=found.being_tried,
    )
    grid = Grid(
        ("route", "recipients", "due", "held", "oldest"),
        [(one.route, one.recipients, one.due, one.held, one.oldest_queued_at) for one in found.routes],
        empty="queue-empty",
    )
    data = {
        "recipients": found.recipients,
        "mails": found.mails,
        "size_bytes": found.size_bytes,
        "due": found.due,
        "held": found.held,
        "being_tried": found.being_tried,
        "routes": found.routes,
    }
    return Answer({"queue": data}, [total, grid])


@asynccontextmanager
async def _queue(desk: Desk) -> AsyncIterator[QueuedMails]:
    async with desk.database() as database, Announcer(database) as announcer:
        blobs = Blobs(desk.settings.blob_location)
        messages = Messages(database, blobs, desk.settings.storage.inline_bytes)
        yield QueuedMails(database, messages, Outbox(), announcer)


async def _each(
    desk: Desk,
    word: str,
    change: Callable[[QueuedMails, Selection], Awaitable[int]],
    selections: list[Selection],
) -> Answer:
    async with _queue(desk) as queue:
        count = sum([await change(queue, which) for which in selections])
    return Answer({word: count}, [desk.say(f"queue-{word}", count=count)])


async def _stop(
    desk: Desk,
    word: str,
    change: Callable[[QueuedMails, Selection], Awaitable[Stopped]],
    selections: list[Selection],
) -> Answer:
    async with _queue(desk) as queue:
        stopped = [await change(queue, which) for which in selections]
    count, on_the_wire = sum(each.recipients for each in stopped), sum(each.on_the_wire for each in stopped)
    lines = [desk.say(f"queue-{word}", count=count)]
    if on_the_wire:
        lines.append(desk.say("queue-on-the-wire", count=on_the_wire))
    return Answer({word: count, "on_the_wire": on_the_wire}, lines)


def _selections(ids: tuple[str, ...], which: Which) -> list[Selection]:
    """Return what is meant; the whole queue only when it is said in so many words. Raises `Failed`."""
    if not (ids or which != WHATEVER):
        raise Failed("queue-which")
    chosen: list[int | None] = [_id(text) for text in ids] or [None]
    sender = _sender(which.sender)
    return [Selection(id=one, route=which.route, sender=sender, recipient=which.recipient) for one in chosen]


def _id(text: str) -> int:
    if not _MAIL_ID.match(text):
        raise Failed("bad-mail-id", value=text)
    return mail_id_of(text)


def _position(after: str) -> tuple[int, int]:
    if not after:
        return 0, -1
    name, _, number = after.partition(":")
    if not number.isdecimal():
        raise Failed("bad-mail-id", value=after)
    return _id(name), int(number)


def _sender(text: str | None) -> str | None:
    if text == "":  # an empty variable of a script does not mean the null sender
        raise Failed("queue-which")
    return "" if text == "<>" else text


def _shown(row: QueuedRow) -> str:
    return row.sender or "<>"


def _state(desk: Desk, row: QueuedRow) -> str:
    return desk.say("state-held" if row.is_held else "state-tried" if row.is_being_tried else "state-waits")


def _answer(row: QueuedRow) -> str | None:
    parts = [str(part) for part in (row.last_remote, row.last_code, row.last_status, row.last_text) if part]
    return " ".join(parts)[:120] or None


def fields(row: QueuedRow) -> dict[str, object]:
    """Return one recipient in the queue as JSON has it."""
    return {
        "id": row.name,
        "number": row.number,
        "sender": row.sender,
        "recipient": row.recipient,
        "route": row.route,
        "size_bytes": row.size_bytes,
        "queued_at": row.queued_at,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at,
        "is_held": row.is_held,
        "is_being_tried": row.is_being_tried,
        "last_attempt_at": row.last_attempt_at,
        "last_code": row.last_code,
        "last_status": row.last_status,
        "last_text": row.last_text,
        "last_remote": row.last_remote,
    }
