"""Transport of one worker, put together: what takes mail, what delivers it, what looks after the queue.

Only composition; the composition root hands in the parts of other rooms and enters the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from postroad.config import Settings
from postroad.db.group_commit import GroupCommit
from postroad.db.notify import Listener
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.directory.addresses.resolver import Resolver
from postroad.dns.lookups import Lookups
from postroad.events.outbox import Outbox
from postroad.mailstore.changes import ChangeSink
from postroad.mailstore.messages import Content, Messages
from postroad.mailstore.quota import Quota
from postroad.protocols.smtp.auth import Credentials
from postroad.transport.accepting.acceptance import Acceptance
from postroad.transport.accepting.joining import Joining
from postroad.transport.accepting.notices import Notices
from postroad.transport.accepting.plan import QUEUE_CHANNEL, REOPEN, Announce, Plan, PlanWriter
from postroad.transport.accepting.planning import Planner
from postroad.transport.accepting.routing import Router
from postroad.transport.accepting.sending import Submission
from postroad.transport.accepting.signing import Keys, Signing
from postroad.transport.delivery.connections import Timeouts
from postroad.transport.delivery.connector import Connector
from postroad.transport.delivery.destinations import Destinations, OwnDoor, split_host_port
from postroad.transport.delivery.dispatcher import Books, Dispatcher, DispatchLimits
from postroad.transport.delivery.limits import Backoff
from postroad.transport.delivery.outcomes import Attempted
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.retry import Schedule
from postroad.transport.queue.queued_mails import QueuedMails
from postroad.transport.queue.rows import Leased, Queue
from postroad.transport.queue.settlement import Settlement


class _LateOffers:
    """The dispatcher, which is made after those who offer it mail."""

    def __init__(self) -> None:
        self.dispatcher: Dispatcher | None = None

    def reserve(self, route: str, recipients: int, size_bytes: int) -> tuple[int, datetime] | None:
        return None if self.dispatcher is None else self.dispatcher.reserve(route, recipients, size_bytes)

    def take(self, leased: Leased, content: Content) -> None:
        assert self.dispatcher is not None
        self.dispatcher.take(leased, content)

    def forget(self, leased: Leased) -> None:
        assert self.dispatcher is not None
        self.dispatcher.forget(leased)

    def look(self) -> None:
        if self.dispatcher is not None:
            self.dispatcher.look()


class _Watched:
    """Books with somebody who looks over their shoulder."""

    def __init__(self, books: Books, watch: Callable[[Attempted], None]) -> None:
        self._books = books
        self._watch = watch

    def put(self, attempted: Attempted, then: Callable[[], None]) -> None:
        self._watch(attempted)
        self._books.put(attempted, then)

    async def drain(self) -> None:
        await self._books.drain()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What transport stands on."""

    database: Database
    resolver: Resolver
    keys: Keys
    messages: Messages
    quota: Quota
    outbox: Outbox
    changes: ChangeSink
    announcer: Announce
    listener: Listener | None = None
    tasks: TaskSupervisor = field(default_factory=TaskSupervisor)


class Transport:
    """One worker's transport. `async with` starts delivering; leaving drains.

    `acceptance` is the SMTP listeners' acceptor, `submission` what the webmail sends with, `joining` sends in
    the transaction of what asked for it, `queued_mails` is the operator's view. With `delivers` false mail is
    taken and left in the queue: for programs that only hand in.
    """

    def __init__(
        self,
        settings: Settings,
        neighbours: Neighbours,
        clock: Callable[[], datetime],
        *,
        schedule: Schedule | None = None,
        timeouts: Timeouts | None = None,
        backoff: Backoff | None = None,
        limits: DispatchLimits | None = None,
        delivers: bool = True,
        watch: Callable[[Attempted], None] | None = None,
    ) -> None:
        """`schedule`, `timeouts`, `backoff`, `limits` replace what the settings say, for tests. `watch` is
        told of every attempt, for counting."""
        self._neighbours = neighbours
        self._delivers = delivers
        delivery = settings.delivery
        near = neighbours
        schedule = schedule or Schedule(
            lifetime=timedelta(seconds=delivery.lifetime_seconds),
            delay_notice_after=timedelta(seconds=delivery.delay_notice_seconds),
        )
        host, port = split_host_port(settings.listen.smtp, 25)
        self.presence = Presence(near.database, clock)
        self._lookups = Lookups(delivery.resolver)
        destinations = Destinations(
            self._lookups, OwnDoor(settings.hostname, host, port), mx_port=delivery.mx_port
        )
        credentials = (
            Credentials(delivery.relay_username, delivery.relay_password) if delivery.relay_username else None
        )
        self._connector = Connector(
            destinations,
            settings.hostname,
            uses_tls=delivery.tls == "opportunistic",
            credentials=credentials,
            relay_tls=delivery.relay_tls,
            relay_authorities=delivery.relay_ca,
            timeouts=timeouts,
        )
        offers = _LateOffers()
        writer = PlanWriter(near.messages, near.outbox, near.changes, offers, near.announcer)
        signing = Signing(near.keys, clock)
        planner = Planner(near.messages, signing, offers, delivery.relay, clock)
        router = Router(near.resolver)
        notices = Notices(near.database, near.messages, router, planner, settings.hostname, clock)
        self.settlement = Settlement(
            near.database, writer, near.outbox, notices, near.announcer, self.presence, clock, schedule
        )
        self.queue = Queue(near.database, delivery.relay)
        self.dispatcher = Dispatcher(
            self.queue,
            near.messages,
            self._connector,
            self.settlement if watch is None else _Watched(self.settlement, watch),
            self.presence,
            limits
            or DispatchLimits(
                lease=timedelta(seconds=delivery.lease_seconds),
                connections=delivery.max_concurrent,
                connections_per_route=delivery.max_connections_per_destination,
                mails_per_connection=delivery.max_messages_per_connection,
            ),
            clock,
            backoff,
            tell_others=lambda: near.announcer.announce(QUEUE_CHANNEL),
        )
        offers.dispatcher = self.dispatcher
        self.group: GroupCommit[Plan] = GroupCommit(near.database, writer.write_in, at_once=writer.at_once)
        self.acceptance = Acceptance(
            directory=near.resolver,
            router=router,
            quota=near.quota,
            planner=planner,
            notices=notices,
            writer=writer,
            group=self.group,
            hostname=settings.hostname,
            relay_networks=settings.smtp.relay_networks,
            clock=clock,
        )
        self.submission = Submission(self.acceptance)
        self.joining = Joining(
            near.database, self.acceptance, planner, near.messages, writer, settings.hostname, clock
        )
        self.queued_mails = QueuedMails(near.database, near.messages, near.outbox, near.announcer, clock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Transport:
        if self._delivers:
            await self._stack.enter_async_context(self.presence)
            await self._stack.enter_async_context(self.settlement)
            await self._stack.enter_async_context(self.dispatcher)
            if self._neighbours.listener is not None:
                self._neighbours.listener.add(QUEUE_CHANNEL, self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._neighbours.listener is not None:
            self._neighbours.listener.remove(QUEUE_CHANNEL, self._hear)
        await self.group.drain()
        await self._stack.aclose()
        await self._lookups.close()

    def _hear(self, payload: str | None) -> None:
        if payload == REOPEN:
            self.dispatcher.reopen()
        else:
            self.dispatcher.look()
