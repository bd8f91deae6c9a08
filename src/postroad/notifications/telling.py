"""The work behind receivers: mails are fanned out to them, lines claimed and told, outcomes written down.

Runs in every worker of every server. Each receiver has places of its own, so one that hangs or is dead delays
no other. A mail is told of at least once, those of one account in the order in which they came.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import structlog

from postroad.config import Notifications
from postroad.db.notify import Listener
from postroad.db.pool import Database, DatabaseUnavailable
from postroad.events.outbox import CHANNEL
from postroad.events.reader import EventReader
from postroad.mailstore.errors import MailStoreError, NoSuchMessage
from postroad.notifications.calling import CallFailed
from postroad.notifications.documents import Document, as_json, as_xml
from postroad.notifications.files import Aside, NotWritten, stem_of, write_files
from postroad.notifications.lines import BATCH, Line, Lines, Notification, Tried
from postroad.notifications.receivers import Receiver, Receivers, UnknownReceiver
from postroad.notifications.signing import signed_headers
from postroad.notifications.ways import Ways

READER = "notifications"
EVENTS = 500  # fanned out in one transaction
PASS_SECONDS = 30.0  # how often a server without receivers lets go of events
LOOK_SECONDS = 1.0  # should an announcement be lost; and other workers' lines come due
RETRY_SECONDS = 1.0  # after the database was away
FIRST_AGAIN = 2.0  # seconds until a receiver that failed is told again, twice as long each time
LAST_AGAIN = 1800.0
PING = "ping"

log = structlog.get_logger("postroad.notifications")


class Failed(Exception):
    """A receiver did not take it; the message says why."""


class Hears(Protocol):
    """Where announcements are heard (`db.notify.Listener`)."""

    def add(self, channel: str, callback: Callable[[str | None], None]) -> None: ...
    def remove(self, channel: str, callback: Callable[[str | None], None]) -> None: ...


class Telling:
    """Tells receivers."""

    def __init__(
        self,
        database: Database,
        lines: Lines,
        receivers: Receivers,
        ways: Ways,
        settings: Notifications,
        listener: Listener | Hears | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._lines = lines
        self._receivers = receivers
        self._ways = ways
        self._settings = settings
        self._listener = listener
        self._monotonic = monotonic
        self._reader = EventReader(database, READER)
        self._has_receivers = True
        self._passed_at: float | None = None
        self._news = asyncio.Event()
        self._due = asyncio.Event()
        self._at_work: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asides: dict[str, Aside] = {}

    async def run(self) -> None:
        """Fan out and tell, until cancelled."""
        if self._listener is not None:
            self._listener.add(CHANNEL, self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep(self.fan_out, self._news))
                group.create_task(self._keep(self.begin, self._due))
        finally:
            if self._listener is not None:
                self._listener.remove(CHANNEL, self._hear)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hear(self, _payload: str | None) -> None:
        # A server that tells nobody does nothing for each mail: it looks now and then whether that is so.
        if self._has_receivers:
            self._news.set()

    async def _keep(self, work: Callable[[], Awaitable[int]], wake: asyncio.Event) -> None:
        while True:
            wake.clear()  # before the look: what comes meanwhile wakes us again
            pause = LOOK_SECONDS
            try:
                while await work():
                    pass
            except DatabaseUnavailable as error:
                log.warning("notifications_put_off", reason=str(error))
                pause = RETRY_SECONDS
            except Exception:
                log.exception("notifications_failed")
                pause = RETRY_SECONDS
            try:
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):  # noqa: S311
                    await wake.wait()
            except TimeoutError:
                continue

    async def fan_out(self) -> int:
        """Give what happened to the receivers it concerns; returns how many events there were."""
        self._has_receivers = await self._lines.has_receivers()
        if not self._has_receivers:
            await self._pass_over()
            return 0
        async with self._reader.claim(EVENTS) as claim:
            if claim.events:
                async with claim.settling() as connection:
                    await self._lines.fan_out_in(connection, claim.events)
        if claim.events:
            self._due.set()
        return len(claim.events)

    async def _pass_over(self) -> None:
        now = self._monotonic()
        if self._passed_at is None or now - self._passed_at >= PASS_SECONDS:
            self._passed_at = now
            await self._lines.pass_over(READER)

    async def begin(self) -> int:
        """Claim lines that are due, as many as each receiver has places for; returns how many."""
        begun = 0
        for receiver_id in await self._lines.receivers_due():
            places = self._settings.at_once - self._at_work[receiver_id]
            if places <= 0:
                continue
            for line in await self._lines.claim(receiver_id, places):
                self._at_work[receiver_id] += 1
                task = asyncio.create_task(self._tell_line(line), name=f"receiver {receiver_id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                begun += 1
        return begun

    async def _tell_line(self, line: Line) -> None:
        try:
            await self.tell_line(line)
        except (DatabaseUnavailable, UnknownReceiver) as error:
            log.warning("line_left", receiver=line.receiver_id, reason=str(error))  # it comes due by itself
        except Exception:
            log.exception("line_failed", receiver=line.receiver_id, account=line.account_id)
        finally:
            self._at_work[line.receiver_id] -= 1
            if not self._at_work[line.receiver_id]:
                del self._at_work[line.receiver_id]
            self._due.set()

    async def tell_line(self, line: Line) -> None:
        """Tell one receiver of the mails of one account that wait, the oldest first, up to one that fails."""
        began = self._monotonic()
        # What is begun must be over, and written down, before the claim ends.
        enough = self._lines.claim_seconds - 2 * self._ways.timeout_seconds
        receiver = await self._receivers.get(line.receiver_id)
        waiting = await self._lines.read(line)
        tried: list[Tried] = []
        for notification in waiting:
            try:
                said = await self.tell(receiver, notification)
                tried.append(Tried(notification.event_id, "delivered", said))
            except Failed as failure:
                is_over = receiver.kind == "webhook" and notification.age > self._patience
                tried.append(Tried(notification.event_id, "given up" if is_over else "failed", str(failure)))
                if not is_over:
                    break
            if self._monotonic() - began > enough:
                break
        has_more = len(tried) < len(waiting) or len(waiting) == BATCH
        is_ours = await self._lines.settle(
            line,
            tried,
            has_more=has_more,
            again_in=again_in(line.failures, random.random()),  # noqa: S311
        )
        self._note(receiver, tried, is_ours=is_ours)

    @property
    def _patience(self) -> timedelta:
        return timedelta(hours=self._settings.give_up_hours)

    async def tell(self, receiver: Receiver, notification: Notification) -> str:
        """Tell a receiver of one mail; returns what it said. Raises `Failed`."""
        try:
            document = await self._ways.documents.of(notification)
            if receiver.kind == "files":
                return await self._write(receiver, notification, document)
            return await self._call(
                receiver, f"mail_{receiver.id}_{notification.event_id}", "mail.arrived", document
            )
        except MailStoreError as error:
            raise Failed(f"the mail cannot be read now: {error}") from error

    async def ping(self, receiver: Receiver) -> str:
        """Try a receiver without any mail; returns what it said. Raises `Failed`."""
        if receiver.kind == "files":
            directory = Path(receiver.target)
            await self._aside(receiver, lambda: write_files(directory, {PING: b""}))
            await self._aside(receiver, (directory / PING).unlink)
            return "written"
        return await self._call(
            receiver, f"ping_{receiver.id}_{self._ways.clock().timestamp():.6f}", PING, {}
        )

    async def _call(self, receiver: Receiver, message_id: str, kind: str, document: Document) -> str:
        body = as_json({"type": kind, "timestamp": document.get("received_at"), "data": document})
        at = int(self._ways.clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Postroad",
            **signed_headers(message_id, at, body, receiver.secrets),
        }
        try:
            reply = await self._ways.caller.post(receiver.target, headers, body)
        except CallFailed as failure:
            raise Failed(str(failure)) from failure
        if not reply.is_success:
            raise Failed(f"{reply.status} {reply.beginning}".strip())
        return str(reply.status)

    async def _write(self, receiver: Receiver, notification: Notification, document: Document) -> str:
        stem = stem_of(notification.arrived_at, str(document["account"]), notification.event_id)
        files: dict[str, bytes] = {}
        if receiver.with_raw:
            try:
                content = await self._ways.messages.content(notification.message_id)
                files[f"{stem}.eml"] = content.prefix + content.body
                document["eml"] = f"{stem}.eml"
            except NoSuchMessage:
                pass  # removed since; what was kept of it is told
        made = as_json(document) if receiver.form == "json" else as_xml(document)
        files[f"{stem}.{receiver.form}"] = made  # last: whoever sees it finds the mail beside it
        directory = Path(receiver.target)
        await self._aside(receiver, lambda: write_files(directory, files))
        return f"{stem}.{receiver.form}"

    async def _aside(self, receiver: Receiver, work: Callable[[], None]) -> None:
        aside = self._asides.setdefault(receiver.target, Aside())
        try:
            await aside.run(work, self._ways.timeout_seconds)
        except NotWritten as error:
            raise Failed(str(error)) from error

    def _note(self, receiver: Receiver, tried: Sequence[Tried], *, is_ours: bool) -> None:
        for each in tried:
            if each.outcome == "delivered":
                log.debug("notification_delivered", receiver=receiver.id, event_id=each.event_id)
            else:
                log.warning(
                    "notification_failed", receiver=receiver.id, event_id=each.event_id, outcome=each.outcome,
                    reason=each.detail,
                )  # fmt: skip
        if not is_ours:
            log.warning("notification_claim_lost", receiver=receiver.id)


def again_in(failures: int, jitter: float) -> timedelta:
    """How long a line waits after another failure; `jitter` in [0, 1) keeps receivers from going in step."""
    seconds = min(FIRST_AGAIN * 2.0 ** min(failures, 20), LAST_AGAIN)
    return timedelta(seconds=seconds * (0.75 + 0.5 * jitter))
