"""What a check found: a word of the catalogue with its facts, and how bad it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Topic = Literal["database", "clock", "disk", "secrets", "tls", "ports", "dns", "relay"]
Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding about `subject`; `word` stands in `cli/doctor_words.py` with what to do about it."""

    topic: Topic
    subject: str
    status: Status
    word: str
    facts: Mapping[str, object] = field(default_factory=dict)
