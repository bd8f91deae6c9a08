"""The control doors of a worker: listeners joined with the commands over the directory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from postroad.bridges.jdmail.control.desk import Desk
from postroad.bridges.jdmail.control.house import House
from postroad.config import Settings
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.inventory import Inventory
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.addresses.variables import Variables
from postroad.directory.identity.known_origins import KnownOrigins
from postroad.listeners.access_metrics import AccessMetrics
from postroad.listeners.ctrl import CtrlDoor, ctrl_listener
from postroad.listeners.limits import Connections
from postroad.listeners.sockets import bind
from postroad.listeners.tls import ServerTls
from postroad.server.parts import Parts

_TLS_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


def control_tls(settings: Settings, certificate: Path, private_key: Path) -> ServerTls:
    """The certificate, for clients that may be older than others. Raises `BadCertificate`."""
    return ServerTls(certificate, private_key, _TLS_VERSIONS[settings.ctrl.min_tls])


class ControlDoors:
    """Both control doors of a worker, those that are on."""

    def __init__(self, settings: Settings, parts: Parts, tls: ServerTls, metrics: AccessMetrics) -> None:
        ctrl = settings.ctrl
        connections = Connections(
            ctrl.max_connections, ctrl.max_connections_per_address, ctrl.unlimited_networks
        )
        desk = Desk(control_house(settings, parts))
        self._listeners = {
            name: ctrl_listener(
                name,
                CtrlDoor(
                    f"Postroad {version('postroad')}",
                    desk,
                    parts.clock,
                    ctrl.plain_auth_networks,
                    metrics.door(name),
                    tls,
                    ctrl.idle_seconds,
                ),
                connections,
                parts.tasks,
            )
            for name in ("ctrl", "ctrls")
        }

    async def open(self, addresses: Mapping[str, str]) -> None:
        """Listen on the doors that `addresses` has."""
        for door, listener in self._listeners.items():
            if door in addresses:
                await listener.start(bind(addresses[door]))

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting, finish the commands in hand, tell everybody else to come back."""
        await asyncio.gather(*(listener.drain(grace_seconds) for listener in self._listeners.values()))


def control_house(settings: Settings, parts: Parts) -> House:
    """What the commands stand on."""
    database = parts.database
    return House(
        settings=settings.ctrl,
        control_accounts=parts.control_accounts,
        sign_in=parts.sign_in,
        domains=parts.domains,
        accounts=parts.accounts,
        aliases=Aliases(database),
        lists=DistributionLists(database),
        variables=Variables(database),
        inventory=Inventory(database),
        known_origins=KnownOrigins(database),
        quota=parts.quota,
        queued_mails=parts.transport.queued_mails,
        audit=parts.audit,
    )
