"""Chapter 6 (and 5.1, 2.1) of the document: tasks, call by call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.bridges.edm.conftest import DECLARATION, Caller, data_of, status_of, xml
from tests.bridges.edm.test_contacts import new_address, new_list

FUTURE = "2099-01-02 03:04:05"


@dataclass
class Ready:
    """A customer with all that a task needs."""

    caller: Caller
    list_id: int
    template_id: int
    sender: str

    def fields(self, **changes: Any) -> dict[str, Any]:
        """The parameters of add-task."""
        fields = {
            "tpl_id": self.template_id,
            "send_account": self.sender,
            "send_fullname": "新闻",
            "maillist_id": self.list_id,
            "time": FUTURE,
            **changes,
        }
        return {name: value for name, value in fields.items() if value is not None}

    async def add(self, **changes: Any) -> int:
        """Add a task and return its send_id."""
        answer = await self.caller.get("task", "add-task", **self.fields(**changes))
        assert status_of(answer) == "success", answer.text
        return int(xml(answer).findtext("id"))

    async def refused(self, **changes: Any) -> str:
        """The status of a task that is refused."""
        return status_of(await self.caller.post("task", "add-task", self.fields(**changes)))

    async def shown(self, task_id: int) -> Any:
        """The task's row of 6.1."""
        return xml(await self.caller.get("task", "task-list", id=task_id)).find("task")

    async def set_state(self, task_id: int, state: int) -> None:
        """What the sending engine does."""
        await self.caller.house.database.execute("UPDATE task SET state = $2 WHERE id = $1", task_id, state)


async def make_ready(caller: Caller, readers: int = 5) -> Ready:
    """Make everything."""
    list_id = await new_list(caller)
    rows = "\n".join(f"reader{number}@example.com;Reader {number}" for number in range(readers))
    await caller.post("mloperate", "ml-addr-add", {"ml_addr": rows}, list_id=list_id)
    domain = f"{caller.customer.username}.example"
    sender = await caller.house.sender(caller.id, domain)
    return Ready(caller, list_id, await caller.house.template(caller.id), sender)


@pytest.fixture
async def ready(caller: Caller) -> Ready:
    return await make_ready(caller)


async def test_6_2_adds_a_task_as_the_page_fixes_it(ready: Ready) -> None:
    answer = await ready.caller.get("task", "add-task", **ready.fields())
    made = int(xml(answer).findtext("id"))
    assert answer.text == (
        f"{DECLARATION}<result><status>success</status><id>{made}</id>"
        "<data><![CDATA[添加群发任务成功!]]></data></result>"
    )
    assert (await ready.shown(made)).findtext("send_status") == "1"
    assert (await ready.shown(await ready.add(status=-1, time=None))).findtext("send_status") == "-1"
    # At once: due, its list is being expanded. A real client sends no time then.
    at_once = await ready.add(status=2, time=None, send_qty=1, send_qty_start=1)
    assert [(await ready.shown(at_once)).findtext(name) for name in ("send_status", "send_qty_remak")] == [
        "-5",
        "1",
    ]


async def test_6_2_knows_three_forms_of_senders(ready: Ready) -> None:
    domain = ready.sender.partition("@")[2]
    for sender, kind, shown in (
        ({"send_domain": "all", "send_account": "all"}, "all", "all"),
        ({"send_domain": domain, "send_account": "all"}, "domain", domain),
        ({"send_domain": "ignored.example", "send_account": ready.sender}, "address", ready.sender),
    ):
        row = await ready.shown(await ready.add(**sender))
        assert (row.findtext("acct_type"), row.findtext("sender")) == (kind, shown)
        assert (row.find("acct_domain") is not None, row.find("acct_address") is not None) == (
            kind == "domain",
            kind == "address",
        )
    assert await ready.refused(send_account="other@elsewhere.example") == "sender_error"
    assert await ready.refused(send_account=f"nobody@{domain}") == "sender_error"
    assert await ready.refused(send_account="all", send_domain="elsewhere.example") == "sender_error"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tpl_id": None}, "param_error"),
    ({"tpl_id": "x"}, "param_error"),
    ({"tpl_id": 999}, "tpl_error"),
    ({"maillist_id": None}, "param_error"),
    ({"maillist_id": 999}, "not_exist"),
    ({"send_account": None}, "param_error"),
    ({"send_fullname": None}, "param_error"),
    ({"time": None}, "param_error"),
    ({"time": "yesterday"}, "param_error"),
    ({"time": "2017-13-01"}, "param_error"),
    ({"send_qty_start": 0}, "param_error"),
    ({"send_qty_start": -1}, "param_error"),
    ({"send_qty_start": 3, "send_qty": 2}, "param_error"),
    ({"send_qty_start": 6}, "param_error"),
    ({"track_status": 3}, "param_error"),
    ({"status": 3}, "param_error"),
    ({"subs_link": 2}, "param_error"),
    ({"send_replyto": "nobody"}, "param_error"),
]


