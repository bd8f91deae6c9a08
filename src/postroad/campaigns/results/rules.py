"""The rules that an administrator sees and changes: words of servers, and when an address is written to no
more; the SQL of `reply_rule` and `suppression_rule`.

They are the platform's, for all customers; what they lead to is kept by customer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from postroad.campaigns.errors import BadInput, NotFound
from postroad.campaigns.results.classify import Classifier, phrases
from postroad.campaigns.results.words import (
    BUILT_IN,
    INVALID,
    MALFORMED,
    NOT_EXIST,
    OVER_QUOTA,
    USER_REJECT,
    Rule,
)
from postroad.db.pool import Database, DatabaseUnavailable

KEPT_SECONDS = 60.0  # a worker uses a change within so long
MAX_RULES = 500  # each one costs a microsecond for each refused mail
NAMES: Mapping[str, int] = {
    "not_exist": NOT_EXIST,
    "over_quota": OVER_QUOTA,
    "user_reject": USER_REJECT,
    "invalid_addr": INVALID,
    "format_error": MALFORMED,
}


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A row that an administrator added; its id names it."""

    id: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class SuppressionRule:
    """After `failures` of this type within `within_days` an address is suppressed."""

    failure: int
    failures: int
    within_days: int


class ReplyRules:
    """The table of words: the administrator's rows, then the built-in ones."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._classifier = Classifier()
        self._read_at: float | None = None

    async def classifier(self) -> Classifier:
        """What judges replies. While the database is away, the one that was used last."""
        now = self._monotonic()
        if self._read_at is None or now - self._read_at > KEPT_SECONDS:
            try:
                own = await self.own()
            except DatabaseUnavailable:
                return self._classifier
            self._classifier = Classifier([each.rule for each in own])
            self._read_at = now
        return self._classifier

    def built_in(self) -> tuple[Rule, ...]:
        """The rows that come with the platform, in their order."""
        return BUILT_IN

    async def own(self) -> list[OwnRule]:
        """The administrator's rows, in their order."""
        rows = await self._database.fetch(
            "SELECT id, pattern, failure, is_temporary, asks_for_less FROM reply_rule ORDER BY id LIMIT $1",
            MAX_RULES,
        )
        return [
            OwnRule(
                row["id"], Rule(row["pattern"], row["failure"], row["is_temporary"], row["asks_for_less"])
            )
            for row in rows
        ]

    async def add(self, rule: Rule) -> int:
        """Add a row behind the own ones and before the built-in; return its id. Raises `BadInput`."""
        try:
            phrases(rule.pattern)
        except ValueError as error:
            raise BadInput("pattern", str(error)) from error
        if rule.failure not in NAMES.values():
            raise BadInput("type", "one of " + ", ".join(NAMES))
        added = await self._database.fetchval(
            "INSERT INTO reply_rule (pattern, failure, is_temporary, asks_for_less) "
            "SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM reply_rule) < $5 RETURNING id",
            rule.pattern,
            rule.failure,
            rule.is_temporary,
            rule.asks_for_less,
            MAX_RULES,
        )
        if added is None:
            raise BadInput("pattern", f"there are {MAX_RULES} rules already")
        self._read_at = None
        return int(added)

    async def remove(self, rule_id: int) -> None:
        """Remove one of the own rows. Raises `NotFound`."""
        done = await self._database.execute("DELETE FROM reply_rule WHERE id = $1", rule_id)
        if done == "DELETE 0":
            raise NotFound("rule", rule_id)
        self._read_at = None


class SuppressionRules:
    """When an address is written to no more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[SuppressionRule]:
        """All rules, by type."""
        rows = await self._database.fetch(
            "SELECT failure, failures, within_days FROM suppression_rule ORDER BY failure"
        )
        return [SuppressionRule(**row) for row in rows]

    async def set(self, rule: SuppressionRule) -> None:
        """Set the rule of a type. Raises `BadInput`."""
        if rule.failure not in NAMES.values():
            raise BadInput("type", "one of " + ", ".join(NAMES))
        if not (1 <= rule.failures <= 100 and 1 <= rule.within_days <= 3650):
            raise BadInput("failures", "1 to 100, within 1 to 3650 days")
        await self._database.execute(
            "INSERT INTO suppression_rule (failure, failures, within_days) VALUES ($1, $2, $3) "
            "ON CONFLICT (failure) DO UPDATE SET failures = EXCLUDED.failures, within_days = "
            "EXCLUDED.within_days",
            rule.failure,
            rule.failures,
            rule.within_days,
        )

    async def remove(self, failure: int) -> None:
        """Let failures of this type suppress nobody. Raises `NotFound`."""
        done = await self._database.execute("DELETE FROM suppression_rule WHERE failure = $1", failure)
        if done == "DELETE 0":
            raise NotFound("rule", failure)
