"""Opens and clicks on their way into the table `hit`: gathered in memory for half a second, written in bulk.

A reader's answer never waits for the database. When it is away, hits wait too, as many as there is room for;
a worker that is asked to stop writes what it has first. Tokens name the run and the email_id: the statement
that writes finds customer, recipient and when the mail was delivered, and leaves out what does not exist any
more.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from postroad.campaigns.tracking.agents import Agent, Agents, Kind
from postroad.db.group_commit import CommitFailed, commit_durably
from postroad.db.pool import Connection, Database, DatabaseUnavailable
from postroad.db.tasks import Kept, TaskSupervisor

GATHER_SECONDS = 0.5
MAX_BATCH = 2000
MAX_WAITING = 100_000  # about 25 MB; at a thousand a second the database may be away for a minute and a half
DRAIN_SECONDS = 15.0  # below what a worker is given to end
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
MAX_AGENTS = 5000
# A provider's proxy that comes within so long after the delivery came before any reader.
EARLY_SECONDS = 10.0
# Who follows so many links of one mail within a second reads none of them.
MANY_LINKS = 3

log = structlog.get_logger("postroad.campaigns.tracking.hits")

_ADD_AGENTS = """
INSERT INTO user_agent (text, browser, os, device)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (md5(text)) DO NOTHING
"""
_AGENTS = """
SELECT a.text, a.id FROM unnest($1::text[]) AS w(text)
JOIN user_agent a ON md5(a.text) = md5(w.text) AND a.text = w.text
"""
# The time is the database's: ours only says how long ago it was. `changed_at` is when the mail was delivered;
# a hit that comes before that is written down came very early indeed.
# LATERAL with LIMIT looks each recipient up by his key; joined freely, a run without statistics is read whole
# for each hit (2,000 hits of 10,000 recipients took 3.5 s, and take 0.05).
_ADD = """
WITH given AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::float8[], $5::bigint[], $6::text[],
                         $7::smallint[], $8::boolean[])
           AS g(run_id, email_id, link_id, age, agent_id, ip, kind, is_proxy)
), runs AS MATERIALIZED (
    SELECT n.id, n.customer_id, n.shelf, n.email_base FROM run n WHERE n.id = ANY($1::bigint[])
)
INSERT INTO hit (customer_id, run_id, number, link_id, hit_at, user_agent_id, ip, kind)
SELECT n.customer_id, n.id, r.number, g.link_id, clock_timestamp() - g.age * interval '1 second', g.agent_id,
       g.ip::inet,
       CASE WHEN g.kind = 0 AND g.is_proxy AND (r.changed_at IS NULL OR r.state < 2 OR
                clock_timestamp() - (g.age + $9::float8) * interval '1 second' < r.changed_at)
            THEN 1 ELSE g.kind END
FROM given g
JOIN runs n ON n.id = g.run_id
CROSS JOIN LATERAL (
    SELECT * FROM recipient r
    WHERE r.customer_id = n.customer_id AND r.run_id = n.id AND r.shelf = n.shelf
      AND r.number = g.email_id - n.email_base LIMIT 1
) r
"""
_MARK_SCANNERS = """
WITH suspects AS MATERIALIZED (
    SELECT n.customer_id, n.id AS run_id, w.email_id - n.email_base AS number, w.ip::inet AS ip
    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS w(run_id, email_id, ip)
    JOIN run n ON n.id = w.run_id
), recent AS MATERIALIZED (
    SELECT h.* FROM suspects s CROSS JOIN LATERAL (
        SELECT h.customer_id, h.id, h.run_id, h.number, h.link_id, h.hit_at, h.kind FROM hit h
        WHERE h.customer_id = s.customer_id AND h.run_id = s.run_id AND h.number = s.number
          AND h.hit_at > clock_timestamp() - ($4::float8 + 2) * interval '1 second'
          AND h.ip = s.ip AND h.link_id IS NOT NULL LIMIT 1000
    ) h
)
UPDATE hit SET kind = 2
FROM recent r
WHERE hit.customer_id = r.customer_id AND hit.id = r.id AND r.kind = 0
  AND (SELECT count(DISTINCT o.link_id) FROM recent o
       WHERE o.run_id = r.run_id AND o.number = r.number
         AND o.hit_at BETWEEN r.hit_at - interval '1 second' AND r.hit_at + interval '1 second') >= $5
