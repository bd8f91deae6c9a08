#!/usr/bin/env python3
"""How fast does a campaign go out, beside Postfix relaying ready-made mails, and beside the bare signing
limit?

Four questions, on one machine, to one `smtp-sink`:

- rate: N recipients, 4 KB of HTML with five variables and three tracked links, a picture that tells of
opens, each mail rendered and signed (RSA-2048) for its recipient, its state in the ledger; timed from the
moment the task is asked for to the N-th arrival. Postfix takes N ready-made mails of 4 KB from smtp-source
and relays them, timed the same way. - signing: how many RSA-2048 signatures all cores make in a second when
they do nothing else. - growth: what a mail of a large run costs against one of a small run. - a person's
mail: handed in by SMTP while the campaign runs; how long until it has left.

After each run every recipient must be delivered in the ledger, and the sink must have got exactly N.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import smtplib
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from tests.running import free_port, wait_until

from benchmarks.load import Mails, Pour, Sink, pour
from benchmarks.peers import Postfix, Postroad
from benchmarks.report import Limit, Report
from benchmarks.store import MailLost, Store, describe_disk
from postroad.campaigns.service import Campaigns, open_campaigns
from postroad.campaigns.tasks.requests import Sender, TaskChange
from postroad.campaigns.tasks.states import State
from postroad.config import Edm
from postroad.db.pool import Database
from postroad.directory.passwords import PasswordHashing
from postroad.dns.answers import NameNotFound

SESSIONS = 20
PATIENCE_SECONDS = 1800.0
PARAGRAPH = "<p style='margin:0'>Dear reader, this paragraph is what most of a newsletter is made of.</p>\n"
HTML = (
    "<html><body><h1>Hello {{ name|default('reader') }}</h1>"
    + PARAGRAPH * 38
    + "<p>{{ var1 }} and {{ var2|upper }}, {{ var3 }} for {{ address }}</p>"
    + "".join(f'<a href="https://shop.bench.test/page/{number}">more</a> ' for number in range(3))
    + "</body></html>"
)
TEXT = "Hello, this mail is best read as HTML.\n"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    mails: int
    small: int
    large: int


FULL_PLAN = Plan(rounds=3, mails=100_000, small=10_000, large=1_000_000)
QUICK_PLAN = Plan(rounds=1, mails=4_000, small=2_000, large=4_000)


def main() -> int:
    """Measure and print; 0 when every recipient was delivered exactly once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few mails: within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="disk to measure on")
    parser.add_argument("--large", type=int, help="recipients of the large run")
    arguments = parser.parse_args()
    plan = QUICK_PLAN if arguments.quick else FULL_PLAN
    if arguments.large:
        plan = Plan(plan.rounds, plan.mails, plan.small, arguments.large)
    with tempfile.TemporaryDirectory(prefix="postroad-campaign-", dir=arguments.directory) as name:
        directory = Path(name)
        directory.chmod(0o755)  # both servers' own accounts must get through
        report = measure(directory, plan)
    report.publish(with_json=arguments.json)
    return 0


def measure(directory: Path, plan: Plan) -> Report:
    """Run everything in `directory`."""
    sink_port = free_port()
    mails = Mails(directory, 4)
    report = Report("campaign: rendered and signed for each recipient, to smtp-sink")
    postroad = Postroad(directory / "postroad", sink_port)
    with (
        Postfix(directory / "postfix", sink_port) as postfix,
        Store(postroad.data_dir) as store,
        postroad,
        Office(store) as office,
    ):
        report.notes = [
            f"Postfix {postfix.version}; {os.cpu_count()} cores, {postroad.workers} workers, "
            f"{describe_disk(directory)}; {plan.rounds} interleaved rounds of {plan.mails} mails",
        ]
        rate = report.compare("campaign against ready-made mails", postfix.name, "mails/s", 2.0)
        signing = report.compare("campaign against bare signatures", "signatures", "mails/s", 0.5)
        office.fill(max(plan.mails, plan.small, plan.large))
        office.send(min(500, plan.small), sink_port)  # what is made once is made
        for _ in range(plan.rounds):
            rate.peers.add(_relayed(postfix, plan.mails, sink_port, mails))
            sent = office.send(plan.mails, sink_port)
            rate.ours.add(sent.rate)
            signing.ours.add(sent.rate)
            signing.peers.add(signatures_a_second())
        growth = report.compare(
            f"{plan.large} recipients against {plan.small}, rate", "small run", "mails/s", round(1 / 1.15, 2)
        )
        growth.peers.add(office.send(plan.small, sink_port).rate)
        before = [memory.resident for memory in postroad.worker_memory()]
        large = office.send(plan.large, sink_port, person=postroad.server)
        growth.ours.add(large.rate)
        after = [memory.resident for memory in postroad.worker_memory()]
        report.limits.append(
            Limit("a person's mail during a campaign, slowest", "ms", large.slowest_person * 1000, 1000)
        )
        report.figures["expansion of the large run, s"] = round(large.expansion_seconds, 2)
        report.figures["memory of workers before and after the large run, MiB"] = (
            f"{[each >> 20 for each in before]} {[each >> 20 for each in after]}"
        )
    return report


@dataclass(frozen=True, slots=True)
class Sent:
    """A run that is over."""

    rate: float
    expansion_seconds: float
    slowest_person: float


class _NoDns:
    async def mx(self, domain: str) -> list[Any]:
        raise NameNotFound

    async def txt(self, name: str) -> list[str]:
        raise NameNotFound


