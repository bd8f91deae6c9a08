"""`postroad task …`: what a customer sends, how far it is, and who got it."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from cyclopts import App, Parameter

from postroad.campaigns.reports.recipients import Recipient
from postroad.campaigns.tasks.requests import Sender, TaskChange
from postroad.campaigns.tasks.states import State
from postroad.campaigns.tasks.tasks import Task, TaskFilter
from postroad.cli.arguments import DeskArgument, Limit
from postroad.cli.desk import Desk, Failed
from postroad.cli.output import Answer, Grid

app = App(name="task", help="Campaign tasks of a customer.")

CustomerName: TypeAlias = Annotated[str, Parameter(help="The customer's user name.")]
TaskId: TypeAlias = Annotated[int, Parameter(help="The task's id, as `task list` shows it.")]

RECIPIENT_STATES = {0: "waiting", 1: "in-hand", 2: "delivered", 3: "failed", 4: "cancelled"}
FAILURES = {
    0: "",
    1: "not_exist",
    2: "over_quota",
    3: "user_reject",
    5: "rubbish",
    8: "invalid_addr",
    9: "format_error",
}


@app.command
async def add(
    customer: CustomerName,
    /,
    *,
    template: Annotated[list[int], Parameter(negative=(), help="One or several, dealt out in turn.")],
    to: Annotated[list[int], Parameter(name="--list", negative=(), help="The lists it goes to.")],
    sender: Annotated[str, Parameter(help="A mailbox, @domain for all of a domain, or all.")],
    name: Annotated[str, Parameter(help="The sender's name.")] = "",
    at: Annotated[str | None, Parameter(help="When, in the platform's zone; now when not given.")] = None,
    hold: Annotated[bool, Parameter(negative=(), help="Do not send until `task resume`.")] = False,
    track: Annotated[
        Literal["none", "opens", "clicks"], Parameter(help="What is tracked; clicks means opens too.")
    ] = "none",
    reply_to: str = "",
    first: Annotated[int, Parameter(help="The first contact of the list.")] = 1,
    last: Annotated[int, Parameter(help="The last contact of the list, 0 = all.")] = 0,
    desk: DeskArgument,
) -> Answer:
    """Make a task."""
    account, domain = ("all", sender[1:]) if sender.startswith("@") else (sender, "")
    wish = State.NOT_NOW if hold else State.SENDING if at is None else State.WAITING
    asked = TaskChange(
        template_ids=template,
        list_ids=to,
        sender=Sender.read(account, domain),
        sender_name=name,
        range_start=first,
        range_end=last,
        wish=wish,
        send_at=None if at is None else _time(desk, at),
        track={"none": 0, "opens": 1, "clicks": 2}[track],
        reply_to=reply_to,
    )
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        made = await campaigns.tasks.add(owner.id, asked)
        task = await campaigns.tasks.get(owner.id, made)
    return Answer({"task": fields(task)}, [desk.say("task-added", id=task.id, selected=task.selected)])


@app.command(name="list")
async def list_tasks(
    customer: CustomerName,
    /,
    *,
    state: int | None = None,
    skip: int = 0,
    limit: Limit = 100,
    desk: DeskArgument,
) -> Answer:
    """List tasks, the newest first."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        found = await campaigns.tasks.find(
            owner.id,
            TaskFilter(state=state),
            newest_first=True,
            skip=max(0, skip),
            limit=max(1, min(limit, 1000)),
        )
    grid = Grid(
        ("id", "state", "send time", "planned", "delivered", "failed", "invalid", "waiting", "list"),
        [
            (
                task.id,
                int(task.state),
                task.send_at,
                task.selected,
                task.figures.delivered,
                task.figures.failed,
                task.figures.invalid,
                task.figures.waiting,
                ", ".join(name for _, name in task.lists),
            )
            for task in found
        ],
    )
    return Answer({"tasks": [fields(task) for task in found]}, [grid])


@app.command
async def show(customer: CustomerName, task_id: TaskId, /, *, desk: DeskArgument) -> Answer:
    """Show a task: what it asks for, its figures, opens and clicks."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        task = await campaigns.tasks.get(owner.id, task_id)
        run = await campaigns.tracking.run(owner.id, send_id=task_id)
        overview = await campaigns.tracking.overview(owner.id, run)
        everything = await campaigns.tracking.unfiltered(owner.id, run)
    data = {
        **fields(task),
        "track_id": run.id,
        "opens": {"unique": overview.opens.unique, "total": overview.opens.total},
        "clicks": {"unique": overview.clicks.unique, "total": overview.clicks.total},
        "opens_with_machines": {"unique": everything.open_unique, "total": everything.open_total},
        "clicks_with_machines": {"unique": everything.click_unique, "total": everything.click_total},
        "links": [
            {"url": link.url, "unique": link.clicks.unique, "total": link.clicks.total}
            for link in overview.links
        ],
    }
    return Answer({"task": data}, [Grid(("field", "value"), [*data.items()])])


@app.command
async def pause(customer: CustomerName, task_id: TaskId, /, *, desk: DeskArgument) -> Answer:
    """Stop sending until `task resume`."""
    return await _wish(desk, customer, task_id, State.PAUSED)


@app.command
async def resume(customer: CustomerName, task_id: TaskId, /, *, desk: DeskArgument) -> Answer:
    """Go on sending, or begin at once."""
    return await _wish(desk, customer, task_id, State.SENDING)


@app.command
async def pace(
    customer: CustomerName,
    task_id: TaskId,
    /,
    *,
    hours: Annotated[
        str | None, Parameter(help="Such as 08:00-20:00, in the platform's zone; always when not given.")
    ] = None,
    rate: Annotated[int | None, Parameter(help="Mails a minute; as receivers allow when not given.")] = None,
    desk: DeskArgument,
) -> Answer:
    """Say at which hours of a day and how fast a task may send."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.tasks.set_pace(
            owner.id, task_id, hours=None if hours is None else _hours(hours), mails_per_minute=rate
        )
        task = await campaigns.tasks.get(owner.id, task_id)
    return Answer({"task": fields(task)}, [desk.say("task-changed", id=task.id, state=int(task.state))])


