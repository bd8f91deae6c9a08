"""Transport of one worker, put together: what takes mail, what delivers it, what looks after the queue.

Only composition; the composition root hands in the parts of other rooms and enters the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from postroad.config import Settings
from postroad.db.group_commit import GroupCommit
from postroad.db.notify import Listener
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.directory.addresses.list_load import ListLoad
from postroad.directory.addresses.resolver import Resolver
from postroad.dns.lookups import Lookups
from postroad.events.outbox import Outbox
from postroad.mailstore.changes import ChangeSink
from postroad.mailstore.messages import Messages
from postroad.mailstore.quota import Quota
from postroad.transport.accepting.acceptance import Acceptance
from postroad.transport.accepting.collecting import Collects
from postroad.transport.accepting.joining import Joining
from postroad.transport.accepting.notices import Notices
from postroad.transport.accepting.plan import Plan, PlanWriter
from postroad.transport.accepting.planning import Planner
from postroad.transport.accepting.queued_notices import QueuedNotices
from postroad.transport.accepting.routing import Router
from postroad.transport.accepting.signing import Keys, Signing
from postroad.transport.accepting.submission import Submission
from postroad.transport.delivery.announcing import QUEUE_CHANNEL, RECALL, REOPEN, Announce
from postroad.transport.delivery.connections import Timeouts
from postroad.transport.delivery.connector import Connector
from postroad.transport.delivery.destinations import Destinations, OwnDoor, split_host_port
from postroad.transport.delivery.dispatcher import Dispatcher, DispatchLimits
from postroad.transport.delivery.judging import Schedule
from postroad.transport.delivery.paces import Paces
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.receivers import with_built_in
from postroad.transport.delivery.shaping import Shaping
from postroad.transport.delivery.sites import Backoff
from postroad.transport.delivery.source import AnySource, Attempted
from postroad.transport.queue.queued_mails import QueuedMails
from postroad.transport.queue.rows import Queue
from postroad.transport.queue.settlement import Settlement
from postroad.transport.queue.shortcut import Shortcut
from postroad.transport.queue.source import QueueSource


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
        rates: Rates | None = None,
        delivers: bool = True,
        sources: Callable[[Presence], Sequence[AnySource]] = lambda _presence: (),
        watch: Callable[[Attempted[Any, Any]], None] = lambda _attempted: None,
        above: Collects | None = None,
    ) -> None:
        """`schedule`, `timeouts`, `backoff`, `limits`, `rates` replace what the settings say, for tests.

        `sources` makes what is delivered beside the queue; `watch` is told of every attempt, for counting.
        `above` says which addresses a room above takes mail for itself at.
        """
        self._neighbours = neighbours
        self._delivers = delivers
        delivery = settings.delivery
        near = neighbours
        schedule = schedule or Schedule(
            lifetime=timedelta(seconds=delivery.lifetime_seconds),
            delay_notice_after=timedelta(seconds=delivery.delay_notice_seconds),
        )
        host, port = split_host_port(settings.listen.smtp, 25)
        lease = timedelta(seconds=delivery.lease_seconds)
        self.presence = Presence(near.database, near.tasks, lease=lease if limits is None else limits.lease)
        self._lookups = Lookups(delivery.resolver)
        destinations = Destinations(
            self._lookups,
            OwnDoor(settings.hostname, host, port),
            mx_port=delivery.mx_port,
            relay=delivery.relay,
        )
        self._connector = Connector.configured(settings, destinations, timeouts)
        offers = Shortcut()
        writer = PlanWriter(near.messages, near.outbox, near.changes, offers, near.announcer)
        signing = Signing(near.keys, clock)
        planner = Planner(near.messages, signing, offers, delivery.relay, clock)
        router = Router(near.resolver, above)
        notices = Notices(near.database, router, planner, settings.hostname, clock)
        self.settlement = Settlement(
            near.database,
            near.outbox,
            QueuedNotices(notices, near.messages, writer),
            near.announcer,
            self.presence,
            near.tasks,
            schedule,
        )
        self.rates = rates or Rates(near.database)
        self.queue = Queue(near.database, delivery.relay)
        queue_source = QueueSource(self.queue, near.messages, self.settlement, self.presence)
        self._paces = Paces(
            near.database,
            near.tasks,
            lambda paces: self.dispatcher.pace(paces),
            lambda: self.presence.workers,
        )
        self.dispatcher = Dispatcher(
            [queue_source, *sources(self.presence)],
            self._connector,
            self.presence,
            limits
            or DispatchLimits(
                lease=lease,
                connections=delivery.max_concurrent,
            ),
            Shaping(
                with_built_in(settings.shaping) if delivery.receiver_rules else settings.shaping,
                connections=delivery.max_connections_per_destination,
                mails_per_connection=delivery.max_messages_per_connection,
            ),
            self.rates,
            near.tasks,
            backoff,
            tell_others=lambda: near.announcer.announce(QUEUE_CHANNEL),
            watch=watch,
            learn=self._paces.learn,
        )
        offers.connect(queue_source, self.dispatcher)
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
            forwarder_networks=settings.smtp.forwarder_networks,
            own_domains=settings.smtp.own_domains,
            list_load=ListLoad(near.database, settings.smtp.max_list_copies_per_hour),
            clock=clock,
        )
        self.submission = Submission(self.acceptance)
        self.joining = Joining(
            near.database, self.acceptance, planner, near.messages, writer, settings.hostname, clock
        )
        self.queued_mails = QueuedMails(near.database, near.messages, near.outbox, near.announcer)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Transport:
        if self._delivers:
            await self._stack.enter_async_context(self.presence)
            await self._stack.enter_async_context(self.settlement)
            await self._stack.enter_async_context(self.dispatcher)
            await self._stack.enter_async_context(self._paces)
            if self._neighbours.listener is not None:
                self._neighbours.listener.add(QUEUE_CHANNEL, self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._neighbours.listener is not None:
            self._neighbours.listener.remove(QUEUE_CHANNEL, self._hear)
        await self.group.drain()
        await self._stack.aclose()
        await self.rates.close()
        await self._lookups.close()

    def _hear(self, payload: str | None) -> None:
        if payload == REOPEN:
            self.dispatcher.reopen()
        elif payload == RECALL:
            self.dispatcher.recall()
        else:
            self.dispatcher.look()
