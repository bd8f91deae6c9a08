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
from postroad.bridges.oa.retention import WebsentRetention
from postroad.bridges.oa.views import GoneViews
from postroad.bridges.oa.watch import RoleWatch, memory_of_process
from postroad.config import Settings
from postroad.db.notify import Listener
from postroad.db.pool import Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.resolver import Resolver
from postroad.transport.accepting.joining import Joining

log = structlog.get_logger("postroad.bridges.oa")


@dataclass(frozen=True, slots=True)
class OaSql:
    """`outgoing.run` and `watch.run` go on beside the work; `retention` and `views` are swept at times."""

    outgoing: Outgoing
    approvals: Approvals
    retention: WebsentRetention
    views: GoneViews
    watch: RoleWatch


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
        views=GoneViews(database),
        # Processes of a database elsewhere cannot be seen from here, and others here have their numbers.
        watch=RoleWatch(
            database, settings.oa, memory_of_process if settings.database == "embedded" else lambda _: 0
        ),
    )
