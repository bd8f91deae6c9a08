"""The services of one process, built and joined: what stands on what, in the order of the floors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from postroad.bridges.oa.service import OaSql, open_oa_sql
from postroad.campaigns.sending.engine import Engine
from postroad.campaigns.service import Campaigns, open_campaigns
from postroad.campaigns.tracking.hits import Hits
from postroad.config import Settings
from postroad.db.advisory_locks import AdvisoryLocks
from postroad.db.jobs import REMOVING_BLOBS
from postroad.db.notify import Announcer, Listener
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.addresses.resolver import Resolver
from postroad.directory.identity.administration import Administration
from postroad.directory.identity.administrators import Administrators
from postroad.directory.identity.attempts import Attempts
from postroad.directory.identity.audit import Audit
from postroad.directory.identity.calls import AnsweredCalls, CallRates
from postroad.directory.identity.control_accounts import ControlAccounts
from postroad.directory.identity.integrations import Integrations
from postroad.directory.identity.known_origins import KnownOrigins
from postroad.directory.identity.sessions import Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.identity.standing import Standing
from postroad.directory.identity.tickets import Tickets
from postroad.directory.identity.tokens import Tokens
from postroad.directory.passwords import PasswordHashing
from postroad.dns.lookups import Lookups
from postroad.events.outbox import Outbox
from postroad.events.reader import Retention
from postroad.mailstore.append import Append
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import Changes
from postroad.mailstore.correspondents import Correspondents
from postroad.mailstore.entries import Entries
from postroad.mailstore.exact_search import ExactSearch
from postroad.mailstore.folders import Folders, ensure_defaults_in
from postroad.mailstore.indexer import Indexer
from postroad.mailstore.maildrop import Maildrops
from postroad.mailstore.messages import Messages
from postroad.mailstore.quota import Quota
from postroad.mailstore.search import Search
from postroad.mailstore.statistics import MailStatistics
from postroad.mailstore.sweeper import Sweeper
from postroad.mailstore.views import Views
from postroad.notifications.lines import Lines
from postroad.notifications.log import NotificationLog
from postroad.notifications.receivers import Receivers
from postroad.notifications.telling import Telling
from postroad.notifications.ways import open_ways
from postroad.server.jobs import Job
from postroad.transport.delivery.rates import sweep_rates
from postroad.transport.delivery.source import Attempted
from postroad.transport.service import Neighbours, Transport

# Sessions, deliveries and pages hold a connection for a few milliseconds: ten carry thousands of statements a
# second. All workers together stay below the embedded cluster's 500 (four more connections a worker stand
# outside its pool).
POOL_CONNECTIONS = 10
ALL_CONNECTIONS = 450

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Parts:
    """What doors are opened on. `indexer.run` and `jobs` go on beside the work."""

    clock: Clock
    tasks: TaskSupervisor
    database: Database
    accounts: Accounts
    domains: Domains
    resolver: Resolver
    sign_in: SignIn
    standing: Standing
    sessions: Sessions
    administrators: Administrators
    control_accounts: ControlAccounts
    administration: Administration
    integrations: Integrations
    tokens: Tokens
    call_rates: CallRates
    answered_calls: AnsweredCalls
    audit: Audit
    tickets: Tickets
    blobs: Blobs
    folders: Folders
    entries: Entries
    messages: Messages
    append: Append
    maildrops: Maildrops
    views: Views
    exact_search: ExactSearch
    quota: Quota
    mail_statistics: MailStatistics
    correspondents: Correspondents
    search: Search
    changes: Changes
    transport: Transport
    indexer: Indexer
    oa_sql: OaSql
    campaigns: Campaigns
    telling: Telling
    engine: Engine
    hits: Hits
    jobs: Sequence[Job]


@asynccontextmanager
async def open_parts(
    settings: Settings,
    dsn: str,
    clock: Clock,
    watch: Callable[[Attempted[Any, Any]], None] = lambda _attempted: None,
    tasks: TaskSupervisor | None = None,
) -> AsyncIterator[Parts]:
    """Build everything on the database `dsn`; drained and closed, top floor first, when the body ends.

    `watch` is told of every attempt to deliver; `tasks` keeps what goes on for ever. An
    unreachable database is no error: services say so call by call until it is back.
    """
    tasks = tasks or TaskSupervisor()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(Database(dsn, max_size=pool_size(settings.workers)))
        announcer = await enter(Announcer(database, tasks))
        listener = await enter(Listener(dsn, tasks))
        outbox = Outbox()

        hashing = PasswordHashing()
        stack.callback(hashing.close)
        accounts = Accounts(database, outbox, hashing, ensure_defaults_in)
        domains = Domains(database, accounts, clock)
        resolver = Resolver(database, settings.hostname, listener)
        sign_in = SignIn(database, hashing, settings.sign_in, listener)
        sessions = Sessions(database, timedelta(seconds=settings.web.session_seconds), clock)
        tickets = Tickets(database, clock)

        changes = await enter(Changes(database, announcer, listener))
        blobs = Blobs(settings.blob_location)
        messages = Messages(database, blobs, settings.storage.inline_bytes)
        quota = Quota(database, clock)
        folders = Folders(database, changes)
        entries = Entries(database, changes)
        locks = await enter(AdvisoryLocks(database))

        engine = Engine(settings, database, domains, announcer, tasks, clock)
        lookups = Lookups(settings.delivery.resolver)
        stack.push_async_callback(lookups.close)
        campaigns = open_campaigns(database, hashing, lookups, settings.edm, settings.hostname, engine.orders)
        transport = await enter(
            Transport(
                settings,
                Neighbours(
                    database=database,
                    resolver=resolver,
                    keys=domains,
                    messages=messages,
                    quota=quota,
                    outbox=outbox,
                    changes=changes,
                    announcer=announcer,
                    listener=listener,
                    tasks=tasks,
                ),
                clock,
                sources=lambda presence: [engine.source(presence)],
                watch=watch,
                above=campaigns.returns,
            )
        )
        engine.taking_in.connect(transport.acceptance)
        oa_sql = open_oa_sql(
            settings,
            database=database,
            listener=listener,
            resolver=resolver,
            accounts=accounts,
            joining=transport.joining,
            clock=clock,
        )
        hits = await enter(Hits(database, tasks))
        sweeper = Sweeper(database, blobs, clock)
        attempts = Attempts(database, settings.sign_in)
        audit = Audit(database, timedelta(days=settings.audit.days))
        told = NotificationLog(database, timedelta(days=settings.notifications.log_days))
        tokens = Tokens(database)
        call_rates = CallRates(database, settings.api.calls_per_minute)
        answered_calls = AnsweredCalls(database)
        yield Parts(
            clock=clock,
            tasks=tasks,
            database=database,
            accounts=accounts,
            domains=domains,
            resolver=resolver,
            sign_in=sign_in,
            standing=Standing(database, listener),
            sessions=sessions,
            administrators=Administrators(database, hashing),
            control_accounts=ControlAccounts(database, hashing, sign_in),
            administration=Administration(
                database, domains, accounts, Aliases(database), DistributionLists(database)
            ),
            integrations=Integrations(database, hashing),
            tokens=tokens,
            call_rates=call_rates,
            answered_calls=answered_calls,
            audit=audit,
            tickets=tickets,
            blobs=blobs,
            folders=folders,
            entries=entries,
            messages=messages,
            append=Append(database, messages, changes, clock),
            maildrops=Maildrops(database, locks, folders, entries, messages),
            views=Views(database, blobs),
            exact_search=ExactSearch(database, messages),
            quota=quota,
            mail_statistics=MailStatistics(database),
            correspondents=Correspondents(database),
            search=Search(database, messages),
            changes=changes,
            transport=transport,
            indexer=Indexer(database, blobs, is_busy=lambda: transport.group.is_busy),
            oa_sql=oa_sql,
            campaigns=campaigns,
            telling=Telling(
                database,
                Lines(database),
                Receivers(database),
                open_ways(settings.notifications, lookups, messages, clock),
                settings.notifications,
                listener,
            ),
            engine=engine,
            hits=hits,
            jobs=(
                Job("sign-in attempts", timedelta(minutes=5), attempts.sweep),
                Job("known origins", timedelta(hours=6), KnownOrigins(database).sweep),
                Job("audit log", timedelta(hours=6), audit.sweep),
                Job("sessions", timedelta(hours=1), sessions.sweep),
                Job("API tokens", timedelta(minutes=30), tokens.sweep),
                Job("API calls counted", timedelta(minutes=10), call_rates.sweep),
                Job("API answers", timedelta(hours=1), answered_calls.sweep),
                Job("sign-on tickets", timedelta(minutes=10), tickets.sweep),
                Job(REMOVING_BLOBS[0], timedelta(minutes=1), sweeper.sweep),
                Job(REMOVING_BLOBS[1], timedelta(hours=6), sweeper.sweep_blobs),
                Job("sent OA rows", timedelta(hours=1), oa_sql.retention.sweep),
                Job("OA views of removed accounts", timedelta(minutes=1), oa_sql.views.sweep),
                Job("delivery rates", timedelta(minutes=10), partial(sweep_rates, database)),
                Job("removed contacts", timedelta(minutes=15), campaigns.contacts.purge),
                Job("suppressions", timedelta(minutes=1), campaigns.suppressions.judge_finished),
                Job("counted calls", timedelta(hours=1), campaigns.limits.sweep),
                Job("log of notifications", timedelta(hours=1), told.sweep),
                Job("events", timedelta(hours=1), Retention(database).sweep),
            ),
        )


def pool_size(workers: int) -> int:
    """How many connections the pool of each of `workers` may open."""
    return max(4, min(POOL_CONNECTIONS, ALL_CONNECTIONS // workers - 4))
