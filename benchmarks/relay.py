#!/usr/bin/env python3
"""How fast does accepted mail leave through a smart host, beside Postfix doing the same?

Two questions, each asked of both servers in the same way, N mails of 4 KB for a foreign domain:

- drained: the sink is stopped, N mails are accepted (not timed), the sink is let go; timed from then to the
  N-th mail's arrival. Both servers have the mails in their queues and their first connections waiting.
- end to end: the sink runs; timed from the source's first connection to the N-th mail's arrival at the sink.

After each round the queue must be empty and the sink must have got exactly N.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.running import free_port

from benchmarks.load import Mails, Pour, Sink, pour
from benchmarks.peers import Postfix, Postroad
from benchmarks.report import Report
from benchmarks.store import MailLost, Store, describe_disk

SESSIONS = 20
RECIPIENTS = tuple(f"buyer{number}@foreign.test" for number in range(4))
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    messages: int


FULL_PLAN = Plan(rounds=5, messages=6000)
QUICK_PLAN = Plan(rounds=2, messages=1500)


@dataclass(frozen=True, slots=True)
class Side:
    """One server as a round sees it."""

    server: str
    wait_idle: Callable[[], None]


def main() -> int:
    """Measure and print; 0 when the sink got every mail exactly once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="disk to measure on")
    arguments = parser.parse_args()
    plan = QUICK_PLAN if arguments.quick else FULL_PLAN
    with tempfile.TemporaryDirectory(prefix="postroad-relay-", dir=arguments.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # both servers' own accounts must get through
        report = measure(directory, plan)
    report.publish(with_json=arguments.json)
    return 0


def measure(directory: Path, plan: Plan) -> Report:
    """Run both servers in turn in `directory`."""
    sink_port = free_port()
    mails = Mails(directory, len(RECIPIENTS))
    report = Report("relay: accepted 4 KB mails to smtp-sink through a smart host")
    postroad = Postroad(directory / "postroad", sink_port)
    with (
        Postfix(directory / "postfix", sink_port) as postfix,
        Store(postroad.data_dir) as store,
        postroad,
    ):
        report.notes = [
            f"Postfix {postfix.version}, load: smtp-source at {SESSIONS} sessions; {os.cpu_count()} cores,"
            f" {postroad.workers} workers, {describe_disk(directory)};"
            f" medians of {plan.rounds} interleaved rounds of {plan.messages} mails (lowest-highest)",
            "drained: from the sink's release to the last arrival; end to end: from first connection to last",
        ]
        sides = (Side(postfix.server, postfix.wait_idle), Side(postroad.server, store.wait_idle))
        drained = report.compare("relay, queue drained", postfix.name, "mails/s", 3.0)
        through = report.compare("relay, end to end", postfix.name, "mails/s", 3.0)
        for side in sides:
            end_to_end(side, 200, sink_port, mails)
        for _ in range(plan.rounds):
            for comparison, question in ((drained, drain), (through, end_to_end)):
                for series, side in zip((comparison.peers, comparison.ours), sides, strict=True):
                    series.add(question(side, plan.messages, sink_port, mails))
        memory = postroad.worker_memory()
    report.figures["memory of a worker, MiB RSS / PSS"] = ", ".join(map(str, memory))
    return report


def drain(side: Side, messages: int, sink_port: int, mails: Mails) -> float:
    """Mails a second out of a full queue."""
    with Sink(sink_port) as sink:
        sink.hold()
        pour(side.server, Pour(messages, SESSIONS, RECIPIENTS), mails)
        released = sink.release()
        _, last = sink.wait_for(messages, PATIENCE_SECONDS)
        _settle(side, sink, messages)
        return messages / (last - released)


def end_to_end(side: Side, messages: int, sink_port: int, mails: Mails) -> float:
    """Mails a second through the whole server."""
    with Sink(sink_port) as sink:
        started = time.perf_counter()
        pour(side.server, Pour(messages, SESSIONS, RECIPIENTS), mails)
        _, last = sink.wait_for(messages, PATIENCE_SECONDS)
        _settle(side, sink, messages)
        return messages / (last - started)


def _settle(side: Side, sink: Sink, messages: int) -> None:
    side.wait_idle()
    if sink.count != messages:
        raise MailLost(f"{messages} mails were accepted, the sink got {sink.count}")


if __name__ == "__main__":
    raise SystemExit(main())
