"""Where a mail goes next: the site of a route, and its hosts in the order they are tried.

RFC 5321 5.1 (MX, implicit MX, never back to ourselves), RFC 7505 (null MX), RFC 3463 (names of failures).
The DNS is asked through `dns/lookups.py`; nothing here opens a connection to a mail server.
"""

from __future__ import annotations

import ipaddress
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass

from postroad.dns.answers import Answer, LookupFailed, Mx, NameNotFound
from postroad.dns.lookups import Lookups
from postroad.transport.delivery.source import Failure

RELAY = "relay:"  # how the route of a smart host begins; no domain has a colon
MAX_HOSTS = 10  # RFC 5321 5.1: at least two addresses are tried
MAX_ADDRESSES = 8  # of one host


@dataclass(frozen=True, slots=True)
class Host:
    """A mail server to try: its name (for logs, TLS and notices) and its addresses in order."""

    name: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteName:
    """Which site a route leads to: the names of its MX hosts, in order, and for how long that is known."""

    name: str
    good_for_seconds: float


class Unreachable(Exception):
    """The route leads nowhere. `failure` has what a server would have said (RFC 3463)."""

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(code, status, text)
        self.failure = Failure(code, status, text)


@dataclass(frozen=True, slots=True)
class OwnDoor:
    """How this server would be recognised among the hosts of a route: its name and its MX port."""

    hostname: str
    listen_host: str
    listen_port: int

    def is_ours(self, name: str, address: str, port: int) -> bool:
        """Whether a connection there would come back to us."""
        if name == self.hostname.lower() and port == self.listen_port:
            return True
        if port != self.listen_port or not self.listen_host:
            return False
        if self.listen_host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            return is_local_address(address)
        return address == self.listen_host


def is_local_address(address: str) -> bool:
    """Whether the address belongs to this machine: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port` or a bare host."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return text.strip("[]"), default_port
    return host.strip("[]"), int(port)


def route_of(domain: str, relay: str) -> str:
    """Return the route of a recipient's domain: the smart host when there is one, else the domain itself."""
    return f"{RELAY}{relay}" if relay else domain


def is_its_own_site(route: str) -> bool:
    """Whether no question need be asked to know where a route leads: a smart host, or an address."""
    return route.startswith((RELAY, "["))


class Destinations:
    """Turns a route into a site, and into hosts."""

    def __init__(
        self,
        lookups: Lookups,
        door: OwnDoor,
        mx_port: int = 25,
        relay: str = "",
        shuffle: Callable[[list[Mx]], None] = random.shuffle,
    ) -> None:
        """`relay` is the smart host `host:port`, empty for delivery by MX."""
        self._lookups = lookups
        self._door = door
        self._mx_port = mx_port
        self._relay = relay
        self._shuffle = shuffle

    def onward(self, route: str) -> str:
        """Return the smart host's route for a domain when there is one: sources need not know of it."""
        return route if is_its_own_site(route) else route_of(route, self._relay)

    async def site(self, route: str) -> SiteName:
        """Say which site a route leads to: the same for all domains with the same MX hosts.

        Raises `Unreachable`, as `hosts` does.
        """
        route = self.onward(route)
        if is_its_own_site(route):
            return SiteName(route, float("inf"))
        answer = await self._mx(route)
        hosts = {record.host for record in answer} or {route}
        return SiteName(" ".join(sorted(hosts)), answer.good_for_seconds)

    async def hosts(self, route: str) -> tuple[Host, ...]:
        """Return the hosts of a route, best first, each with at least one address.

        Raises `Unreachable`: 4xx when the DNS should be asked again later, 5xx when it never will help.
        """
        if route.startswith(RELAY):
            return await self._smart_host(route)
        if route.startswith("["):
            return self._literal(route)
        records = (await self._mx(route)).records
        return await self._of_records(route, records or (Mx(0, route),))  # RFC 5321 5.1: the implicit MX

    async def _mx(self, route: str) -> Answer[Mx]:
        try:
            answer = await self._lookups.mx(route)
        except NameNotFound:
            raise Unreachable(550, "5.1.2", f"the domain {route} does not exist") from None
        except LookupFailed as error:
            raise Unreachable(451, "4.4.3", f"the DNS gave no answer: {error}") from None
        if any(not record.host for record in answer):
            # RFC 7505 4.1: the domain says that it takes no mail.
            raise Unreachable(556, "5.1.10", f"the domain {route} accepts no mail (null MX)")
        return answer

    async def _of_records(self, route: str, records: tuple[Mx, ...]) -> tuple[Host, ...]:
        ordered = list(records)
        self._shuffle(ordered)  # RFC 5321 5.1: equal preferences share the load
        ordered.sort(key=lambda record: record.preference)
        found: list[tuple[int, Host]] = []
        failure: LookupFailed | None = None
        own_preference: int | None = None
        for record in ordered[:MAX_HOSTS]:
            # RFC 5321 5.1: with ourselves in the list, only better preferences lead onward.
            if own_preference is not None and record.preference >= own_preference:
                break
            try:
                addresses = await self._addresses(record.host)
            except NameNotFound:
                continue
            except LookupFailed as error:
                failure = error
                continue
            if any(self._door.is_ours(record.host, address, self._mx_port) for address in addresses):
                own_preference = record.preference
                found = [(preference, host) for preference, host in found if preference < own_preference]
                continue
            if addresses:
                found.append((record.preference, Host(record.host, self._mx_port, addresses)))
        if found:
            return tuple(host for _, host in found)
        if own_preference is not None:
            raise Unreachable(554, "5.4.6", f"mail for {route} would come back to this server")
        if failure is not None:
            raise Unreachable(451, "4.4.3", f"the DNS gave no answer: {failure}")
        raise Unreachable(550, "5.4.4", f"the domain {route} has no mail server with an address")

    async def _addresses(self, host: str) -> tuple[str, ...]:
        try:
            # A name of digits is an address by mistake of its operator; Postfix and others take it as one.
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            return (await self._lookups.addresses(host)).records[:MAX_ADDRESSES]

    def _literal(self, route: str) -> tuple[Host, ...]:
        text = route.strip("[]")
        try:
            address = ipaddress.ip_address(text[5:] if text.lower().startswith("ipv6:") else text)
        except ValueError:
            raise Unreachable(550, "5.1.2", f"{route} is not an address") from None
        if (
            address.is_unspecified
            or address.is_multicast
            or self._door.is_ours("", str(address), self._mx_port)
        ):
            raise Unreachable(554, "5.4.6", f"mail for {route} would come back to this server")
        return (Host(route, self._mx_port, (str(address),)),)

    async def _smart_host(self, route: str) -> tuple[Host, ...]:
        name, port = split_host_port(route.removeprefix(RELAY), 25)
        try:
            addresses = await self._addresses(name) if name != "localhost" else ("127.0.0.1",)
        except NameNotFound:
            addresses = ()
        except LookupFailed as error:
            raise Unreachable(451, "4.4.3", f"the DNS gave no answer: {error}") from None
        if not addresses:
            # The operator's setting, not the sender's mistake: the mail waits until it is mended.
            raise Unreachable(451, "4.4.4", f"the smart host {name} has no address")
        return (Host(name, port, addresses),)
