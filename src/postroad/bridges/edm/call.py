"""One call: who makes it, for whom, with what; and how the scripts name their calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

from postroad.bridges.edm.answers import Answer
from postroad.bridges.edm.dates import show_time
from postroad.bridges.edm.parameters import Parameters
from postroad.campaigns.customers import Customer


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was signed in. `zone` is the platform's: times are read and shown in it."""

    customer: Customer
    parameters: Parameters
    zone: ZoneInfo
    today: date  # in that zone

    def check_may_write(self) -> None:
        """Raise `NotAllowed` unless the customer's service is enabled and runs today."""
        self.customer.check_may_write(self.today)

    def show(self, moment: datetime | None) -> str:
        """A time as clients read it."""
        return show_time(moment, self.zone)


Run: TypeAlias = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Handler:
    """What answers a call. One that `writes` needs a service that is enabled; `reads` also answers HEAD."""

    run: Run
    writes: bool = False
    reads: bool = False


Script: TypeAlias = Mapping[str, Handler]  # by `do`; "" in the scripts that take none