async def test_6_2_refuses(ready: Ready) -> None:
    for changes, status in REFUSED:
        assert await ready.refused(**changes) == status, changes


async def test_6_2_reads_times_of_all_samples(ready: Ready) -> None:
    for time in ("2017-7-4 16:08:56", "2017-7-4 16:08", "2017-7-4", "2099-12-31 9:5"):
        assert await ready.add(time=time)


async def test_6_2_cuts_ranges(ready: Ready) -> None:
    for start, end, count in ((2, 3, "2"), (2, 0, "4"), (1, 99, "5"), (5, 5, "1")):
        row = await ready.shown(await ready.add(send_qty_start=start, send_qty=end))
        assert (row.findtext("send_qty"), row.findtext("send_qty_remak")) == (str(end), count)
        assert row.findtext("send_qty_remark") == count
    await ready.caller.get("mloperate", "ml-unsub", list_id=ready.list_id, address="reader0@example.com")
    assert (await ready.shown(await ready.add())).findtext("send_qty_remak") == "4"


async def test_6_2_takes_several_lists_and_templates(ready: Ready) -> None:
    other = await new_list(ready.caller, "others")
    for address in ("READER1@example.com", "new@example.com"):
        await new_address(ready.caller, other, address)
    second = await ready.caller.house.template(ready.caller.id, "second")
    made = await ready.add(
        maillist_id=f"{ready.list_id},{other}", tpl_id=f"{ready.template_id},{second}", send_qty_start=4
    )
    row = await ready.shown(made)
    assert row.findtext("send_qty_remak") == "6"
    assert [each.findtext("list_id") for each in row.findall("listes/item")] == [
        str(ready.list_id),
        str(other),
    ]
    assert [each.findtext("tpl_id") for each in row.findall("templates/template")] == [
        str(ready.template_id),
        str(second),
    ]
    assert row.findtext("list_name") == "readers"
    day = xml(await ready.caller.get("task", "list-task", id=made)).find("task")
    assert day is not None
    assert (day.findtext("tpl_id"), day.findtext("list_name")) == (
        f"{ready.template_id},{second}",
        "readers,others",
    )


async def test_6_2_wants_a_template_that_passed_and_a_list_that_is_enabled(ready: Ready) -> None:
    unchecked = int(
        data_of(
            await ready.caller.post(
                "template", "add-tpl", {"name": "n", "subject": "s", "content": "<p>text</p>"}
            )
        )
    )
    assert await ready.refused(tpl_id=unchecked) == "tpl_error"
    await ready.caller.post("mloperate", "maillist-edit", {"status": "disabled"}, id=ready.list_id)
    assert await ready.refused() == "maillist_error"


async def test_6_2_wants_volume(ready: Ready) -> None:
    customer = ready.caller.customer
    await ready.caller.house.campaigns.credits.add(customer.id, 9 - 100_000)
    await ready.add()  # binds five of nine
    assert await ready.refused() == "qty_error"
    assert await ready.add(send_qty=4)
    assert await ready.refused(send_qty=1) == "qty_error"


