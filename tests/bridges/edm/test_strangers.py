"""Every call with ids that belong to another customer, and every call with rubbish."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bridges.edm.conftest import Caller, data_of, status_of
from tests.bridges.edm.test_contacts import new_address
from tests.bridges.edm.test_statistics import DAY, add_hits, sent
from tests.bridges.edm.test_tasks import make_ready

# All fifty: script, do, and the parameters that make it whole but for ids.
CALLS: list[tuple[str, str]] = [
    *(("account", do) for do in ("customer-info", "service-info")),
    *(("task", do) for do in ("list-task", "task-list", "add-task", "edit-task", "del-task")),
    *(
        (script, "")
        for script in ("statistic", "failexport", "failexportall", "stask", "deduction", "trackexport")
    ),
    *(("track", do) for do in ("overview", "open-detail", "click-detail", "link-stat")),
    *(("mloperate", f"maillist-{do}") for do in ("list", "detail", "add", "edit", "del")),
    *(("mloperate", f"{do}subscri{rest}") for do, rest in (("", "ption-export"), ("un", "be-export"))),
    *(
        ("mloperate", f"ml-addr-{do}")
        for do in ("list", "add", "add-file", "add-file-query", "edit", "del", "empty")
    ),
    *(("mloperate", do) for do in ("ml-sub", "ml-unsub")),
    *(("template", do) for do in ("add-tpl", "get-tpl-status", "list-tpl", "del-tpl", "edit-tpl")),
    *(("template", f"tpl-attachment-{do}") for do in ("add", "del")),
    *(
        ("bs", do)
        for do in ("domain-list", "customer-domain-add", "domain-check", "domain-add", "domain-del")
    ),
    *(
        ("bs", do)
        for do in ("customer-domain-del", "mailbox-list", "mailbox-add", "mailbox-del", "mailbox-edit")
    ),
]
# The document has fifty; add-task is there twice, and so is ml-addr-add.
assert len(CALLS) == len(set(CALLS)) == 50


async def test_what_belongs_to_another_does_not_exist(
    caller: Caller, stranger: Caller, manager: Caller
) -> None:
    ready, task, run, record = await sent(caller)
    links = await add_hits(caller, run)
    link = next(iter(links.values()))
    ident = (await caller.house.campaigns.tasks.get(caller.id, task)).ident
    contact = await new_address(caller, ready.list_id, "theirs@example.com")
    file = [("file", "a.txt", b"x@example.com")]
    job = data_of(await caller.upload("mloperate", "ml-addr-add-file", {}, file, list_id=ready.list_id))
    attachment = data_of(
        await caller.upload("template", "tpl-attachment-add", {}, file, tpl_id=ready.template_id)
    )
    own = await make_ready(stranger)
    own_task = await own.add()
    domain = ready.sender.partition("@")[2]
    listed, templ = {"list_id": ready.list_id}, {"tpl_id": ready.template_id}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("task", "list-task", {"id": task}),
        ("task", "list-task", {"ident": ident}),
        ("task", "task-list", {"id": task}),
        ("task", "add-task", own.fields(maillist_id=ready.list_id)),
        ("task", "add-task", own.fields(maillist_id=f"{own.list_id},{ready.list_id}")),
        ("task", "edit-task", {"id": task, "send_fullname": "x"}),
        ("task", "edit-task", {"id": own_task, "maillist_id": ready.list_id}),
        ("task", "del-task", {"id": task}),
        ("failexport", "", {"date": DAY, "type": "all", "task_id": record}),
        ("failexport", "", {"date": DAY, "type": "all", "task_ident": ident}),
        ("failexportall", "", {"date": DAY, "type": "all", "task_id": record}),
        ("failexportall", "", {"date": DAY, "type": "all", "task_ident": ident}),
        ("stask", "", {"id": task}),
        ("stask", "", {"ident": ident}),
        *(("track", do, {"id": task}) for do in ("overview", "open-detail", "click-detail", "link-stat")),
        *(("track", do, {"ident": ident}) for do in ("overview", "open-detail", "click-detail", "link-stat")),
        *(("track", do, {"id": own_task, "link_id": link}) for do in ("click-detail", "link-stat")),
        ("track", "overview", {"track_id": run}),
        ("track", "overview", {"task_id": record}),
        ("trackexport", "", {"track_id": run}),
        ("mloperate", "maillist-detail", {"id": ready.list_id}),
        ("mloperate", "maillist-edit", {"id": ready.list_id, "subject": "x"}),
        ("mloperate", "maillist-del", {"id": ready.list_id}),
        ("mloperate", "subscription-export", {"id": ready.list_id}),
        ("mloperate", "unsubscribe-export", {"id": ready.list_id}),
        ("mloperate", "ml-addr-list", listed),
        ("mloperate", "ml-addr-list", {"address_id": contact}),
        ("mloperate", "ml-addr-add", {**listed, "address": "x@example.com"}),
        ("mloperate", "ml-addr-add", {**listed, "ml_addr": "x@example.com"}),
        ("mloperate", "ml-addr-add-file-query", {"id": job}),
        ("mloperate", "ml-addr-edit", {"id": contact, "fullname": "x"}),
        ("mloperate", "ml-addr-del", {"id": contact}),
        ("mloperate", "ml-addr-empty", listed),
        ("mloperate", "ml-sub", {**listed, "address": "x@example.com"}),
        ("mloperate", "ml-unsub", {**listed, "address": "reader1@example.com"}),
        ("template", "get-tpl-status", templ),
        ("template", "list-tpl", templ),
        ("template", "del-tpl", templ),
        ("template", "edit-tpl", {**templ, "name": "x"}),
        ("template", "tpl-attachment-del", templ),
        ("template", "tpl-attachment-del", {"tpl_id": own.template_id, "attachment_id": attachment}),
        ("bs", "customer-domain-del", {"domain": domain}),
        ("bs", "mailbox-list", {"domain": domain}),
        ("bs", "mailbox-add", {"mailbox": f"x@{domain}", "pwd": "correct horse 9"}),
        ("bs", "mailbox-del", {"mailbox": ready.sender}),
        ("bs", "mailbox-edit", {"mailbox": ready.sender, "pwd": "correct horse 9"}),
    ]
    for script, do, parameters in calls:
        assert status_of(await stranger.get(script, do, **parameters)) == "not_exist", (
            script,
            do,
            parameters,
        )
    for do, fields in (("ml-addr-add-file", listed), ("tpl-attachment-add", templ)):
        script = "mloperate" if do.startswith("ml") else "template"
        assert status_of(await stranger.upload(script, do, {}, file, **fields)) == "not_exist"
    # Another's template is as good as none (6.2: "template missing"), whoever it belongs to.
    assert await own.refused(tpl_id=ready.template_id) == await own.refused(tpl_id=99999) == "tpl_error"
    assert await own.refused(send_account=ready.sender) == "sender_error"
    # Another manager's customer is nobody for this one.
    other = await caller.house.customer("other-boss", is_manager=True)
    await caller.house.campaigns.customers.update(caller.id, manager_id=other.id)
    for do in ("domain-add", "domain-del"):
        refused = await manager.get("bs", do, customer_id=caller.id, domain="x.example")
        assert status_of(refused) == "not_exist"


NAMES = st.sampled_from(
    [
        *(
            "id",
            "ident",
            "date",
            "date_end",
            "type",
            "task_id",
            "task_ident",
            "out_type",
            "state",
            "send_status",
        ),
        *("list_id", "address_id", "address", "keyword", "page", "limit", "subject", "status", "description"),
        *(
            "ml_addr",
            "ml_addr[]",
            "addr_type",
            "separate",
            "maillist",
            "name",
            "tpl_id",
            "content",
            "encoding",
        ),
        *(
            "text_content",
            "attachment_id",
            "send_domain",
            "send_account",
            "send_fullname",
            "maillist_id",
            "time",
        ),
        *(
            "send_qty",
            "send_qty_start",
            "subs_link",
            "track_status",
            "track_domain",
            "send_replyto",
            "link_id",
        ),
        *(
            "track_id",
            "is_click",
            "email_id",
            "domain",
            "domains",
            "mailbox",
            "pwd",
            "customer_id",
            "user_type",
        ),
        *("birthday", "sex", "var1", "var10", "return_id", "username", "password"),
    ]
)
VALUES = st.one_of(
    st.text(max_size=40),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        [
            *("1", "2", "0", "-1", "all", "json", "xml", "file", "txt", "enabled", "manager", "2026-03-02"),
            *(
                "0001-01-01",
                "9999-12-31",
                "9999-12-31 23:59:59",
                "2026-02-30",
                "1;2",
                "1,2",
                "'; DROP TABLE task",
            ),
            *(
                "a@b.example",
                "<x>&]]>",
                "{{ 7*7 }}",
                "{% for a in range(9) %}",
                "\x00",
                "\ud83d",
                "a\r\nBcc: b@c",
            ),
        ]
    ),
)


async def test_rubbish_is_answered_with_xml_and_a_status(caller: Caller) -> None:
    await make_ready(caller)

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def throw(data: st.DataObject) -> None:
        for script, do in CALLS:
            values = data.draw(st.dictionaries(NAMES, VALUES, max_size=6))
            thrown.append((script, do, values))

    thrown: list[tuple[str, str, dict[str, str]]] = []
    throw()
    for number, (script, do, values) in enumerate(thrown):
        # What a URL cannot hold at all is sent as its bytes would be.
        sendable = {name: value.encode("utf-8", "surrogatepass") for name, value in values.items()}
        answer = (
            await caller.post(script, do, sendable)
            if number % 2
            else await caller.get(
                script,
                do,
                **{name: value.encode("utf-8", "replace").decode() for name, value in values.items()},
            )
        )
        assert answer.status == 200, (script, do, values)
        kind = answer.headers["content-type"]
        if kind.startswith("text/xml"):
            root = ElementTree.fromstring(answer.body)
            if root.tag == "result":
                status = root.findtext("status")
                assert status, (script, do, values)
                assert status != "system_error", (script, do, values, answer.text)