class Office:
    """A customer with a list and a template, and ways to send to some of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()
        self._hashing = PasswordHashing()

    def __enter__(self) -> Office:
        self._database = Database(self._store.dsn)
        self._run(self._database.open())
        settings = Edm()
        self._campaigns: Campaigns = open_campaigns(
            self._database, self._hashing, _NoDns(), settings, "bench.test"
        )
        self._run(self._found())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._database.close())
        self._hashing.close()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._loop.run_until_complete(work)

    async def _found(self) -> None:
        campaigns = self._campaigns
        customer = await campaigns.accounts.add("bench", "correct horse 9", volume=1_000_000_000)
        self._customer = customer.id
        await campaigns.domains.add(customer.id, "customer.bench.test")
        await campaigns.domains.vouch(customer.id, "customer.bench.test")
        await campaigns.mailboxes.add(customer.id, "news@customer.bench.test", "correct horse 9")
        self._list = await campaigns.lists.add(customer.id, "readers")
        self._template = await campaigns.templates.add(
            customer.id, "letter", ["News for {{ name }}"], HTML, plain=TEXT, encoding="quoted-printable"
        )
        await campaigns.checks.run_all()

    def fill(self, count: int) -> None:
        """Write so many contacts."""
        self._run(
            self._database.execute(
                "INSERT INTO contact (customer_id, list_id, address, fullname, vars) "
                "SELECT $1, $2, 'reader' || n || '@foreign.test', 'Reader ' || n, "
                "ARRAY['one' || n, 'two' || n, 'three' || n] FROM generate_series(1, $3::int) AS n",
                self._customer,
                self._list,
                count,
            )
        )
        self._run(self._database.execute("VACUUM ANALYZE contact"))

    def send(self, count: int, sink_port: int, person: str | None = None) -> Sent:
        """Send to the first `count`; with `person`, mails of a person are handed in there meanwhile."""
        asked = TaskChange(
            template_ids=[self._template],
            list_ids=[self._list],
            sender=Sender("address", "news@customer.bench.test"),
            sender_name="News",
            range_start=1,
            range_end=count,
            wish=State.SENDING,
            track=2,
        )
        with Sink(sink_port) as sink:
            begun = time.perf_counter()
            task = self._run(self._campaigns.tasks.add(self._customer, asked))
            others = _People(person, self._store) if person else None
            if others is not None:
                others.start()
            _, last = sink.wait_for(count, PATIENCE_SECONDS)
            personal = others.end() if others is not None else []
            wait_until(
                lambda: self._store.value("SELECT state FROM task WHERE id = $1", task) == State.FINISHED,
                120,
                "the task did not finish",
            )
            delivered = self._store.value(
                "SELECT count(*) FROM recipient r JOIN run n ON n.id = r.run_id AND n.shelf = r.shelf "
                "WHERE n.task_id = $1 AND r.state = 2",
                task,
            )
            arrived = sink.count - len(personal)
            if delivered != count or arrived != count:
                raise MailLost(f"of {count}, {delivered} are delivered in the ledger and {arrived} arrived")
        expansion = self._run(
            self._database.fetchval(
                "SELECT extract(epoch FROM n.expanded_at - t.created_at)::float8 FROM run n "
                "JOIN task t ON t.id = n.task_id WHERE t.id = $1",
                task,
            )
        )
        return Sent(count / (last - begun), expansion, max(personal, default=0.0))


class _People:
    """Somebody who writes a mail every now and then while a campaign runs."""

    def __init__(self, server: str, store: Store) -> None:
        self._server = server
        self._store = store
        self._stop = threading.Event()
        self._seconds: list[float] = []
        self._thread = threading.Thread(target=self._write, name="person")

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def end(self) -> list[float]:
        """Stop; how long each mail took to leave."""
        self._stop.set()
        self._thread.join()
        return self._seconds

    def _write(self) -> None:
        host, _, port = self._server.rpartition(":")
        with asyncio.Runner() as runner:
            database = Database(self._store.dsn, max_size=1)
            runner.run(database.open())
            while not self._stop.wait(0.5):
                with smtplib.SMTP(host, int(port)) as client:
                    begun = time.perf_counter()
                    client.sendmail(
                        "lin@customer.bench.test", ["person@foreign.test"], "Subject: hello\r\n\r\nhello\r\n"
                    )
                    while runner.run(database.fetchval("SELECT count(*) FROM queue_recipient")):
                        time.sleep(0.005)
                    self._seconds.append(time.perf_counter() - begun)
            runner.run(database.close())


def _relayed(postfix: Postfix, count: int, sink_port: int, mails: Mails) -> float:
    with Sink(sink_port) as sink:
        begun = time.perf_counter()
        pour(postfix.server, Pour(count, SESSIONS, ("buyer@foreign.test",) * 4), mails)
        _, last = sink.wait_for(count, PATIENCE_SECONDS)
        postfix.wait_idle()
        return count / (last - begun)


def signatures_a_second(seconds: float = 2.0) -> float:
    """RSA-2048 signatures of all cores together."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        return sum(pool.map(_sign_for, [seconds] * cores))


def _sign_for(seconds: float) -> float:
    key = generate_private_key(65_537, 2048)
    data = b"x" * 600
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        count += 1
    return count / (time.perf_counter() - begun)


if __name__ == "__main__":
    raise SystemExit(main())
