"""What the SMTP listener counts, for Prometheus. One object a registry; nothing is global.

Labels have few values, all of them ours: never an address or anything a client chose.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from postroad.protocols.smtp.envelope import Role


class SmtpMetrics:
    """The counters of all SMTP doors of a worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Counter(
            "postroad_smtp_connections",
            "Connections, by door and outcome",
            ("role", "outcome"),
            registry=registry,
        )
        self._open = Gauge(
            "postroad_smtp_open_connections", "Connections open now", ("role",), registry=registry
        )
        self._replies = Counter(
            "postroad_smtp_answers",
            "Answers to MAIL, RCPT, contents and sign-ins, by door, question and class of the reply",
            ("role", "question", "reply"),
            registry=registry,
        )
        self._bytes = Counter(
            "postroad_smtp_accepted_bytes", "Bytes of accepted mails", ("role",), registry=registry
        )
        self._failures = Counter(
            "postroad_smtp_failures",
            "Answers 451 because something of ours failed",
            ("role",),
            registry=registry,
        )

    def door(self, role: Role) -> DoorMetrics:
        """Return the counters of one door, looked up once."""
        return DoorMetrics(role, self._connections, self._open, self._replies, self._bytes, self._failures)


class DoorMetrics:
    """The counters of one door, with their labels resolved: counting is then one addition."""

    def __init__(
        self,
        role: Role,
        connections: Counter,
        is_open: Gauge,
        answers: Counter,
        accepted_bytes: Counter,
        failures: Counter,
    ) -> None:
        self._role = role.value
        self._answers = answers
        self._resolved: dict[tuple[str, int], Counter] = {}
        self.admitted = connections.labels(role.value, "admitted")
        self.turned_away = connections.labels(role.value, "turned away")
        self.timed_out = connections.labels(role.value, "timed out")
        self.handshake_failed = connections.labels(role.value, "handshake failed")
        self.open = is_open.labels(role.value)
        self.accepted_bytes = accepted_bytes.labels(role.value)
        self.failures = failures.labels(role.value)

    def answered(self, question: str, reply_class: int) -> None:
        """Count an answer: `question` is mail, rcpt, content or auth, `reply_class` 2, 4 or 5."""
        key = (question, reply_class)
        counter = self._resolved.get(key)
        if counter is None:
            counter = self._resolved[key] = self._answers.labels(self._role, question, f"{reply_class}xx")
        counter.inc()
