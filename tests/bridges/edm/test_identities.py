"""Every identity of the figures of chapters 2 and 3, over histories that nobody thought of.

Runs over several days with every outcome, bounces that come back after a run was counted, opens and clicks of
people and of machines: whatever happened, the calls agree with each other and with the ledger.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.transport.accepting.collecting import NewCollected, collect_in
from tests.bridges.edm.conftest import Caller, xml
from tests.bridges.edm.test_tasks import make_ready
from tests.campaigns.results.corpus import corpus

DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")
BOUNCE = next(sample.content for sample in corpus(1) if sample.failure == 1)
FINAL = [(2, 0), *((3, failure) for failure in (1, 2, 3, 5, 8, 9))]


@dataclass(frozen=True)
class Past:
    """What became of one run."""

    outcomes: tuple[tuple[int, int, int], ...]  # state, failure, day
    is_finished: bool
    bounced: tuple[int, ...]  # places among the recipients
    hits: tuple[tuple[int, int, int, int], ...]  # recipient, link (0: an open), minute, kind


outcome = st.tuples(st.sampled_from([*FINAL, (2, 0), (0, 0), (4, 0)]), st.integers(0, 2)).map(
    lambda pair: (*pair[0], pair[1])
)
past = st.builds(
    Past,
    outcomes=st.lists(outcome, min_size=1, max_size=12).map(tuple),
    is_finished=st.booleans(),
    bounced=st.lists(st.integers(0, 11), max_size=3).map(tuple),
    hits=st.lists(
        st.tuples(st.integers(1, 12), st.integers(0, 2), st.integers(0, 59), st.integers(0, 2)), max_size=20
    ).map(tuple),
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(past, min_size=1, max_size=2))
async def test_every_figure_adds_up(caller: Caller, history: list[Past]) -> None:
    database = caller.house.database
    await database.execute("DELETE FROM counted_call WHERE customer_id = $1", caller.id)
    await database.execute("DELETE FROM task WHERE customer_id = $1", caller.id)
    known = await database.fetchrow(
        "SELECT l.id AS list_id, t.id AS template_id, m.address FROM contact_list l, template t, "
        "sender_mailbox m "
        "WHERE l.customer_id = $1 AND t.customer_id = $1 AND m.customer_id = $1",
        caller.id,
    )
    if known is None:
        ready = await make_ready(caller)
        list_id, template_id, sender = ready.list_id, ready.template_id, ready.sender
    else:
        list_id, template_id, sender = known["list_id"], known["template_id"], known["address"]
    for each in history:
        answer = await caller.get(
            "task",
            "add-task",
            tpl_id=template_id,
            send_account=sender,
            send_fullname="x",
            maillist_id=list_id,
            time=f"{DAYS[0]} 08:00",
            track_status=2,
        )
        task = int(xml(answer).findtext("id"))
        await _happen(caller, task, each)
        await _check_run(caller, task)
    for day in DAYS:
        await _check_day(caller, day)
    await _check_volume(caller)


async def _happen(caller: Caller, task: int, past: Past) -> None:
    """Write the history, count it where it is finished, and let bounces come after that."""
    database = caller.house.database
    addresses = [f"r{number}@example.com" for number in range(len(past.outcomes))]
    run = await caller.house.expand(
        caller.id,
        task,
        DAYS[0],
        [
            (address, state, failure)
            for address, (state, failure, _) in zip(addresses, past.outcomes, strict=True)
        ],
    )
    await database.execute("UPDATE task SET selected = $2 WHERE id = $1", task, len(addresses))
    for number, (state, _, day) in enumerate(past.outcomes, 1):
        if state > 1:
            await database.execute(
                "INSERT INTO run_day (customer_id, run_id, day) VALUES ($1, $2, $3::text::date) ON "
                "CONFLICT DO NOTHING",
                caller.id,
                run,
                DAYS[day],
            )
            await database.execute(
                "UPDATE recipient SET day = $3::text::date WHERE run_id = $1 AND number = $2",
                run,
                number,
                DAYS[day],
            )
    if past.is_finished:
        await database.execute(
            "UPDATE recipient SET state = 4, day = $2::text::date WHERE run_id = $1 AND state < 2",
            run,
            DAYS[0],
        )
        await database.execute("UPDATE run SET finished_at = now() WHERE id = $1", run)
        await caller.get("stask", id=task)  # keeps the count
    await _bounce(caller, run, past.bounced)
    links = [
        await database.fetchval(
            "INSERT INTO link (customer_id, run_id, url) VALUES ($1, $2, $3) RETURNING id",
            caller.id,
            run,
            f"https://shop.example/{number}",
        )
        for number in range(2)
    ]
    await database.executemany(
        "INSERT INTO hit (customer_id, run_id, number, link_id, hit_at, kind) VALUES ($1, $2, $3, "
        "$4, $5, $6)",
        [
            (
                caller.id,
                run,
                reader,
                links[link - 1] if link else None,
                datetime(2026, 3, 2, 4, minute, tzinfo=UTC),
                kind,
            )
            for reader, link, minute, kind in past.hits
            if reader <= len(addresses)
        ],
    )


async def _bounce(caller: Caller, run: int, places: tuple[int, ...]) -> None:
    campaigns, database = caller.house.campaigns, caller.house.database
    verp = (await campaigns.keys.get()).verp
    rows = await database.fetch(
        "SELECT r.number, n.email_base FROM recipient r JOIN run n ON n.id = r.run_id "
        "WHERE r.run_id = $1 AND r.state > 1 ORDER BY r.number",
        run,
    )
    chosen = [rows[place] for place in places if place < len(rows)]
    if chosen:
        async with database.transaction() as connection:
            await collect_in(
                connection,
                [
                    NewCollected(
                        verp.address(row["email_base"] + row["number"], "host.example"), None, BOUNCE
                    )
                    for row in chosen
                ],
            )
        await campaigns.returns.run_all()


def _numbers(element: Any) -> dict[str, int]:
    return {each.tag: int(each.text) for each in element if (each.text or "").isdigit()}


async def _days_of(caller: Caller, **which: object) -> list[dict[str, int]]:
    rows = [_numbers(each) for each in xml(await caller.get("stask", **which)).findall("task")]
    for row in rows:  # 2.4
        assert row["totalsum"] == row["total"] + row["invalid"]
        assert (
            row["failed"] == row["email_not_exist"] + row["over_quota"] + row["user_reject"] + row["rubbish"]
        )
        assert row["success"] == row["total"] - row["failed"]
        assert row["actual"] == row["total"] - row["rubbish"]
    return rows


async def _check_run(caller: Caller, task: int) -> None:
    days = await _days_of(caller, id=task)
    ledger = Counter(
        {
            (row["state"], row["failure"]): row["count"]
            for row in await caller.house.database.fetch(
                "SELECT state, failure, count(*) FROM recipient WHERE run_id = $1 GROUP BY 1, 2",
                await caller.house.run(caller.id, task),
            )
        }
    )
    assert sum(day["success"] for day in days) == ledger[2, 0]
    for name, failures in (
        ("email_not_exist", (1,)),
        ("over_quota", (2,)),
        ("rubbish", (5,)),
        ("invalid", (8, 9)),
    ):
        assert sum(day[name] for day in days) == sum(ledger[3, failure] for failure in failures), name
    shown = _numbers(xml(await caller.get("task", "list-task", id=task)).find("task"))  # 2.1
    assert shown["error_count"] == sum(day["invalid"] for day in days)
    assert shown["send_count"] == sum(day["total"] for day in days)
    overview = xml(await caller.get("track", "overview", id=task))  # 3.1
    figures = _numbers(overview)
    assert figures["send_count"] == sum(day["total"] for day in days)
    assert figures["real_send_count"] == sum(day["success"] for day in days)
    assert figures["error_send_count"] == sum(day["failed"] for day in days)
    assert figures["send_count"] == figures["real_send_count"] + figures["error_send_count"]
    readers = [
        _numbers(each) for each in xml(await caller.get("track", "open-detail", id=task)).findall("user")
    ]
    assert figures["open_unique"] == len(readers)
    assert figures["open_total"] == sum(reader["open_total"] for reader in readers)
    clicks = [
        _numbers(each) for each in xml(await caller.get("track", "click-detail", id=task)).findall("click")
    ]
    links = [_numbers(each) for each in xml(await caller.get("track", "link-stat", id=task)).findall("link")]
    inside = [_numbers(each) for each in overview.findall("link_statistic/link")]
    assert inside == links
    assert figures["click_total"] == sum(link["click_total"] for link in links)
    assert figures["click_total"] == sum(click["click_total"] for click in clicks)
    assert (
        sum(link["click_unique"] for link in links)
        == sum(click["click_unique"] for click in clicks)
        == len(clicks)
    )
    clickers = xml(await caller.get("trackexport", track_id=figures["track_id"], is_click=1)).findall("user")
    assert figures["click_unique"] == len(clickers)
    for name, part, whole in (
        ("open_ratio", figures["open_unique"], figures["real_send_count"]),
        ("click_ratio", figures["click_unique"], figures["open_unique"]),
    ):
        wanted = f"{part / whole * 100:.2f}%" if whole else "0.00%"
        assert overview.findtext(name) == wanted


async def _check_day(caller: Caller, day: str) -> None:
    runs = await _days_of(caller, date=day)
    overview = _numbers(xml(await caller.get("statistic", date=day)))  # 2.2
    assert overview["ws_error"] == overview["invalid_addr"] + overview["format_error"]
    assert overview["send_count"] == overview["ws_qty"] - overview["ws_error"] == overview["deduc_count"]
    assert overview["actual_send"] == sum(run["total"] for run in runs)
    assert overview["send_error"] == sum(run["failed"] for run in runs)
    assert overview["actual_deduc"] == sum(run["actual"] for run in runs)
    paid = [_numbers(each) for each in xml(await caller.get("deduction", date=day)).findall("list")]  # 2.5
    assert sum(row["send_num"] for row in paid) == overview["actual_send"]
    assert sum(row["total"] for row in paid) == overview["actual_deduc"]
    failed = (await caller.get("failexportall", date=day, type="all", out_type="json")).json()  # 2.3
    assert len(failed) == sum(run["failed"] + run["invalid"] for run in runs)
    by_type = Counter(row["type"] for row in failed)
    for number, name in (
        ("1", "email_not_exist"),
        ("2", "over_quota"),
        ("3", "user_reject"),
        ("5", "rubbish"),
    ):
        assert by_type[number] == sum(run[name] for run in runs)
        alone = (await caller.get("failexport", date=day, type=number, out_type="json")).json()
        assert len(alone) == by_type[number]
    by_run = Counter(int(row["task_id"]) for row in failed)
    for run in runs:
        assert by_run[run["task_id"]] == run["failed"] + run["invalid"]


async def _check_volume(caller: Caller) -> None:
    service = _numbers(xml(await caller.get("account", "service-info")))
    spent = 0
    for day in DAYS:
        spent += sum(run["actual"] for run in await _days_of(caller, date=day))
    waiting = await caller.house.database.fetchval(
        "SELECT coalesce(sum(t.selected), 0) FROM task t JOIN run r ON r.task_id = t.id "
        "WHERE t.customer_id = $1 AND r.expanded_at IS NULL",
        caller.id,
    )
    assert waiting == 0
    assert service["qty_buytotal"] - service["qty_available"] == spent
