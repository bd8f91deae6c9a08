"""What the POP3, IMAP and control listeners count, for Prometheus. One object a registry; nothing is global.

Labels have few values, all of them ours: never an address or anything a client chose.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class AccessMetrics:
    """The counters of all doors through which people read their mail, and of the control doors."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Counter(
            "postroad_access_connections",
            "Connections, by door and outcome",
            ("door", "outcome"),
            registry=registry,
        )
        self._open = Gauge(
            "postroad_access_open_connections", "Connections open now", ("door",), registry=registry
        )
        self._commands = Counter(
            "postroad_access_commands",
            "Answered commands, by door, command and outcome",
            ("door", "command", "outcome"),
            registry=registry,
        )
        self._failures = Counter(
            "postroad_access_failures",
            "Commands that failed because something of ours did",
            ("door",),
            registry=registry,
        )

    def door(self, name: str) -> AccessDoorMetrics:
        """Return the counters of one door, looked up once."""
        return AccessDoorMetrics(name, self._connections, self._open, self._commands, self._failures)


class AccessDoorMetrics:
    """The counters of one door, with their labels resolved: counting is then one addition."""

    def __init__(
        self, door: str, connections: Counter, is_open: Gauge, commands: Counter, failures: Counter
    ) -> None:
        self._door = door
        self._commands = commands
        self._resolved: dict[tuple[str, str], Counter] = {}
        self.admitted = connections.labels(door, "admitted")
        self.turned_away = connections.labels(door, "turned away")
        self.timed_out = connections.labels(door, "timed out")
        self.handshake_failed = connections.labels(door, "handshake failed")
        self.open = is_open.labels(door)
        self.failures = failures.labels(door)

    def answered(self, command: str, outcome: str) -> None:
        """Count a command: `command` is one that is known, `outcome` is ok, no or bad."""
        key = (command, outcome)
        counter = self._resolved.get(key)
        if counter is None:
            counter = self._resolved[key] = self._commands.labels(self._door, command, outcome)
        counter.inc()
