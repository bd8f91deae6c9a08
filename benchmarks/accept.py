#!/usr/bin/env python3
"""How fast is mail taken in, durably, beside Postfix on the same disk with the same load?

4 KB mails into local accounts from 20 sessions and from one. Postfix flushes its queue file before each 250
and then discards the mail; Postroad commits it into the recipient's inbox before each 250. Timed: first
connection to last 250. After each of our rounds the store is counted: every acknowledged mail must be there.
Also: does an account that holds 100,000 mails slow it down, and how much memory does a worker take?
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.load import Mails, Pour, pour
from benchmarks.peers import DOMAIN, Postfix, Postroad
from benchmarks.report import Comparison, Limit, Report
from benchmarks.store import Store, describe_disk

NAMES = tuple(f"user{number}" for number in range(4))
ACCOUNTS = tuple(f"{name}@{DOMAIN}" for name in NAMES)
FULL = f"full@{DOMAIN}"
MEMORY_BOUND_MEBIBYTES = 150


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    messages: int  # a round at 20 sessions
    messages_of_one: int  # a round at one session
    held: int  # mails in the full account


FULL_PLAN = Plan(rounds=5, messages=6000, messages_of_one=2000, held=100_000)
QUICK_PLAN = Plan(rounds=2, messages=1200, messages_of_one=400, held=50_000)


def main() -> int:
    """Measure and print; 0 when everything acknowledged was found in the store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="disk to measure on")
    arguments = parser.parse_args()
    plan = QUICK_PLAN if arguments.quick else FULL_PLAN
    with tempfile.TemporaryDirectory(prefix="postroad-accept-", dir=arguments.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # both servers' own accounts must get through
        report = measure(directory, plan)
    report.publish(with_json=arguments.json)
    return 0


def measure(directory: Path, plan: Plan) -> Report:
    """Run both servers in turn in `directory`."""
    postroad = Postroad(directory / "postroad")
    postroad.add_accounts([*NAMES, "full", *(f"fresh{number}" for number in range(plan.rounds))])
    mails = Mails(directory, len(ACCOUNTS))
    report = Report("accept: 4 KB mails into local accounts, durable")
    with Postfix(directory / "postfix") as postfix, Store(postroad.data_dir) as store, postroad:
        report.notes = [
            f"Postfix {postfix.version}, load: smtp-source; {os.cpu_count()} cores,"
            f" {postroad.workers} workers, {describe_disk(directory)};"
            f" medians of {plan.rounds} interleaved rounds (lowest-highest)",
        ]
        started = time.perf_counter()
        store.fill(FULL, plan.held)
        report.figures[f"filling the account of {plan.held:,} mails, s"] = round(
            time.perf_counter() - started, 1
        )
        questions = [
            (
                report.compare("accept, 20 sessions, 4 accounts", postfix.name, "mails/s", 3.0),
                Pour(plan.messages, 20, ACCOUNTS),
            ),
            (
                report.compare("accept, 20 sessions, 1 account", postfix.name, "mails/s", 3.0),
                Pour(plan.messages, 20, ACCOUNTS[:1]),
            ),
            (
                report.compare("accept, 1 session", postfix.name, "mails/s", 1.5),
                Pour(plan.messages_of_one, 1, ACCOUNTS[:1]),
            ),
        ]
        for server in (postfix.server, postroad.server):
            pour(server, Pour(200, 20, ACCOUNTS), mails)
        for _ in range(plan.rounds):
            for comparison, what in questions:
                postfix.wait_idle()
                comparison.peers.add(what.messages / pour(postfix.server, what, mails))
                postfix.wait_idle()
                comparison.ours.add(pour_and_count(postroad, store, what, mails))
        held = report.compare(
            f"accept into an account of {plan.held:,} mails", "(an empty account)", "mails/s", 0.9
        )
        compare_held(held, postroad, store, plan, mails)
        memory = postroad.worker_memory()
    largest = max(one.resident for one in memory) / 2**20
    report.limits.append(Limit("memory of the largest worker", "MiB RSS", largest, MEMORY_BOUND_MEBIBYTES))
    report.figures["memory of a worker, MiB RSS / PSS"] = ", ".join(map(str, memory))
    report.figures["mails acknowledged and found in the store"] = store.verified
    return report


def fresh(number: int) -> str:
    """The account that is empty in that round."""
    return f"fresh{number}@{DOMAIN}"


def compare_held(held: Comparison, postroad: Postroad, store: Store, plan: Plan, mails: Mails) -> None:
    """Pour into the full account and into an empty one, in turn, and each first in every other round."""
    for number in range(plan.rounds):
        sides = [(held.ours, FULL), (held.peers, fresh(number))]
        for series, address in sides if number % 2 else reversed(sides):
            series.add(pour_and_count(postroad, store, Pour(plan.messages, 20, (address,)), mails))


def pour_and_count(postroad: Postroad, store: Store, what: Pour, mails: Mails) -> float:
    """Pour into ours, hold the store to what was acknowledged, wait for its indexer, give mails a second."""
    before = store.count(what.recipients)
    rate = what.messages / pour(postroad.server, what, mails)
    store.verify(what.recipients, before, what.messages)
    store.wait_idle()
    return rate


if __name__ == "__main__":
    raise SystemExit(main())
