"""The smart host, met as mail would meet it: found, secured, and the password taken. No mail is sent."""

from __future__ import annotations

from postroad.cli.checks.finding import Finding
from postroad.config import Settings
from postroad.dns.lookups import Lookups
from postroad.transport.delivery.connections import CannotConnect, Timeouts
from postroad.transport.delivery.connector import Connector
from postroad.transport.delivery.destinations import (
    RELAY,
    Destinations,
    OwnDoor,
    Unreachable,
    split_host_port,
)
from postroad.transport.delivery.security import is_near

SECONDS = 10.0  # to connect, and again for greeting, TLS and sign-in; mail itself waits longer
_NOT_VERIFIED = "certificate verify failed"  # the words of OpenSSL


async def check_relay(settings: Settings) -> list[Finding]:
    """Open a session to the smart host, when there is one."""
    relay = settings.delivery.relay
    if not relay:
        return []
    lookups = Lookups(settings.delivery.resolver, total_seconds=SECONDS)
    host, port = split_host_port(settings.listen.smtp, 25)
    destinations = Destinations(lookups, OwnDoor(settings.hostname, host, port), relay=relay)
    timeouts = Timeouts(connect=SECONDS, setup=SECONDS, longest=SECONDS)
    try:
        session = await Connector.configured(settings, destinations, timeouts).open(f"{RELAY}{relay}")
    except (CannotConnect, Unreachable) as error:
        text = str(error.failure.text)
        word = "relay-not-verified" if _NOT_VERIFIED in text else "relay-refuses"
        return [Finding("relay", relay, "fail", word, {"error": text})]
    finally:
        await lookups.close()
    is_tls, address = session.is_tls, session.address
    session.quit()
    session.abort()
    if not is_tls and not is_near(address):
        return [Finding("relay", relay, "warn", "relay-open")]
    return [Finding("relay", relay, "ok", "relay-ready", {"security": "TLS" if is_tls else address})]
