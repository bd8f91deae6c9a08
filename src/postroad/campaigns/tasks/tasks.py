"""Tasks: made, changed, removed, listed; the SQL of `task*` as customers see it.

What a task asks for is written here, and its state until it is due; from then on the sending engine has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import asyncpg

from postroad.campaigns.contacts.lists import hold_list_in
from postroad.campaigns.credits import Credits
from postroad.campaigns.customers import MAX_RATE
from postroad.campaigns.errors import (
    BadInput,
    BadTemplate,
    ListDisabled,
    NoSender,
    NotFound,
    WrongState,
)
from postroad.campaigns.reports.figures import Figures, RunFigures
from postroad.campaigns.tasks.orders import NOBODY, Orders
from postroad.campaigns.tasks.requests import Sender, TaskChange, check_range
from postroad.campaigns.tasks.selection import count_in
from postroad.campaigns.tasks.states import (
    CAN_CANCEL,
    CAN_PAUSE,
    CANCELLED_BY_REMOVAL,
    CANNOT_DELETE,
    EDITABLE,
    ENDED,
    State,
    state_of_wish,
)
from postroad.db.pool import Connection, Database

# The ids are drawn first, since the ident names the task.
_ADD = """
WITH drawn AS (SELECT nextval(pg_get_serial_sequence('task', 'id')) AS id), made AS (
    INSERT INTO task (customer_id, id, ident, state, sender_kind, sender_domain, sender_address,
                      sender_name, reply_to, range_start, range_end, selected, send_at, has_unsubscribe,
                      track, track_domain)
    OVERRIDING SYSTEM VALUE
    SELECT $1::bigint, drawn.id,
           to_char(now() AT TIME ZONE $2, 'YYYYMMDDHH24MISS') || '-' || $1::bigint || '-' || drawn.id,
           $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, now()), $13, $14, $15
    FROM drawn RETURNING customer_id, id
)
INSERT INTO run (customer_id, task_id) SELECT customer_id, id FROM made RETURNING task_id
"""
_ADD_LISTS = """
INSERT INTO task_list (customer_id, task_id, position, list_id, list_name)
SELECT $1, $2, w.place, l.id, l.subject FROM unnest($3::bigint[]) WITH ORDINALITY AS w(id, place)
JOIN contact_list l ON l.customer_id = $1 AND l.id = w.id
"""
_ADD_TEMPLATES = """
INSERT INTO task_template (customer_id, task_id, position, template_id, template_name)
SELECT $1, $2, w.place, t.id, t.name FROM unnest($3::bigint[]) WITH ORDINALITY AS w(id, place)
JOIN template t ON t.customer_id = $1 AND t.id = w.id
"""
_HAS_MAILBOX = """
SELECT EXISTS (
    SELECT FROM sender_mailbox m
    JOIN sender_domain d ON d.customer_id = m.customer_id AND d.id = m.domain_id AND d.is_verified
    WHERE m.customer_id = $1
      AND CASE $2 WHEN 'all' THEN true WHEN 'domain' THEN d.name = $3 ELSE m.address = $3 END)
"""
_TASKS = """
SELECT t.*, r.id AS run_id, r.expanded_at,
       ARRAY(SELECT (l.list_id, l.list_name) FROM task_list l
             WHERE l.customer_id = t.customer_id AND l.task_id = t.id ORDER BY l.position) AS lists,
       ARRAY(SELECT (p.template_id, p.template_name) FROM task_template p
             WHERE p.customer_id = t.customer_id AND p.task_id = t.id ORDER BY p.position) AS templates
FROM task t JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id
WHERE t.customer_id = $1 AND t.deleted_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A task and how far it is. `figures` are its recipients as they are now."""

    id: int
    customer_id: int
    ident: str
    state: State
    reason: str
    sender: Sender
    sender_name: str
    reply_to: str
    range_start: int
    range_end: int
    selected: int
    send_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    has_unsubscribe: bool
    track: int
    track_domain: str
    created_at: datetime
    run_id: int
    is_expanded: bool
    lists: tuple[tuple[int, str], ...]
    templates: tuple[tuple[int, str], ...]
    figures: Figures


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are meant: all that is not None must fit. `day` is a day of the platform's zone."""

    task_id: int | None = None
    ident: str | None = None
    day: date | None = None
    state: int | None = None


