"""What the DNS answers, in types: records, whether they are vouched for, and the two ways of having none.

No asking here. RFC 1035, RFC 6698 (TLSA), RFC 7505 (null MX), RFC 4035 3.2.3 (the AD bit).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Record = TypeVar("Record")


class NameNotFound(Exception):
    """The name does not exist (NXDOMAIN), or cannot be a name at all."""


class LookupFailed(Exception):
    """No answer now: time-out, SERVFAIL, refused. The question is worth asking again."""


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record; `host` is lower case without a final dot, empty for a null MX (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record, as RFC 6698 2.1 names its fields. Values that nobody has defined are kept."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer(Generic[Record]):
    """The records of one question; none of them means that the name exists without such records (NODATA).

    `is_secure`: DNSSEC vouches for the answer, the absence of records too, and we may believe who says so.
    `good_for_seconds`: how long the answer may be used from now on.
    """

    records: tuple[Record, ...] = ()
    is_secure: bool = False
    good_for_seconds: float = 0.0

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)
