"""Hits are written in bulk, each once, by whom they are; none is lost when the worker ends."""

from __future__ import annotations

import time
from typing import Any

import pytest

from postroad.campaigns.tracking.agents import Agents, Kind, looks_ahead
from postroad.campaigns.tracking.hits import Hit, Hits
from postroad.db.group_commit import CommitFailed
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from tests.campaigns.house import House
from tests.campaigns.mailing import Mailing, send_mailing

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 MicroMessenger/8.0.44 NetType/WIFI Language/zh_CN"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
AGENTS = Agents()


def hit(
    mailing: Mailing,
    number: int = 1,
    link_id: int | None = None,
    agent: str = CHROME,
    ip: str | None = "192.0.2.1",
) -> Hit:
    return Hit(mailing.run_id, mailing.email(number), link_id, time.monotonic(), agent, ip)


async def written(database: Database) -> list[tuple[Any, ...]]:
    rows = await database.fetch(
        "SELECT h.number, h.link_id, h.kind, a.browser, a.os, a.device, host(h.ip) AS ip "
        "FROM hit h LEFT JOIN user_agent a ON a.id = h.user_agent_id "
        "ORDER BY h.number, h.kind, h.link_id NULLS FIRST"
    )
    return [tuple(row) for row in rows]


async def test_hits_are_written_when_the_worker_ends(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    async with Hits(database, TaskSupervisor(), gather_seconds=3600, drain_seconds=100) as hits:
        hits.add(hit(mailing))
        hits.add(hit(mailing, 2, mailing.link_ids[0], PHONE, "2001:db8::7"))
        hits.add(hit(mailing, 3, ip=None))
        assert hits.waiting == 3
    assert hits.waiting == 0
    assert await written(database) == [
        (1, None, 0, "Chrome", "Windows", "pc", "192.0.2.1"),
        (2, mailing.link_ids[0], 0, "WeChat Browser", "iOS", "mobile", "2001:db8::7"),
        (3, None, 0, "Chrome", "Windows", "pc", None),
    ]
    assert await database.fetchval(
        "SELECT bool_and(hit_at <= now() AND hit_at > now() - interval '1 minute') FROM hit"
    )


async def test_what_does_not_exist_any_more_is_left_out(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    async with Hits(database, TaskSupervisor(), gather_seconds=0, drain_seconds=100) as hits:
        hits.add(hit(mailing, 999))
        hits.add(Hit(1, 2, None, 0.0, CHROME, None))
        hits.add(hit(mailing, 1))
    assert [row[0] for row in await written(database)] == [1]


async def test_machines_stand_apart(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    fresh = await send_mailing(house, ["new@reader.example"], username="other")
    await database.execute("UPDATE recipient SET changed_at = now() WHERE run_id = $1", fresh.run_id)
    async with Hits(database, TaskSupervisor(), gather_seconds=0, drain_seconds=100) as hits:
        hits.add(hit(mailing, 1, agent="Mozilla/5.0"))  # Apple's proxy
        hits.add(hit(mailing, 1, agent=GMAIL))  # long after the delivery: for a reader
        hits.add(hit(fresh, 1, agent=GMAIL))  # at once: before any reader
        hits.add(hit(mailing, 2, mailing.link_ids[0], "python-requests/2.31"))
        hits.add(hit(mailing, 2, mailing.link_ids[0], ""))
    assert [row[::2][:2] for row in await written(database)] == [(1, 0), (1, 1), (1, 1), (2, 2), (2, 2)]


async def test_who_follows_every_link_at_once_reads_none(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    async with Hits(database, TaskSupervisor(), gather_seconds=0, drain_seconds=100) as hits:
        for link_id in mailing.link_ids:
            hits.add(hit(mailing, 1, link_id))
        hits.add(hit(mailing, 2, mailing.link_ids[0]))
        hits.add(hit(mailing, 2, mailing.link_ids[0]))
        hits.add(hit(mailing, 2, mailing.link_ids[1]))
        hits.add(hit(mailing, 3, mailing.link_ids[2], ip="192.0.2.9"))
    found = await written(database)
    assert [row[2] for row in found if row[0] == 1] == [2, 2, 2]
    assert [row[2] for row in found if row[0] != 1] == [0, 0, 0, 0]


class Away(Database):
    """A database that is away until `back`."""

    is_away = True

    def connection(self) -> Any:
        if self.is_away:
            raise CommitFailed("away")
        return super().connection()


async def test_a_dead_database_is_outlived_by_what_there_is_room_for(
    house: House, database: Database
) -> None:
    mailing = await send_mailing(house)
    async with Away(database.dsn) as away:
        async with Hits(away, TaskSupervisor(), gather_seconds=0, drain_seconds=100, max_waiting=5) as hits:
            for _ in range(9):
                hits.add(hit(mailing))
            assert hits.waiting == 5
            assert hits.dropped == 4
            away.is_away = False
        assert hits.waiting == 0
    assert len(await written(database)) == 5


async def test_an_end_without_a_database_is_bounded(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    async with Away(database.dsn) as away:
        async with Hits(away, TaskSupervisor(), gather_seconds=0, drain_seconds=0.05) as hits:
            hits.add(hit(mailing))
        assert hits.waiting == 1
    assert await written(database) == []


async def test_one_hit_that_cannot_be_written_spares_the_others(house: House, database: Database) -> None:
    mailing = await send_mailing(house)
    async with Hits(database, TaskSupervisor(), gather_seconds=0, drain_seconds=100) as hits:
        hits.add(hit(mailing, 1))
        hits.add(hit(mailing, 2, ip="no address"))
        hits.add(hit(mailing, 3))
    assert [row[0] for row in await written(database)] == [1, 3]


@pytest.mark.parametrize(
    ("text", "kind", "browser", "device"),
    [
        (CHROME, Kind.PERSON, "Chrome", "pc"),
        (PHONE, Kind.PERSON, "WeChat Browser", "mobile"),
        ("Mozilla/5.0", Kind.PROXY, "Apple Mail", ""),
        (GMAIL, Kind.PERSON, "GmailImageProxy", ""),
        ("", Kind.SCANNER, "Other", "pc"),
        ("facebookexternalhit/1.1", Kind.SCANNER, "FacebookBot", "pc"),
        (
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            Kind.SCANNER,
            "Slackbot-LinkExpanding",
            "pc",
        ),
        ("curl/8.5.0", Kind.SCANNER, "curl", "pc"),
        ("\x00\xff" * 400, Kind.PERSON, "Other", "pc"),
    ],
)
def test_programs_are_known_by_what_they_say(text: str, kind: Kind, browser: str, device: str) -> None:
    agent = AGENTS.read(text)
    assert (agent.kind, agent.browser, agent.device) == (kind, browser, device)
    assert agent.text.isprintable()


async def test_a_look_ahead_is_no_reader(house: House, database: Database) -> None:
    assert looks_ahead("HEAD", "")
    assert looks_ahead("GET", "prefetch;prerender")
    assert not looks_ahead("GET", "")
    mailing = await send_mailing(house)
    async with Hits(database, TaskSupervisor(), gather_seconds=0, drain_seconds=100) as hits:
        hits.add(hit(mailing)._replace(is_look=True))
    assert [row[2] for row in await written(database)] == [Kind.SCANNER]


def test_what_programs_say_is_kept_in_few_forms() -> None:
    forms = {AGENTS.read(CHROME.replace("120.0", f"120.{minor}")).text for minor in range(300)}
    assert len(forms) == 1
