"""`task.php`: tasks listed, made, changed, removed (2.1, 5.1 and chapter 6 of the document)."""

from __future__ import annotations

from dataclasses import replace

from postroad.bridges.edm.answers import Answer, document, element, elements, nest, result
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.dates import read_day, read_time
from postroad.bridges.edm.parameters import Parameters
from postroad.bridges.edm.refusals import Refusal, param_error
from postroad.campaigns.errors import NotFound
from postroad.campaigns.limits import CallLimits
from postroad.campaigns.tasks.requests import Sender, TaskChange
from postroad.campaigns.tasks.states import State
from postroad.campaigns.tasks.tasks import Task, TaskFilter, Tasks

PAGE_ROWS = 30
ADD_TASK = "add-task"
CONTACTS = 0  # addr_type: addresses of a category; subscription lists are the same lists here


class TaskScript:
    """Answers `task.php`."""

    def __init__(self, tasks: Tasks, limits: CallLimits, added_an_hour: int) -> None:
        self._tasks = tasks
        self._limits = limits
        self._added_an_hour = added_an_hour

    def calls(self) -> Script:
        """By `do`."""
        return {
            "list-task": Handler(self._list_of_day, reads=True),
            "task-list": Handler(self._list, reads=True),
            # The limit counts every call that was signed in, so the service is looked at behind it.
            ADD_TASK: Handler(self._add),
            "edit-task": Handler(self._edit, writes=True),
            "del-task": Handler(self._remove),
        }

    async def _list_of_day(self, call: Call) -> Answer:  # 2.1
        parameters = call.parameters
        date, ident, task_id = parameters.get("date"), parameters.get("ident"), parameters.integer("id")
        if date is None and ident is None and task_id is None:
            raise param_error("date、ident、id 必须传一个")
        which = TaskFilter(task_id, ident, read_day(date) if date else None, _state(parameters))
        tasks = await self._found(call, which)
        return document(nest("task_list", *(nest("task", _day_row(call, task)) for task in tasks)))

    async def _list(self, call: Call) -> Answer:  # 6.1
        parameters = call.parameters
        date, page, limit = parameters.get("date"), parameters.integer("page"), parameters.integer("limit")
        skip, rows = 0, None
        if page is not None or limit is not None:
            page, rows = 1 if page is None else page, PAGE_ROWS if limit is None else limit
            if page < 1 or rows < 1:
                raise param_error("page、limit 必须大于 0")
            skip = min((page - 1) * rows, 2**62)
        which = TaskFilter(
            parameters.integer("id"), None, read_day(date) if date else None, _state(parameters)
        )
        tasks = await self._found(call, which, newest_first=True, skip=skip, limit=rows)
        return document(nest("task_list", *(nest("task", _row(call, task)) for task in tasks)))

    async def _add(self, call: Call) -> Answer:  # 6.2 = 5.1
        await self._limits.count(call.customer.id, ADD_TASK, self._added_an_hour)
        call.check_may_write()
        parameters = call.parameters
        asked = replace(
            _common(call, status=("status", "send_status"), time=("time", "send_time")),
            template_ids=parameters.ids("tpl_id") or _missing("tpl_id"),
            list_ids=parameters.ids("maillist_id") or _missing("maillist_id"),
            sender=Sender.read(parameters.need("send_account"), parameters.get("send_domain") or ""),
            sender_name=parameters.need("send_fullname"),
        )
        task_id = await self._tasks.add(call.customer.id, asked)
        return result("success", "添加群发任务成功!", id=task_id, in_cdata=True)

    async def _edit(self, call: Call) -> Answer:  # 6.3
        parameters = call.parameters
        task_id = parameters.need_id("id")
        account, domain = parameters.get("send_account"), parameters.get("send_domain")
        if account is None and domain is not None:
            account = "all"
        asked = replace(
            _common(call, status=("send_status", "status"), time=("send_time", "time")),
            template_ids=parameters.ids("tpl_id"),
            list_ids=parameters.ids("maillist_id"),
            sender=None if account is None else Sender.read(account, domain or ""),
            sender_name=parameters.get("send_fullname"),
        )
        await self._tasks.edit(call.customer.id, task_id, asked)
        return result("success", "修改群发任务成功", in_cdata=True)

    async def _remove(self, call: Call) -> Answer:  # 6.4
        await self._tasks.remove(call.customer.id, call.parameters.need_id("id"))
        return result("success", "删除群发任务成功")

    async def _found(
        self,
        call: Call,
        which: TaskFilter,
        *,
        newest_first: bool = False,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[Task]:
        """The tasks that fit; one that is named and does not exist is an error, not an empty list."""
        customer_id = call.customer.id
        found = await self._tasks.find(customer_id, which, newest_first=newest_first, skip=skip, limit=limit)
        if not found and (which.task_id is not None or which.ident is not None):
            named = TaskFilter(which.task_id, which.ident)
            if not await self._tasks.find(customer_id, named, limit=1):
                raise NotFound("task", which.ident or which.task_id or 0)
        return found


def _missing(name: str) -> list[int]:
    raise param_error(f"缺少参数 {name}")


def _common(call: Call, *, status: tuple[str, str], time: tuple[str, str]) -> TaskChange:
    """What adding and changing have in common but for the spellings: the first of two counts."""
    parameters = call.parameters
    moment = parameters.get(*time)
    subs_link = parameters.integer("subs_link")
    if subs_link not in (None, 0, 1):
        raise param_error("subs_link 只能是 0 或 1")
    return TaskChange(
        range_start=parameters.integer("send_qty_start"),
        range_end=parameters.integer("send_qty"),
        wish=_wish(parameters, status),
        send_at=None if moment is None else read_time(moment, call.zone),
        has_unsubscribe=None if subs_link is None else subs_link == 1,
        track=parameters.integer("track_status"),
        track_domain=parameters.get("track_domain"),
        reply_to=parameters.get("send_replyto"),
    )


def _wish(parameters: Parameters, names: tuple[str, str]) -> State | None:
    wanted = parameters.integer(*names)
    if wanted is None:
        return None
    try:
        return State(wanted)
    except ValueError as error:
        raise param_error("发送状态不正确") from error


def _state(parameters: Parameters) -> int | None:
    text = parameters.get("state", "send_status")
    if text is None or text == "all":
        return None
    state = parameters.integer("state", "send_status")
    if state is None or not -5 <= state <= 4:
        raise Refusal("param_error", "发送状态取值 -5 至 4")
    return state


def _quantities(task: Task) -> str:
    return elements(send_qty=task.range_end, send_qty_remak=task.selected, send_qty_remark=task.selected)


def _day_row(call: Call, task: Task) -> str:
    """A row of 2.1: with `send_satus` as the document has it, and the right spelling behind it."""
    return (
        elements(
            id=task.id,
            sn=task.ident,
            sender=task.sender.name or "all",
            sender_name=task.sender_name,
            replyto=task.reply_to,
            tpl_id=",".join(str(id) for id, _ in task.templates),
            tpl_name=",".join(name for _, name in task.templates),
            addr_type=CONTACTS,
            list_id=",".join(str(id) for id, _ in task.lists),
            list_name=",".join(name for _, name in task.lists),
        )
        + _quantities(task)
        + elements(
            send_time=call.show(task.send_at),
            send_satus=int(task.state),
            send_status=int(task.state),
            time_start=call.show(task.started_at),
            time_end=call.show(task.ended_at),
            send_count=task.figures.sent,
            error_count=task.figures.invalid,
            track_status=task.track,
        )
    )


def _row(call: Call, task: Task) -> str:
    """A row of 6.1; `listes` is what a real client reads besides (K.1 of our page)."""
    sender = elements(acct_type=task.sender.kind)
    if task.sender.kind != "all":
        sender += element(f"acct_{task.sender.kind}", task.sender.name)
    first_list = task.lists[0] if task.lists else (0, "")
    return (
        elements(id=task.id, sn=task.ident)
        + sender
        + elements(sender=task.sender.name or "all", replyto=task.reply_to, sender_name=task.sender_name)
        + nest(
            "templates",
            *(nest("template", elements(tpl_id=id, tpl_name=name)) for id, name in task.templates),
        )
        + nest("listes", *(nest("item", elements(list_id=id, list_name=name)) for id, name in task.lists))
        + elements(addr_type=CONTACTS, list_id=first_list[0], list_name=first_list[1])
        + _quantities(task)
        + elements(
            send_time=call.show(task.send_at),
            time_start=call.show(task.started_at),
            time_end=call.show(task.ended_at),
            send_count=task.figures.sent,
            error_count=task.figures.invalid,
            send_status=int(task.state),
            track_status=task.track,
        )
    )
