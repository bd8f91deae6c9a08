#!/usr/bin/env python3
"""What does it cost an OA to ask for new mail, with a hundred accounts on the server and with fifty thousand?

Two servers, the same account with the same mails on each; the OA's role asks for its count over and over, on
a connection of its own, without prepared statements, so that each question is planned anew as an OA's are.
They take turns every few questions.
"""

from __future__ import annotations

import argparse
import asyncio
import configparser
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import asyncpg
from tests.running import RunningServer

from benchmarks.peers import DOMAIN
from benchmarks.report import Report
from benchmarks.store import describe_disk
from postroad.db.cluster import Cluster

ASKED = f"user7@{DOMAIN}"
MAILS = 200  # of the account that is asked for; every third is unread
ACCOUNTS_A_COMMIT = 5000
QUESTIONS_A_TURN = 5

ADD = """
WITH added AS (
    INSERT INTO account (domain_id, address)
    SELECT (SELECT id FROM domain WHERE name = $1), 'user' || n || '@' || $1
    FROM generate_series($2::integer, $3::integer) AS n RETURNING id
)
SELECT array_agg(id) FROM added
"""
FOLDERS = """
INSERT INTO folder (account_id, name, role)
SELECT id, r.name, r.role FROM unnest($1::bigint[]) AS id,
    (VALUES ('INBOX', 'inbox'), ('Sent', 'sent'), ('Drafts', 'drafts'), ('Trash', 'trash')) AS r(name, role)
"""
ENTRIES = """
INSERT INTO entry (folder_id, uid, account_id, message_id, mod_sequence, flags, received_at, size_bytes)
SELECT f.id, n, f.account_id, f.id * 1000 + n, 1, CASE WHEN n % 3 = 0 THEN 0 ELSE 1 END, now(), 4096
FROM folder f JOIN account a ON a.id = f.account_id,
    generate_series(1, CASE WHEN a.address = $1 THEN $2::integer ELSE $3::integer END) AS n
WHERE f.role = 'inbox'
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `others` are the mails of every other account."""

    rounds: int
    seconds: float
    others: int


FULL_PLAN = Plan(rounds=9, seconds=1.0, others=20)
QUICK_PLAN = Plan(rounds=5, seconds=0.4, others=2)
FEW, MANY = 100, 50_000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="disk to measure on")
    arguments = parser.parse_args()
    plan = QUICK_PLAN if arguments.quick else FULL_PLAN
    with tempfile.TemporaryDirectory(prefix="postroad-counts-", dir=arguments.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL's account must get through
        report = asyncio.run(measure(directory, plan))
    report.publish(with_json=arguments.json)
    return 0


async def measure(directory: Path, plan: Plan) -> Report:
    """Ask both servers in turn."""
    report = Report("oa_counts: counts for one account, with few and with many accounts beside it")
    report.notes = [
        f"{os.cpu_count()} cores, {describe_disk(directory)}; {MAILS} mails in the account;"
        f" medians of {plan.rounds} interleaved rounds (lowest-highest)"
    ]
    with ExitStack() as stack:
        servers = []
        for accounts in (FEW, MANY):
            server = RunningServer(directory / str(accounts), doors=("http",), workers=1)
            stack.enter_context(server)
            server.add_domain(DOMAIN)
            started = time.perf_counter()
            await fill(server.data_dir, accounts, plan.others)
            report.figures[f"adding {accounts:,} accounts with their views, s"] = round(
                time.perf_counter() - started, 1
            )
            servers.append(await connect(server.data_dir))
        few, many = servers
        number = await few.fetchval("SELECT accseqno FROM ldap WHERE account = $1", ASKED)
        assert number == await many.fetchval("SELECT accseqno FROM ldap WHERE account = $1", ASKED)
        own = f"X{number:06d}mail"
        questions = [
            ("new mail, webreceive", f"SELECT count(*) FROM webreceive WHERE account='{ASKED}' AND isread=0"),
            ("new mail, X view", f"SELECT count(*) FROM {own} WHERE account='{ASKED}' AND isread=0"),
            ("all mail, webreceive", f"SELECT count(*) FROM webreceive WHERE account='{ASKED}'"),
            ("its number, ldap", f"SELECT accseqno FROM ldap WHERE account='{ASKED}'"),
        ]
        for what, question in questions:
            goal = None if "ldap" in what else 0.9  # of counts; the number is asked for once
            comparison = report.compare(what, f"({FEW} accounts)", "counts/s", goal)
            assert await few.fetchval(question) == await many.fetchval(question)
            for _ in range(plan.rounds):
                rate_few, rate_many = await ask((few, many), question, plan.seconds)
                comparison.peers.add(rate_few)
                comparison.ours.add(rate_many)
        for connection in servers:
            await connection.close()
    return report


async def ask(
    servers: tuple[asyncpg.Connection[asyncpg.Record], asyncpg.Connection[asyncpg.Record]],
    question: str,
    seconds: float,
) -> tuple[float, float]:
    """Ask both for so long each; returns how often a second each answered.

    They take turns every few questions: whatever else the machine does then costs both the same.
    """
    passed = [0.0, 0.0]
    answered = [0, 0]
    turn = 0
    while min(passed) < seconds:
        turn += 1
        for side in (0, 1) if turn % 2 else (1, 0):
            started = time.perf_counter()
            for _ in range(QUESTIONS_A_TURN):
                await servers[side].fetchval(question)
            passed[side] += time.perf_counter() - started
            answered[side] += QUESTIONS_A_TURN
    return answered[0] / passed[0], answered[1] / passed[1]


async def connect(data_dir: Path) -> asyncpg.Connection[asyncpg.Record]:
    """Connect as the OA does, with what `mailserver.ini` says."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(data_dir / "mailserver.ini", encoding="utf-8")
    own = parser["Database"]
    return await asyncpg.connect(
        host=own["DataSource"],
        port=int(own["Port"]),
        database=own["DatabaseName"],
        user=own["UserId"],
        password=own["Password"],
        statement_cache_size=0,
    )


async def fill(data_dir: Path, accounts: int, others: int) -> None:
    """Make accounts with folders and mails, in the database itself; their views come by its triggers."""
    dsn = Cluster(data_dir).dsn
    starts = list(range(1, accounts + 1, ACCOUNTS_A_COMMIT))
    # The first before the others: the account that is asked for has the same number on both servers.
    await add(dsn, starts[:1], accounts)
    await asyncio.gather(add(dsn, starts[1::2], accounts), add(dsn, starts[2::2], accounts))
    connection = await asyncpg.connect(dsn)
    await connection.execute(ENTRIES, ASKED, MAILS, others)
    await connection.execute("VACUUM ANALYZE account, folder, entry")
    await connection.close()


async def add(dsn: str, starts: Sequence[int], accounts: int) -> None:
    """Add the accounts that begin at these numbers, a few thousand a transaction."""
    connection = await asyncpg.connect(dsn)
    for first in starts:
        last = min(first + ACCOUNTS_A_COMMIT - 1, accounts)
        async with connection.transaction():
            ids: Sequence[int] = await connection.fetchval(ADD, DOMAIN, first, last)
            await connection.execute(FOLDERS, ids)
    await connection.close()


if __name__ == "__main__":
    raise SystemExit(main())
