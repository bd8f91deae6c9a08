"""Chapters 2 and 3 of the document: what became of a run, every figure of it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from tests.bridges.edm.conftest import DECLARATION, Caller, status_of, xml
from tests.bridges.edm.test_tasks import Ready, make_ready

DAY = "2026-03-02"
OUTCOMES = [
    ("ok1@example.com", 2, 0),
    ("ok2@example.com", 2, 0),
    ("ok3@example.com", 2, 0),
    ("gone@example.com", 3, 1),
    ("full@example.com", 3, 2),
    ("no@example.com", 3, 3),
    ("spam@example.com", 3, 5),
    ("nowhere@example.com", 3, 8),
    ("bad@example.com", 3, 9),
    ("later@example.com", 0, 0),
    ("never@example.com", 4, 0),
]
FAILED = [address for address, state, _ in OUTCOMES if state == 3]


async def sent(caller: Caller) -> tuple[Ready, int, int, int]:
    """A run with every outcome: the ready customer, its send_id, track_id and task_id."""
    ready = await make_ready(caller, len(OUTCOMES))
    task = await ready.add(time=f"{DAY} 08:00", track_status=2)
    run = await caller.house.expand(caller.id, task, DAY, OUTCOMES)
    record = await caller.house.database.fetchval("SELECT id FROM run_day WHERE run_id = $1", run)
    return ready, task, run, int(record)


async def test_2_2_2_4_and_2_5_add_up(caller: Caller) -> None:
    nothing = xml(await caller.get("statistic", date=DAY))
    assert {each.text for each in nothing} == {DAY, "0"}
    assert (await caller.get("stask", date=DAY)).text == f"{DECLARATION}<data></data>"
    assert (await caller.get("deduction", date=DAY)).text == f"{DECLARATION}<data></data>"
    _, task, run, record = await sent(caller)
    for _ in range(2):  # counted from the recipients, and then from what was kept of the count
        answer = await caller.get("statistic", date=DAY)
        assert answer.text == (
            f"{DECLARATION}<statistic><date>{DAY}</date><ws_qty>11</ws_qty><ws_error>2</ws_error>"
            "<ws_count>7</ws_count><invalid_addr>1</invalid_addr><format_error>1</format_error>"
            "<send_count>9</send_count><deduc_count>9</deduc_count><actual_send>7</actual_send>"
            "<send_error>4</send_error><actual_deduc>6</actual_deduc></statistic>"
        )
        ident = (await caller.house.campaigns.tasks.get(caller.id, task)).ident
        row = (
            f"<task><task_id>{record}</task_id><task_date>{DAY}</task_date><task_ident>{ident}</task_ident>"
            "<totalsum>9</totalsum><total>7</total><invalid>2</invalid><failed>4</failed><success>3</success>"
            "<email_not_exist>1</email_not_exist><actual>6</actual><over_quota>1</over_quota>"
            "<user_reject>1</user_reject><rubbish>1</rubbish></task>"
        )
        for parameters in ({"date": DAY}, {"ident": ident}, {"id": task}, {"id": task, "date": DAY}):
            assert (await caller.get("stask", **parameters)).text == f"{DECLARATION}<data>{row}</data>"
        assert (await caller.get("stask", id=task, date="2026-03-03")).text == f"{DECLARATION}<data></data>"
        assert (await caller.get("deduction", date=DAY)).text == (
            f"{DECLARATION}<data><list><date>{DAY}</date><company>林记 &amp; Co</company>"
            "<deduction>web</deduction><send_num>7</send_num><total>6</total></list></data>"
        )
        await caller.house.database.execute("UPDATE recipient SET state = 4 WHERE state = 0")
        await caller.house.database.execute("UPDATE run SET finished_at = now() WHERE id = $1", run)
    assert await caller.house.database.fetchval("SELECT is_counted FROM run WHERE id = $1", run)
    left = xml(await caller.get("account", "service-info")).findtext("qty_available")
    assert left == str(100_000 - 6)
    for script in ("statistic", "deduction"):
        assert status_of(await caller.get(script)) == "param_error"
        assert status_of(await caller.get(script, date="2026-02-30")) == "param_error"
    assert status_of(await caller.get("stask")) == "param_error"
    assert status_of(await caller.get("stask", ident="x")) == "not_exist"


async def test_2_3_exports_failures_in_every_form(caller: Caller) -> None:
    empty = await caller.get("failexport", date=DAY, type="all")
    assert (empty.body, empty.headers["content-type"]) == (b"", "text/plain; charset=utf-8")
    assert (await caller.get("failexport", date=DAY, type="all", out_type="file")).text == "email\r\n"
    assert (await caller.get("failexportall", date=DAY, type="all", out_type="json")).text == "[]"
    none = await caller.get("failexport", date=DAY, type="all", out_type="xml")
    assert none.text == f"{DECLARATION}<fail_recipient_list></fail_recipient_list>"
    _, task, run, record = await sent(caller)
    ident = (await caller.house.campaigns.tasks.get(caller.id, task)).ident
    for script in ("failexport", "failexportall"):
        assert (await caller.get(script, date=DAY, type="-1")).text == "".join(f"{each}\n" for each in FAILED)
        one = {"date": DAY, "type": 9}
        assert (await caller.get(script, **one)).text == "bad@example.com\n"
        for more in ({"task_id": record}, {"task_ident": ident}, {"date_end": "2026-04-01"}):
            assert (await caller.get(script, **one, **more)).text == "bad@example.com\n"
        earlier = {"date": "2026-03-01", "date_end": DAY, "type": "not_exist"}
        assert (await caller.get(script, **earlier)).text == "gone@example.com\n"
        for wrong in (
            {"type": "all"},
            {"date": DAY},
            {"date": "2026-3-2", "type": "all"},
            {"date": DAY, "type": "4"},
            {"date": DAY, "type": "all", "out_type": "pdf"},
            {"date": DAY, "type": "all", "date_end": "2026-03-01"},
            {"date": DAY, "type": "all", "date_end": "2026-04-02"},
        ):
            assert status_of(await caller.get(script, **wrong)) == "param_error", wrong
        for stranger in ({"task_id": run}, {"task_id": task}, {"task_ident": "x"}):
            assert status_of(await caller.get(script, date=DAY, type="all", **stranger)) == "not_exist"
        refused = await caller.get(script, date=DAY, type="x", out_type="json")
        assert refused.json()["status"] == "param_error"
    shown = await caller.get("failexport", date=DAY, type="rubbish", out_type="xml")
    assert shown.text == (
        f"{DECLARATION}<fail_recipient_list><recipient><email>spam@example.com</email>"
        "<error_type>5</error_type>"
        "<error_type_dec>系统判定为垃圾邮件拒发</error_type_dec></recipient></fail_recipient_list>"
    )
    assert (await caller.get("failexport", date=DAY, type="3", out_type="json")).json() == ["no@example.com"]
    full = {"date": DAY, "type": "over_quota"}
    row = {"email": "full@example.com", "type": "2", "task_id": str(record)}
    assert (await caller.get("failexportall", **full, out_type="json")).json() == [row]
    table = await caller.get("failexportall", **full, out_type="file")
    assert [*csv.reader(io.StringIO(table.text, newline=""))] == [[*row], [*row.values()]]
    assert (await caller.get("failexportall", **full, out_type="xml")).text == (
        f"{DECLARATION}<fail_recipient_list><recipient><email>full@example.com</email><type>2</type>"
        f"<task_id>{record}</task_id></recipient></fail_recipient_list>"
    )


async def add_hits(caller: Caller, run: int) -> dict[str, int]:
    """Two links; reader 1 opens twice and clicks both, one of them twice; 2 opens once; 3 only clicks."""
    database = caller.house.database
    links = {
        url: await database.fetchval(
            "INSERT INTO link (customer_id, run_id, url) VALUES ($1, $2, $3) RETURNING id",
            caller.id,
            run,
            url,
        )
        for url in ("https://shop.example/?a=1&b=2", "https://shop.example/two")
    }
    one, two = links.values()
    agent = await database.fetchval(
        "INSERT INTO user_agent (text, browser, os, device) "
        "VALUES ('x', 'Firefox', 'Windows', 'pc') RETURNING id"
    )
    hits = [
        (1, None, 1, agent, "192.0.2.1", 0),
        (1, None, 9, agent, "192.0.2.9", 0),
        (1, one, 2, agent, "192.0.2.1", 0),
        (1, one, 4, agent, "192.0.2.1", 0),
        (1, two, 3, agent, "192.0.2.1", 0),
        (2, None, 5, None, "2001:db8::1", 0),
        (3, two, 6, None, "192.0.2.3", 0),
        (3, None, 7, None, "192.0.2.66", 1),  # a machine's: in no report
    ]
    await database.executemany(
        "INSERT INTO hit (customer_id, run_id, number, link_id, hit_at, user_agent_id, ip, kind) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7::text::inet, $8::smallint)",
        [
            (caller.id, run, number, link, datetime(2026, 3, 2, 4, minute, tzinfo=UTC), agent_id, ip, kind)
            for number, link, minute, agent_id, ip, kind in hits
        ],
    )
    return links


NEVER = "0000-00-00 00:00:00"


async def test_3_1_and_3_5_overview_and_links(caller: Caller) -> None:
    ready = await make_ready(caller)
    waiting = await ready.add()
    early = xml(await caller.get("track", "overview", id=waiting))
    values = [
        early.findtext(name) for name in ("task_id", "send_id", "open_total", "open_first", "open_ratio")
    ]
    assert values == ["0", str(waiting), "0", NEVER, "0.00%"]
    task = await ready.add(time=f"{DAY} 08:00", track_status=2)
    run = await caller.house.expand(caller.id, task, DAY, OUTCOMES)
    record = await caller.house.database.fetchval("SELECT id FROM run_day WHERE run_id = $1", run)
    assert (await caller.get("track", "link-stat", id=task)).text == f"{DECLARATION}<data></data>"
    one, two = (await add_hits(caller, run)).values()
    ident = (await caller.house.campaigns.tasks.get(caller.id, task)).ident

    def link(link_id: int, url: str, unique: int, total: int, first: str, last: str) -> str:
        return (
            f"<link><link_id>{link_id}</link_id><link>{url}</link><click_unique>{unique}</click_unique>"
            f"<click_total>{total}</click_total><click_first>{first}</click_first>"
            f"<click_last>{last}</click_last></link>"
        )

    links = link(one, "https://shop.example/?a=1&amp;b=2", 1, 2, f"{DAY} 12:02:00", f"{DAY} 12:04:00") + link(
        two, "https://shop.example/two", 2, 2, f"{DAY} 12:03:00", f"{DAY} 12:06:00"
    )
    expected = (
        f"{DECLARATION}<track><track_id>{run}</track_id><task_id>{record}</task_id><task_sn>{ident}</task_sn>"
        f"<send_id>{task}</send_id><send_count>7</send_count><real_send_count>3</real_send_count>"
        "<error_send_count>4</error_send_count><open_unique>2</open_unique><open_total>3</open_total>"
        f"<open_first>{DAY} 12:01:00</open_first><open_last>{DAY} 12:09:00</open_last>"
        f"<click_unique>2</click_unique><click_total>4</click_total><click_first>{DAY} 12:02:00</click_first>"
        f"<click_last>{DAY} 12:06:00</click_last><open_ratio>66.67%</open_ratio>"
        "<click_ratio>100.00%</click_ratio>"
        f"<link_statistic>{links}</link_statistic></track>"
    )
    for which in ({"id": task}, {"ident": ident, "id": 1}, {"track_id": run}, {"task_id": record}):
        assert (await caller.get("track", "overview", **which)).text == expected
    assert (await caller.get("track", "link-stat", ident=ident)).text == f"{DECLARATION}<data>{links}</data>"
    assert len(xml(await caller.get("track", "link-stat", id=task, link_id=two))) == 1
    for do in ("overview", "open-detail", "click-detail", "link-stat"):
        assert status_of(await caller.get("track", do)) == "param_error"
        assert status_of(await caller.get("track", do, id=99999)) == "not_exist"
        assert status_of(await caller.get("track", do, id=run)) == "not_exist"
    for do in ("click-detail", "link-stat"):
        assert status_of(await caller.get("track", do, id=task, link_id=99999)) == "not_exist"
    assert status_of(await caller.get("track", "nothing", id=task)) == "unknown_do"


async def test_3_2_3_3_and_3_4_readers(caller: Caller) -> None:
    ready = await make_ready(caller)
    waiting = await ready.add()
    for do in ("open-detail", "click-detail"):
        assert (await caller.get("track", do, id=waiting)).text == f"{DECLARATION}<data></data>"
    _, task, run, _ = await sent_again(ready)
    one, two = (await add_hits(caller, run)).values()
    base = await caller.house.database.fetchval("SELECT email_base FROM run WHERE id = $1", run)
    first = (
        f"<user><email_id>{base + 1}</email_id><email>ok1@example.com</email><browser>Firefox</browser>"
        "<os>Windows</os><device>pc</device><addr_first></addr_first><ip_first>192.0.2.1</ip_first>"
        "<ip_last>192.0.2.9</ip_last><addr_last></addr_last><open_total>2</open_total>"
        "<click_total>3</click_total>"
        f"<open_first>{DAY} 12:01:00</open_first><open_last>{DAY} 12:09:00</open_last>"
        f"<click_first>{DAY} 12:02:00</click_first><click_last>{DAY} 12:04:00</click_last></user>"
    )
    second = (
        f"<user><email_id>{base + 2}</email_id><email>ok2@example.com</email><browser>Other </browser>"
        "<os>Other </os><device>pc</device><addr_first></addr_first><ip_first>2001:db8::1</ip_first>"
        "<ip_last></ip_last><addr_last></addr_last><open_total>1</open_total><click_total>0</click_total>"
        f"<open_first>{DAY} 12:05:00</open_first><open_last>{NEVER}</open_last>"
        f"<click_first>{NEVER}</click_first>"
        f"<click_last>{NEVER}</click_last></user>"
    )
    assert (
        await caller.get("track", "open-detail", id=task)
    ).text == f"{DECLARATION}<data>{first}{second}</data>"
    clicks = xml(await caller.get("track", "click-detail", id=task))
    assert [
        (each.findtext("email"), each.findtext("click_unique"), each.findtext("click_total"))
        for each in clicks
    ] == [
        ("ok1@example.com", "1", "2"),
        ("ok1@example.com", "1", "1"),
        ("ok3@example.com", "1", "1"),
    ]
    assert [each.tag for each in clicks[0]] == [
        *("click_id", "email", "link", "click_unique", "click_total", "click_first", "click_last")
    ]
    only = xml(await caller.get("track", "click-detail", id=task, link_id=two))
    assert [each.findtext("email") for each in only] == ["ok1@example.com", "ok3@example.com"]

    async def exported(**parameters: object) -> str:
        return (await caller.get("trackexport", track_id=run, **parameters)).text

    assert await exported() == f"{DECLARATION}<data>{first}{second}</data>"
    assert await exported(out_type="txt") == "ok1@example.com\nok2@example.com\n"
    assert sorted((await exported(out_type="txt", is_click=1)).split()) == [
        "ok1@example.com",
        "ok3@example.com",
    ]
    assert await exported(out_type="txt", link_id=one) == "ok1@example.com\n"
    assert await exported(out_type="txt", email_id=base + 2) == "ok2@example.com\n"
    rows = [*csv.DictReader(io.StringIO(await exported(out_type="file")))]
    assert [row["email"] for row in rows] == ["ok1@example.com", "ok2@example.com"]
    as_json = (await caller.get("trackexport", track_id=run, out_type="json")).json()
    assert as_json[0] == rows[0]
    for wrong in (
        {},
        {"track_id": "x"},
        {"track_id": run, "is_click": 2},
        {"track_id": run, "out_type": "pdf"},
    ):
        assert status_of(await caller.get("trackexport", **wrong)) == "param_error"
    for missing in (
        {"track_id": task},
        {"track_id": run, "link_id": 999},
        {"track_id": run, "email_id": 10**9},
    ):
        assert status_of(await caller.get("trackexport", **missing)) == "not_exist"


async def sent_again(ready: Ready) -> tuple[Ready, int, int, int]:
    """As `sent`, for a customer who is ready."""
    task = await ready.add(time=f"{DAY} 08:00", track_status=2)
    run = await ready.caller.house.expand(ready.caller.id, task, DAY, OUTCOMES)
    return ready, task, run, 0


async def test_reports_of_a_removed_task_stay(caller: Caller) -> None:
    _, task, run, record = await sent(caller)
    ident = (await caller.house.campaigns.tasks.get(caller.id, task)).ident
    await caller.house.database.execute("UPDATE task SET state = 3 WHERE id = $1", task)
    assert status_of(await caller.get("task", "del-task", id=task)) == "success"
    assert len(xml(await caller.get("stask", ident=ident))) == 1
    assert xml(await caller.get("track", "overview", ident=ident)).findtext("track_id") == str(run)
    assert (await caller.get("failexport", date=DAY, type=9, task_id=record)).text == "bad@example.com\n"
    [found] = await caller.house.campaigns.recipients.of_address(caller.id, "OK1@example.com")
    assert (found.task_id, found.state, found.run_id) == (task, 2, run)