class Tasks:
    """The tasks of all customers. One that is not the customer's raises `NotFound`."""

    def __init__(
        self,
        database: Database,
        credits: Credits,
        figures: RunFigures,
        zone: str,
        orders: Orders = NOBODY,
    ) -> None:
        """`orders` tells the sending engine of what was asked."""
        self._database = database
        self._orders = orders
        self._credits = credits
        self._figures = figures
        self._zone = zone

    async def add(self, customer_id: int, asked: TaskChange) -> int:
        """Make a task and return its id.

        Raises `BadInput`, `NotFound`, `NoSender`, `BadTemplate`, `ListDisabled`, `NotEnoughVolume`.
        """
        if asked.template_ids is None or asked.list_ids is None or asked.sender is None:
            raise BadInput("tpl_id", "templates, lists and a sender are needed")
        wish = asked.wish or State.WAITING
        if wish is State.WAITING and asked.send_at is None:
            raise BadInput("time", "a task that waits needs its time")
        start, end = asked.range_start or 1, asked.range_end or 0
        lists, templates = _distinct(asked.list_ids), _distinct(asked.template_ids)
        async with self._database.transaction() as connection:
            # One task of a customer after the other: two at once would both see the same volume.
            await connection.execute("SELECT id FROM customer WHERE id = $1 FOR NO KEY UPDATE", customer_id)
            await self._check_sender_in(connection, customer_id, asked.sender)
            await self._check_templates_in(connection, customer_id, templates)
            selected = await self._select_in(connection, customer_id, lists, start, end)
            await self._credits.require_in(connection, customer_id, selected)
            task_id: int = await connection.fetchval(
                _ADD,
                customer_id,
                self._zone,
                state_of_wish(wish, is_expanded=False),
                asked.sender.kind,
                asked.sender.name if asked.sender.kind == "domain" else "",
                asked.sender.name if asked.sender.kind == "address" else "",
                asked.sender_name or "",
                asked.reply_to or "",
                start,
                end,
                selected,
                asked.send_at,
                asked.has_unsubscribe is not False,
                asked.track or 0,
                (asked.track_domain or "").lower(),
            )
            await connection.execute(_ADD_LISTS, customer_id, task_id, lists)
            await connection.execute(_ADD_TEMPLATES, customer_id, task_id, templates)
        self._orders.look()
        return task_id

    async def edit(self, customer_id: int, task_id: int, asked: TaskChange) -> None:
        """Change a task, pause it or cancel it; after a pause or cancellation nothing more of it begins.

        Raises what `add` raises, and `WrongState`.
        """
        run_id = await self._edit(customer_id, task_id, asked)
        if run_id is not None:
            await self._orders.halt(run_id)
        self._orders.look()

    async def _edit(self, customer_id: int, task_id: int, asked: TaskChange) -> int | None:
        """Do so, and return the run that is to be halted."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT id FROM customer WHERE id = $1 FOR NO KEY UPDATE", customer_id)
            old = await self._locked_in(connection, customer_id, task_id)
            state = State(old["state"])
            if asked.wish is State.PAUSED or asked.wish is State.CANCELLED:
                if state not in (CAN_PAUSE if asked.wish is State.PAUSED else CAN_CANCEL):
                    raise WrongState(task_id, state)
                await self._halt_in(connection, customer_id, task_id, asked.wish)
                return int(old["run_id"])
            if state not in EDITABLE:
                raise WrongState(task_id, state)
            await self._change_in(connection, customer_id, old, asked)
            return None

    async def set_pace(
        self,
        customer_id: int,
        task_id: int,
        *,
        hours: tuple[time, time] | None,
        mails_per_minute: int | None,
    ) -> None:
        """Say at which hours of a day and how fast a task may send, None: always, as fast as receivers allow.

        Also while it is being sent. Raises `BadInput`, `NotFound`, `WrongState`.
        """
        if mails_per_minute is not None and not 1 <= mails_per_minute <= MAX_RATE:
            raise BadInput("mails_per_minute", f"1 to {MAX_RATE}")
        async with self._database.transaction() as connection:
            old = await self._locked_in(connection, customer_id, task_id)
            if old["state"] in ENDED:
                raise WrongState(task_id, old["state"])
            await connection.execute(
                "UPDATE task SET hours_from = $3, hours_until = $4, mails_per_minute = $5 "
                "WHERE customer_id = $1 AND id = $2",
                customer_id,
                task_id,
                None if hours is None else hours[0],
                None if hours is None else hours[1],
                mails_per_minute,
            )
        self._orders.look()

    async def remove(self, customer_id: int, task_id: int) -> None:
        """Remove a task from the lists; what became of its run stays. Raises `NotFound`, `WrongState`."""
        async with self._database.transaction() as connection:
            old = await self._locked_in(connection, customer_id, task_id)
            state = State(old["state"])
            if state in CANNOT_DELETE:
                raise WrongState(task_id, state)
            if state in CANCELLED_BY_REMOVAL:
                await self._halt_in(connection, customer_id, task_id, State.CANCELLED)
            await connection.execute(
                "UPDATE task SET deleted_at = now() WHERE customer_id = $1 AND id = $2", customer_id, task_id
            )
        self._orders.look()

    async def find(
        self,
        customer_id: int,
        which: TaskFilter,
        *,
        newest_first: bool = False,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[Task]:
        """Return the tasks that fit, by id."""
        conditions, values = self._conditions(customer_id, which)
        order = "DESC" if newest_first else "ASC"
        places = f"OFFSET ${len(values) + 1} LIMIT ${len(values) + 2}"
        rows = await self._database.fetch(
            f"{_TASKS}{conditions} ORDER BY t.id {order} {places}", *values, skip, limit
        )
        figures = await self._figures.by_run(customer_id, [row["run_id"] for row in rows])
        return [_task(row, figures[row["run_id"]]) for row in rows]

    async def get(self, customer_id: int, task_id: int) -> Task:
        """Return one task."""
        found = await self.find(customer_id, TaskFilter(task_id=task_id), limit=1)
        if not found:
            raise NotFound("task", task_id)
        return found[0]

    def _conditions(self, customer_id: int, which: TaskFilter) -> tuple[str, list[object]]:
        text, values = "", list[object]([customer_id])
        for condition, value in (
            ("t.id = ${}", which.task_id),
            ("t.ident = ${}", which.ident),
            ("t.state = ${}", which.state),
        ):
            if value is not None:
                values.append(value)
                text += " AND " + condition.format(len(values))
        if which.day is not None:
            values += [which.day, self._zone]
            day, zone = f"${len(values) - 1}::date", f"${len(values)}"
            text += (
                f" AND t.send_at >= {day}::timestamp AT TIME ZONE {zone}"
                f" AND t.send_at < ({day} + 1)::timestamp AT TIME ZONE {zone}"
            )
        return text, values

    async def _locked_in(self, connection: Connection, customer_id: int, task_id: int) -> asyncpg.Record:
        row = await connection.fetchrow(
            "SELECT t.*, r.expanded_at, r.id AS run_id FROM task t "
            "JOIN run r ON r.customer_id = t.customer_id AND r.task_id = t.id "
            "WHERE t.customer_id = $1 AND t.id = $2 AND t.deleted_at IS NULL FOR UPDATE OF t",
            customer_id,
            task_id,
        )
        if row is None:
            raise NotFound("task", task_id)
        return row

    async def _halt_in(self, connection: Connection, customer_id: int, task_id: int, state: State) -> None:
        """Pause or cancel. The engine ends the recipients of a run that was expanded already."""
        await connection.execute(
            "UPDATE task SET state = $3::smallint, reason = '', "
            "ended_at = CASE WHEN $3::smallint = -3 THEN now() ELSE ended_at END "
            "WHERE customer_id = $1 AND id = $2",
            customer_id,
            task_id,
            state,
        )

    async def _change_in(
        self, connection: Connection, customer_id: int, old: asyncpg.Record, asked: TaskChange
    ) -> None:
        task_id: int = old["id"]
        is_expanded = old["expanded_at"] is not None
        values: dict[str, Any] = {}
        if asked.sender is not None:
            await self._check_sender_in(connection, customer_id, asked.sender)
            values["sender_kind"] = asked.sender.kind
            values["sender_domain"] = asked.sender.name if asked.sender.kind == "domain" else ""
            values["sender_address"] = asked.sender.name if asked.sender.kind == "address" else ""
        plain = {
            "sender_name": asked.sender_name,
            "reply_to": asked.reply_to,
            "range_start": asked.range_start,
            "range_end": asked.range_end,
            "send_at": asked.send_at,
            "has_unsubscribe": asked.has_unsubscribe,
            "track": asked.track,
            "track_domain": asked.track_domain,
        }
        values |= {column: value for column, value in plain.items() if value is not None}
        if asked.template_ids is not None:
            templates = _distinct(asked.template_ids)
            await self._check_templates_in(connection, customer_id, templates)
            await self._replace_in(
                connection, "task_template", _ADD_TEMPLATES, customer_id, task_id, templates
            )
        if asked.list_ids is not None or asked.range_start is not None or asked.range_end is not None:
            if is_expanded:  # its recipients are written already
                raise WrongState(task_id, old["state"])
            await self._reselect_in(connection, customer_id, old, asked, values)
        if asked.wish is not None:
            values["state"] = state_of_wish(asked.wish, is_expanded=is_expanded)
            values["reason"] = ""
        if values:
            settings = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 3))
            await connection.execute(
                f"UPDATE task SET {settings} WHERE customer_id = $1 AND id = $2",
                customer_id,
                task_id,
                *values.values(),
            )

    async def _reselect_in(
        self,
        connection: Connection,
        customer_id: int,
        old: asyncpg.Record,
        asked: TaskChange,
        values: dict[str, Any],
    ) -> None:
        rows = await connection.fetch(
            "SELECT list_id FROM task_list WHERE customer_id = $1 AND task_id = $2 ORDER BY position",
            customer_id,
            old["id"],
        )
        lists = [row["list_id"] for row in rows] if asked.list_ids is None else _distinct(asked.list_ids)
        start = values.get("range_start", old["range_start"])
        end = values.get("range_end", old["range_end"])
        selected = await self._select_in(connection, customer_id, lists, start, end)
        await self._credits.require_in(connection, customer_id, selected - old["selected"])
        values["selected"] = selected
        await self._replace_in(connection, "task_list", _ADD_LISTS, customer_id, old["id"], lists)

    async def _replace_in(
        self, connection: Connection, table: str, add: str, customer_id: int, task_id: int, ids: list[int]
    ) -> None:
        await connection.execute(
            f"DELETE FROM {table} WHERE customer_id = $1 AND task_id = $2", customer_id, task_id
        )
        await connection.execute(add, customer_id, task_id, ids)

    async def _check_sender_in(self, connection: Connection, customer_id: int, sender: Sender) -> None:
        if not await connection.fetchval(_HAS_MAILBOX, customer_id, sender.kind, sender.name):
            raise NoSender(sender.name or "all")

    async def _check_templates_in(
        self, connection: Connection, customer_id: int, template_ids: list[int]
    ) -> None:
        """Keep them from being removed until the commit, and see that they may be used."""
        rows = await connection.fetch(
            "SELECT id, check_state FROM template WHERE customer_id = $1 AND id = ANY($2::bigint[]) "
            "AND deleted_at IS NULL ORDER BY id FOR SHARE",
            customer_id,
            template_ids,
        )
        states = {row["id"]: row["check_state"] for row in rows}
        for template_id in template_ids:
            if template_id not in states:
                raise BadTemplate(f"there is no template {template_id}")
            if states[template_id] != 1:
                word = "being checked" if states[template_id] == -1 else "refused"
                raise BadTemplate(f"the template {template_id} is {word}")

    async def _select_in(
        self, connection: Connection, customer_id: int, list_ids: list[int], start: int, end: int
    ) -> int:
        if len(list_ids) == 1:
            check_range(start, end)
        for list_id in sorted(list_ids):
            await hold_list_in(connection, customer_id, list_id)
        disabled = await connection.fetchval(
            "SELECT min(id) FROM contact_list "
            "WHERE customer_id = $1 AND id = ANY($2::bigint[]) AND NOT is_enabled",
            customer_id,
            list_ids,
        )
        if disabled is not None:
            raise ListDisabled(disabled)
        selected = await count_in(connection, customer_id, list_ids, start, end)
        if not selected:
            raise BadInput("maillist_id", "nobody is left to send to")
        return selected


def _distinct(ids: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(ids))


def _task(row: asyncpg.Record, figures: Figures) -> Task:
    kind = row["sender_kind"]
    name = {"all": "", "domain": row["sender_domain"], "address": row["sender_address"]}[kind]
    return Task(
        id=row["id"],
        customer_id=row["customer_id"],
        ident=row["ident"],
        state=State(row["state"]),
        reason=row["reason"],
        sender=Sender(kind, name),
        sender_name=row["sender_name"],
        reply_to=row["reply_to"],
        range_start=row["range_start"],
        range_end=row["range_end"],
        selected=row["selected"],
        send_at=row["send_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        has_unsubscribe=row["has_unsubscribe"],
        track=row["track"],
        track_domain=row["track_domain"],
        created_at=row["created_at"],
        run_id=row["run_id"],
        is_expanded=row["expanded_at"] is not None,
        lists=tuple((int(id), str(name)) for id, name in row["lists"]),
        templates=tuple((int(id), str(name)) for id, name in row["templates"]),
        figures=figures,
    )
