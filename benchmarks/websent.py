#!/usr/bin/env python3
"""How fast do rows of `websent` become delivered mails, beside the same mails handed in by SMTP?

HTML mails to local accounts. By SQL: one connection of the OA's role inserts rows, a hundred a commit; timed
from the first INSERT until no row is left to be sent. By SMTP: Postfix's `smtp-source` with 20 sessions hands
in the very mail that a row became, as a client that may relay; timed from the first connection to the last
250. After each round the store is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import configparser
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import asyncpg

from benchmarks.load import Mails, Pour, pour
from benchmarks.peers import DOMAIN, Postroad
from benchmarks.report import Report
from benchmarks.store import Store, describe_disk

NAMES = tuple(f"user{number}" for number in range(4))
ACCOUNTS = tuple(f"{name}@{DOMAIN}" for name in NAMES)
SENDER = f"sender@{DOMAIN}"
ROWS_A_COMMIT = 100
SESSIONS = 20
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 120.0
BODY = "<p>您好，附上本季度的采购清单与报价，请确认。 Please confirm the list by Friday.</p>\n" * 20

INSERT = """
INSERT INTO websent (MailId, Account, MailTo, MailSubject, MailBodyType, MailBodyHtml)
SELECT 'BB' || lpad(n::text, 10, '0'), $1, ($2::text[])[n % 4 + 1], '采购单 ' || n, 1, $3
FROM generate_series($4::integer, $5::integer) AS n
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    messages: int


FULL_PLAN = Plan(rounds=5, messages=4000)
QUICK_PLAN = Plan(rounds=3, messages=1200)


def main() -> int:
    """Measure and print; 0 when everything was found in the store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="disk to measure on")
    arguments = parser.parse_args()
    plan = QUICK_PLAN if arguments.quick else FULL_PLAN
    with tempfile.TemporaryDirectory(prefix="postroad-websent-", dir=arguments.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL's account must get through
        report = measure(directory, plan)
    report.publish(with_json=arguments.json)
    return 0


def measure(directory: Path, plan: Plan) -> Report:
    """Hand mails in both ways in turn."""
    postroad = Postroad(directory / "postroad")
    postroad.add_accounts([*NAMES, "sender"])
    report = Report("websent: rows to delivered local mails")
    with Store(postroad.data_dir) as store, postroad:
        report.notes = [
            f"{os.cpu_count()} cores, {postroad.workers} workers, {describe_disk(directory)};"
            f" medians of {plan.rounds} interleaved rounds (lowest-highest)"
        ]
        rows = Rows(postroad.data_dir)
        rows.send(200)
        mails = Mails(directory, len(ACCOUNTS))
        for file in mails.files:
            file.write_bytes(store.newest(ACCOUNTS[0]).replace(b"\r\n", b"\n"))
        report.figures["size of a mail, bytes"] = len(mails.files[0].read_bytes())
        what = Pour(plan.messages, SESSIONS, ACCOUNTS)
        pour(postroad.server, Pour(200, SESSIONS, ACCOUNTS), mails)
        comparison = report.compare("rows to local mails", "by SMTP", "mails/s", 0.8)
        for _ in range(plan.rounds):
            store.wait_idle()
            before = store.count(ACCOUNTS)
            comparison.peers.add(plan.messages / pour(postroad.server, what, mails))
            store.verify(ACCOUNTS, before, plan.messages)
            store.wait_idle()
            before = store.count(ACCOUNTS)
            comparison.ours.add(plan.messages / rows.send(plan.messages))
            store.verify(ACCOUNTS, before, plan.messages)
        rows.close()
    report.figures["mails handed in and found in the store"] = store.verified
    return report


class Rows:
    """The OA: connected with what `mailserver.ini` says."""

    def __init__(self, data_dir: Path) -> None:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(data_dir / "mailserver.ini", encoding="utf-8")
        own = parser["Database"]
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(
            asyncpg.connect(
                host=own["DataSource"],
                port=int(own["Port"]),
                database=own["DatabaseName"],
                user=own["UserId"],
                password=own["Password"],
            )
        )
        self._next = 0

    def send(self, count: int) -> float:
        """Insert so many rows and wait until all are sent; returns the seconds. Raises `TimeoutError`."""
        return self._loop.run_until_complete(self._send(count))

    async def _send(self, count: int) -> float:
        started = time.perf_counter()
        for start in range(0, count, ROWS_A_COMMIT):
            size = min(ROWS_A_COMMIT, count - start)
            await self._connection.execute(
                INSERT, SENDER, list(ACCOUNTS), BODY, self._next, self._next + size - 1
            )
            self._next += size
        while await self._connection.fetchval("SELECT EXISTS (SELECT FROM websent WHERE MailStatus = 1)"):
            if time.perf_counter() - started > PATIENCE_SECONDS:
                raise TimeoutError("the rows are not sent")
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - started
        left = await self._connection.fetchval("SELECT count(*) FROM websent WHERE MailStatus <> 0")
        if left:
            raise RuntimeError(f"{left} rows were not sent")
        return seconds

    def close(self) -> None:
        """End the connection."""
        self._loop.run_until_complete(self._connection.close())
        self._loop.close()


if __name__ == "__main__":
    raise SystemExit(main())