"""


class Hit(NamedTuple):
    """One open, or one click on a link. `at` is the process's monotonic clock; `ip` is an address or None.

    `is_look` marks a request that only looks (`agents.looks_ahead`). A tuple, as many are made.
    """

    run_id: int
    email_id: int
    link_id: int | None
    at: float
    user_agent: str
    ip: str | None
    is_look: bool = False


class Hits:
    """Gathers the hits of one worker and writes them. `async with` runs it; leaving writes what is left."""

    def __init__(
        self,
        database: Database,
        tasks: TaskSupervisor,
        *,
        gather_seconds: float = GATHER_SECONDS,
        max_waiting: int = MAX_WAITING,
        drain_seconds: float = DRAIN_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._gather_seconds = gather_seconds
        self._max_waiting = max_waiting
        self._drain_seconds = drain_seconds
        self._monotonic = monotonic
        self._waiting: list[Hit] = []
        self._batch: list[Hit] = []  # being written
        self._agents = Agents()
        self._agent_ids: OrderedDict[str, int] = OrderedDict()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._kept: Kept | None = None
        self.dropped = 0  # for want of room

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._waiting) + len(self._batch)

    def add(self, hit: Hit) -> None:
        """Take one. Without room it is dropped, and counted as dropped."""
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8 …: a flood writes few lines
                log.error("hits_dropped", count=self.dropped, advice="the database has been away too long")
            return
        self._waiting.append(hit)
        self._wake.set()

    async def __aenter__(self) -> Hits:
        self._kept = self._tasks.keep("tracking hits", self._run)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            # A batch that is being committed is let finish: written twice, a reader would have come twice.
            async with asyncio.timeout(self._drain_seconds), self._writing:
                if self._kept is not None:
                    await self._kept.stop()
                while self.waiting:
                    await self._write_next()
        except TimeoutError:
            log.error("hits_lost", count=self.waiting, advice="the database was away when the worker ended")
        if self._kept is not None:
            await self._kept.stop()

    async def _run(self) -> None:
        while True:
            if not self.waiting:
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(self._gather_seconds)
            async with self._writing:
                await self._write_next()

    async def _write_next(self) -> None:
        if not self._batch:
            self._batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._write(self._batch)
                break
            except (CommitFailed, DatabaseUnavailable) as error:
                log.warning("hits_put_off", error=str(error), waiting=self.waiting)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._batch = []

    async def _write(self, hits: Sequence[Hit]) -> None:
        """Write them all, each once. One that cannot be written is left out; the others are not."""
        try:
            # In a thread: reading a text takes 30 µs, and the first one waits for the tables.
            agents = await asyncio.to_thread(lambda: [self._agents.read(hit.user_agent) for hit in hits])
            await self._know_agents({agent.text: agent for agent in agents})
            kinds = [
                Kind.SCANNER if hit.is_look else agent.kind for hit, agent in zip(hits, agents, strict=True)
            ]
            now = self._monotonic()
            runs, emails, links, times, _, ips, _ = zip(*hits, strict=True)
            rows = (
                runs,
                emails,
                links,
                [max(0.0, now - at) for at in times],
                [self._agent_ids.get(agent.text) for agent in agents],
                ips,
                kinds,
                [agent.is_proxy for agent in agents],
            )
            suspects = _following_several(hits, kinds)

            async def write_in(connection: Connection) -> Callable[[], None]:
                await connection.execute(_ADD, *rows, EARLY_SECONDS)
                if suspects:
                    oldest = self._monotonic() - min(hit.at for hit in hits)
                    columns = [list(column) for column in zip(*suspects, strict=True)]
                    await connection.execute(_MARK_SCANNERS, *columns, oldest, MANY_LINKS)
                return lambda: None

            await commit_durably(self._database, write_in)
        except (CommitFailed, DatabaseUnavailable):
            raise
        except Exception:
            if len(hits) == 1:
                log.exception("hit_not_written", run=hits[0].run_id)
                return
            middle = len(hits) // 2
            await self._write(hits[:middle])
            await self._write(hits[middle:])

    async def _know_agents(self, agents: dict[str, Agent]) -> None:
        unknown = [agent for text, agent in sorted(agents.items()) if text not in self._agent_ids]
        if unknown:
            texts = [agent.text for agent in unknown]
            await self._database.execute(
                _ADD_AGENTS,
                texts,
                [agent.browser for agent in unknown],
                [agent.os for agent in unknown],
                [agent.device for agent in unknown],
            )
            for row in await self._database.fetch(_AGENTS, texts):
                self._agent_ids[row["text"]] = row["id"]
        for text in agents:
            if text in self._agent_ids:
                self._agent_ids.move_to_end(text)
        while len(self._agent_ids) > MAX_AGENTS:
            self._agent_ids.popitem(last=False)


def _following_several(hits: Sequence[Hit], kinds: Sequence[Kind]) -> list[tuple[int, int, str]]:
    """Who followed more than one link of a mail in these hits: run, email_id and address."""
    links: dict[tuple[int, int, str], set[int]] = {}
    for hit, kind in zip(hits, kinds, strict=True):
        if hit.link_id is not None and hit.ip is not None and kind is Kind.PERSON:
            links.setdefault((hit.run_id, hit.email_id, hit.ip), set()).add(hit.link_id)
    return [who for who, followed in links.items() if len(followed) > 1]