@app.command
async def cancel(customer: CustomerName, task_id: TaskId, /, *, desk: DeskArgument) -> Answer:
    """End a task for good."""
    desk.confirm("ask-remove", name=task_id)
    return await _wish(desk, customer, task_id, State.CANCELLED)


@app.command
async def remove(customer: CustomerName, task_id: TaskId, /, *, desk: DeskArgument) -> Answer:
    """Remove a task; who got it is still known."""
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.tasks.remove(owner.id, task_id)
    return Answer({"removed": task_id}, [desk.say("task-removed", id=task_id)])


@app.command
async def recipients(
    customer: CustomerName,
    task_id: Annotated[int | None, Parameter(help="Only of this task.")] = None,
    /,
    *,
    address: Annotated[
        str | None, Parameter(help="Who is looked for, over all tasks, removed ones too.")
    ] = None,
    state: Annotated[
        Literal["waiting", "in-hand", "delivered", "failed", "cancelled"] | None,
        Parameter(help="Only these."),
    ] = None,
    after: Annotated[int, Parameter(help="Begin behind so many.")] = 0,
    limit: Limit = 100,
    desk: DeskArgument,
) -> Answer:
    """Say who got what, when, and what their servers said."""
    if task_id is None and address is None:
        raise Failed("campaign-bad-input", field="TASK", reason="a task or --address is needed")
    number = next((key for key, word in RECIPIENT_STATES.items() if word == state), None)
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        if address is not None:
            found = await campaigns.recipients.of_address(owner.id, address, task_id, limit)
            found = [one for one in found if number is None or one.state == number]
        else:
            assert task_id is not None
            found = await campaigns.recipients.of_task(
                owner.id, task_id, after=after, state=number, limit=limit
            )
    grid = Grid(
        ("recipient", "task", "state", "failure", "when", "attempts", "last answer"),
        [
            (
                one.address,
                one.task_id,
                RECIPIENT_STATES[one.state],
                FAILURES.get(one.failure, ""),
                one.changed_at,
                one.attempts,
                f"{one.code or ''} {one.reply or ''}".strip(),
            )
            for one in found
        ],
    )
    return Answer({"recipients": [_recipient(one) for one in found]}, [grid])


def fields(task: Task) -> dict[str, object]:
    """Return a task as JSON has it."""
    figures = task.figures
    return {
        "id": task.id,
        "ident": task.ident,
        "state": int(task.state),
        "reason": task.reason,
        "sender": task.sender.name or "all",
        "sender_name": task.sender_name,
        "planned": task.selected,
        "sent": figures.sent,
        "delivered": figures.delivered,
        "failed": figures.failed,
        "invalid": figures.invalid,
        "waiting": figures.waiting,
        "cancelled": figures.cancelled,
        "send_at": task.send_at,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "lists": [id for id, _ in task.lists],
        "templates": [id for id, _ in task.templates],
    }


async def _wish(desk: Desk, customer: str, task_id: int, wish: State) -> Answer:
    async with desk.campaigns() as campaigns:
        owner = await campaigns.customers.get_by_username(customer)
        await campaigns.tasks.edit(owner.id, task_id, TaskChange(wish=wish))
        task = await campaigns.tasks.get(owner.id, task_id)
    return Answer({"task": fields(task)}, [desk.say("task-changed", id=task.id, state=int(task.state))])


def _hours(text: str) -> tuple[time, time]:
    begin, _, end = text.partition("-")
    try:
        return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
    except ValueError as error:
        raise Failed(
            "campaign-bad-input", field="hours", reason="two times of a day, such as 08:00-20:00"
        ) from error


def _recipient(one: Recipient) -> dict[str, object]:
    return {
        "address": one.address,
        "task_id": one.task_id,
        "ident": one.ident,
        "kind": one.kind,
        "state": RECIPIENT_STATES[one.state],
        "failure": FAILURES.get(one.failure, ""),
        "attempts": one.attempts,
        "in_doubt": one.doubts > 0,
        "code": one.code,
        "reply": one.reply,
        "changed_at": one.changed_at,
    }


def _time(desk: Desk, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Failed("bad-time", value=text) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(desk.settings.edm.timezone))
