"""`[[shaping]]`: How much a receiver gets, and how it is met: rules; the first that matches holds."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from postroad.config.section import Section

MAX_RULES = 500
MAX_PATTERNS = 200  # of one rule

_PATTERN = re.compile(r"\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-z.:]+\]")


class ShapingRule(Section):
    """Limits of the sites that the rule matches; what is left out is as `[delivery]` has it.

    A pattern is a name (`mx.example.org`), everything below a name (`*.example.org`), or everything (`*`).
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    hosts: tuple[str, ...] = Field((), max_length=MAX_PATTERNS)  # MX hosts, or the smart host
    domains: tuple[str, ...] = Field((), max_length=MAX_PATTERNS)  # of recipients
    each: Literal["site", "domain", "rule"] = "site"  # what the limits count by itself
    mails_per_minute: int | None = Field(None, gt=0, le=10_000_000)
    mails_per_connection: int | None = Field(None, gt=0)
    connections: int | None = Field(None, gt=0)
    tls: Literal["opportunistic", "required", "verified", "off"] | None = None

    @field_validator("hosts", "domains")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        lower = tuple(pattern.lower() for pattern in patterns)
        for pattern in lower:
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f'{pattern!r} is no pattern: write "mx.example.org", "*.example.org" or "*"')
        return lower

    @model_validator(mode="after")
    def _matches_something(self) -> ShapingRule:
        if not self.hosts and not self.domains:
            raise ValueError(f"the rule {self.name} names neither hosts nor domains")
        return self


def are_apart(rules: tuple[ShapingRule, ...]) -> tuple[ShapingRule, ...]:
    """Refuse two rules of one name: what they count would be mixed up. Raises `ValueError`."""
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two rules are called {name}")
    return rules