async def test_6_2_is_called_a_hundred_times_an_hour(ready: Ready) -> None:
    for _ in range(100):
        await ready.caller.house.campaigns.limits.count(ready.caller.id, "add-task", 100)
    assert await ready.refused() == "limit_error"
    await ready.caller.house.database.execute(
        "UPDATE counted_call SET called_at = called_at - interval '1 hour' "
        "WHERE ctid IN (SELECT ctid FROM counted_call LIMIT 1)"
    )
    assert await ready.add()
    assert await ready.refused() == "limit_error"


async def test_calls_that_were_refused_count_too(ready: Ready) -> None:
    assert await ready.refused(tpl_id="x") == "param_error"
    assert await ready.caller.house.database.fetchval("SELECT count(*) FROM counted_call") == 1


async def test_6_2_needs_a_service(ready: Ready) -> None:
    await ready.caller.house.campaigns.customers.update(ready.caller.id, is_enabled=False)
    assert await ready.refused() == "no_permission"
    assert status_of(await ready.caller.get("task", "edit-task", id=1, send_status=1)) == "no_permission"
    assert xml(await ready.caller.get("task", "task-list")).tag == "task_list"


async def test_6_1_lists_tasks(ready: Ready) -> None:
    assert (await ready.caller.get("task", "task-list")).text == f"{DECLARATION}<task_list></task_list>"
    made = await ready.add(track_status=2, send_replyto="re@lin.example")
    answer = await ready.caller.get("task", "task-list")
    ident = xml(answer).findtext("task/sn")
    assert answer.text == (
        f"{DECLARATION}<task_list><task><id>{made}</id><sn>{ident}</sn><acct_type>address</acct_type>"
        f"<acct_address>{ready.sender}</acct_address><sender>{ready.sender}</sender>"
        "<replyto>re@lin.example</replyto><sender_name>新闻</sender_name><templates><template>"
        f"<tpl_id>{ready.template_id}</tpl_id><tpl_name>letter</tpl_name></template></templates>"
        f"<listes><item><list_id>{ready.list_id}</list_id><list_name>readers</list_name></item></listes>"
        f"<addr_type>0</addr_type><list_id>{ready.list_id}</list_id><list_name>readers</list_name>"
        "<send_qty>0</send_qty><send_qty_remak>5</send_qty_remak><send_qty_remark>5</send_qty_remark>"
        f"<send_time>{FUTURE}</send_time><time_start>0000-00-00 00:00:00</time_start>"
        "<time_end>0000-00-00 00:00:00</time_end><send_count>0</send_count><error_count>0</error_count>"
        "<send_status>1</send_status><track_status>2</track_status></task></task_list>"
    )
    assert ident is not None
    stamp, customer, _ = ident.split("-")
    assert (len(stamp), customer) == (14, str(ready.caller.id))


async def test_6_1_pages_and_filters(ready: Ready) -> None:
    made = [await ready.add(time=f"2099-01-0{day}") for day in (1, 2, 3)]
    await ready.set_state(made[0], 3)

    async def ids(**parameters: object) -> list[int]:
        root = xml(await ready.caller.get("task", "task-list", **parameters))
        return [int(task.findtext("id") or 0) for task in root.findall("task")]

    assert await ids() == made[::-1]
    assert await ids(page=2, limit=2) == [made[0]]
    assert await ids(limit=1) == [made[2]]
    assert await ids(date="2099-1-2") == [made[1]]
    assert await ids(send_status=3) == [made[0]]
    assert await ids(state="all") == made[::-1]
    assert await ids(id=made[1], send_status=3) == []
    for wrong in ({"page": 0}, {"limit": 0}, {"send_status": 9}, {"date": "x"}, {"id": "x"}):
        assert status_of(await ready.caller.get("task", "task-list", **wrong)) == "param_error"
    assert status_of(await ready.caller.get("task", "task-list", id=99999)) == "not_exist"


