"""The SQL half of the OA bridge of one worker, put together. Only composition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from postroad.bridges.oa.approvals import Approvals
from postroad.bridges.oa.attachments import DatFiles
from postroad.bridges.oa.dates import BadZone, server_zone
from postroad.bridges.oa.outgoing import House, Outgoing
from postroad.bridges.oa.retention import SessionLimit, WebsentRetention
from postroad.config import Settings
from postroad.db.notify import Listener
from postroad.db.pool import Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.resolver import Resolver
from postroad.transport.accepting.joining import Joining

log = structlog.get_logger("postroad.bridges.oa")


@dataclass(frozen=True, slots=True)
class OaSql:
    """`outgoing.run` goes on beside the work, `retention` and `sessions` are swept now and then."""

    outgoing: Outgoing
    approvals: Approvals
    retention: WebsentRetention
    sessions: SessionLimit


def open_oa_sql(
    settings: Settings,
    *,
    database: Database,
    listener: Listener | None,
    resolver: Resolver,
    accounts: Accounts,
    joining: Joining,
    clock: Callable[[], datetime],
) -> OaSql:
    """Build it. Nothing runs yet."""
    try:
        zone = server_zone(settings.oa.timezone)
    except BadZone as error:
        log.error("oa_zone_unknown", reason=str(error), advice="the server's own is used")
        zone = server_zone()
    files = DatFiles(settings.data_dir)
    house = House(
        database=database,
        resolver=resolver,
        accounts=accounts,
        joining=joining,
        files=files,
        hostname=settings.hostname,
        zone=zone,
        max_size_bytes=settings.smtp.max_size_bytes,
        clock=clock,
    )
    outgoing = Outgoing(house, listener)
    return OaSql(
        outgoing=outgoing,
        approvals=Approvals(house, outgoing),
        retention=WebsentRetention(database, files, settings.oa.websent_days, clock),
        sessions=SessionLimit(database, settings.oa.sql_role, settings.oa.sql_statement_seconds),
    )