async def test_2_1_lists_tasks_of_a_day(ready: Ready) -> None:
    made = await ready.add()
    ident = (await ready.shown(made)).findtext("sn")
    answer = await ready.caller.get("task", "list-task", date="2099-01-02")
    assert answer.text == (
        f"{DECLARATION}<task_list><task><id>{made}</id><sn>{ident}</sn><sender>{ready.sender}</sender>"
        f"<sender_name>新闻</sender_name><replyto></replyto><tpl_id>{ready.template_id}</tpl_id>"
        f"<tpl_name>letter</tpl_name><addr_type>0</addr_type><list_id>{ready.list_id}</list_id>"
        "<list_name>readers</list_name><send_qty>0</send_qty><send_qty_remak>5</send_qty_remak>"
        f"<send_qty_remark>5</send_qty_remark><send_time>{FUTURE}</send_time><send_satus>1</send_satus>"
        "<send_status>1</send_status><time_start>0000-00-00 00:00:00</time_start>"
        "<time_end>0000-00-00 00:00:00</time_end><send_count>0</send_count><error_count>0</error_count>"
        "<track_status>0</track_status></task></task_list>"
    )
    empty = await ready.caller.get("task", "list-task", date="2001-01-01")
    assert empty.text == f"{DECLARATION}<task_list></task_list>"
    assert len(xml(await ready.caller.get("task", "list-task", ident=ident, state=1))) == 1
    assert len(xml(await ready.caller.get("task", "list-task", ident=ident, state=2))) == 0
    assert status_of(await ready.caller.get("task", "list-task", ident="20120302-362-F9B1E5")) == "not_exist"
    assert status_of(await ready.caller.get("task", "list-task")) == "param_error"
    assert status_of(await ready.caller.get("task", "list-task", id=1, state=5)) == "param_error"


async def test_6_3_changes_what_is_given(ready: Ready) -> None:
    made = await ready.add()
    second = await ready.caller.house.template(ready.caller.id, "second")
    other = await new_list(ready.caller, "others")
    await new_address(ready.caller, other, "x@example.com")
    answer = await ready.caller.get(
        "task",
        "edit-task",
        id=made,
        tpl_id=second,
        maillist_id=other,
        send_fullname="Neu",
        time="2099-05-06 07:08",
    )
    assert status_of(answer) == "success"
    row = await ready.shown(made)
    values = [
        row.findtext(name)
        for name in ("sender_name", "list_id", "send_qty_remak", "send_time", "send_status")
    ]
    assert values == ["Neu", str(other), "1", "2099-05-06 07:08:00", "1"]
    assert [each.findtext("tpl_id") for each in row.findall("templates/template")] == [str(second)]


async def test_6_3_pauses_resumes_and_cancels(ready: Ready) -> None:
    made = await ready.add()

    async def edit(**fields: object) -> str:
        return status_of(await ready.caller.post("task", "edit-task", {"id": made, **fields}))

    async def state() -> str:
        return str((await ready.shown(made)).findtext("send_status"))

    for fields, expected in (
        ({"send_status": -2}, "-2"),
        ({"send_status": 1}, "1"),
        ({"status": -1}, "-1"),
        ({"send_status": 1, "status": -1}, "1"),
        ({"send_status": 2}, "-5"),
    ):
        assert await edit(**fields) == "success"
        assert await state() == expected
    assert await edit(send_status=1) == "task_state_error"
    await ready.set_state(made, 2)
    assert await edit(send_fullname="x") == "task_state_error"
    assert await edit(send_status=-2) == "success"
    assert await edit(send_status=-3) == "success"
    assert await state() == "-3"
    assert await edit(send_status=1) == "task_state_error"
    assert await edit(send_status=7) == "param_error"
    assert status_of(await ready.caller.get("task", "edit-task", id=99999, send_status=1)) == "not_exist"
    assert status_of(await ready.caller.get("task", "edit-task", send_status=1)) == "param_error"


async def test_6_4_deletes_a_task(ready: Ready) -> None:
    made = await ready.add()
    await ready.set_state(made, 2)
    assert status_of(await ready.caller.get("task", "del-task", id=made)) == "task_state_error"
    await ready.set_state(made, 3)
    assert status_of(await ready.caller.get("task", "del-task", id=made)) == "success"
    assert status_of(await ready.caller.get("task", "del-task", id=made)) == "not_exist"
    assert status_of(await ready.caller.get("task", "del-task")) == "param_error"
    waiting = await ready.add()
    await ready.caller.get("task", "del-task", id=waiting)
    assert await ready.caller.house.database.fetchval("SELECT state FROM task WHERE id = $1", waiting) == -3
