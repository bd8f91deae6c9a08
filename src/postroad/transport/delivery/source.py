"""Where delivery gets its work, and what it says about it: the seam that every kind of sending stands on.

A *source* holds mail in whatever form it likes: rows of a queue, a ledger of recipients whose mails are
rendered at the last moment. It is asked for *jobs*: one mail for some recipients of one route. Delivery
brings jobs to connections and tells the source what became of them; what the source knows a mail and its
recipients by is its own business, and travels through untouched. Nothing here knows a table.

What a source must keep, and why, is in docs/architecture.md ("Sources").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Return

if TYPE_CHECKING:
    from postroad.transport.delivery.sites import Site


@dataclass(frozen=True, slots=True)
class Taken:
    """The next host has taken the mail for a recipient.

    `tells_sender`: it will send the notices that were asked for (RFC 3461 5.2.2).
    """

    code: int
    status: str
    text: str
    remote: str
    tells_sender: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """What an attempt came to when the mail was not taken; `code` as SMTP has it."""

    code: int
    status: str
    text: str
    remote: str = ""

    @property
    def is_permanent(self) -> bool:
        """Whether trying again is pointless."""
        return self.code >= 500


Result = Taken | Failure


class Recipient(Protocol):
    """What delivery sees of a source's recipient."""

    @property
    def asked(self) -> EnvelopeRecipient:
        """The recipient as it goes on the wire."""
        ...


M = TypeVar("M")
R = TypeVar("R", bound=Recipient)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A mail as it goes on the wire, read or rendered. `pieces` are its content, joined when it is sent."""

    sender: Address | None
    pieces: tuple[bytes, ...]
    is_smtputf8: bool = False
    return_content: Return | None = None
    envelope_id: str | None = None

    def envelope(self, recipients: Sequence[Recipient]) -> Envelope:
        """The envelope for these recipients."""
        return Envelope(
            self.sender,
            tuple(each.asked for each in recipients),
            smtputf8=self.is_smtputf8,
            ret=self.return_content,
            envelope_id=self.envelope_id,
        )


class Stage(Enum):
    """How far a job is in this worker. Only one that waits can be begun, failed or given back."""

    WAITING = auto()  # for its site to be found, its mail to be loaded, or a connection
    RETURNING = auto()  # being given back
    UNDER_WAY = auto()
    SETTLING = auto()  # what became of it is known, and being written down
    DONE = auto()  # settled, given back or lost: whatever is still said about it is not heard


@dataclass(slots=True, eq=False)
class Job(Generic[M, R]):
    """One mail for some recipients of one route, leased to this worker.

    `mail` and the `recipients` are what the source knows them by. `size_bytes` is how much memory the mail
    takes once it is loaded, about; `age` how long ago it was handed in when it was claimed, by the source's
    clock. `loaded` is None until the source is asked for it. What follows is delivery's own.
    """

    source: Source[M, R]
    mail: M
    recipients: tuple[R, ...]
    route: str
    size_bytes: int
    age: timedelta = timedelta(0)
    loaded: Loaded | None = None
    stage: Stage = Stage.WAITING
    site: Site | None = field(default=None, repr=False)
    claimed_at: float = 0.0  # when it came to this worker, by its own seconds
    since: float = 0.0  # how long it waits


@dataclass(frozen=True, slots=True)
class Attempted(Generic[M, R]):
    """A mail after an attempt: a result for each recipient that was tried.

    `age` is how long ago it was handed in. `loaded` when it is at hand.
    """

    mail: M
    results: tuple[tuple[R, Result], ...]
    age: timedelta
    loaded: Loaded | None = None


class Room(Protocol):
    """How much a claim may take, by routes; sites' limits are behind it."""

    @property
    def recipients(self) -> int:
        """How many recipients at most, altogether."""
        ...

    def of(self, route: str) -> int:
        """How many of a route there is room for; 0: none of its site now."""
        ...

    def take(self, route: str, recipients: int) -> int:
        """Set room aside for as many of a route as there is, and return how many: claim no more of it."""
        ...


@dataclass(frozen=True, slots=True)
class Renewal(Generic[M, R]):
    """Jobs that are not to be begun any more.

    Those in `lost` belong to somebody else now, and are ended even if they are under way. Those in
    `withdrawn` are no longer wanted (held, dropped, paused): what is under way ends as usual, the rest is
    given back.
    """

    lost: Sequence[Job[M, R]] = ()
    withdrawn: Sequence[Job[M, R]] = ()


class Source(Protocol[M, R]):
    """A kind of work. Whatever is leased stays with its worker while that lives (`presence.py`)."""

    @property
    def name(self) -> str:
        """In metrics and logs."""
        ...

    @property
    def weight(self) -> int:
        """Its share where it meets other sources; who writes to a person has more than who writes to many."""
        ...

    async def claim(self, room: Room) -> Sequence[Job[M, R]]:
        """Lease what is due, as far as there is room, fairly over routes. Raises `DatabaseUnavailable`.

        The attempt is counted in the same transaction: before any connection is opened.
        """
        ...

    async def load(self, jobs: Sequence[Job[M, R]]) -> Sequence[Loaded | Failure]:
        """Read or render the mails of these, one answer for each, in their order.

        Each is judged by itself: what is damaged is a `Failure` of its own. May take its time in threads;
        raises only when nothing can be said of any of them now, which puts all of them off.
        """
        ...

    async def renew(self, jobs: Sequence[Job[M, R]]) -> Renewal[M, R]:
        """Keep the leases of these, and say which of them are not to be begun. Raises
        `DatabaseUnavailable`.
        """
        ...

    async def give_back(self, jobs: Sequence[Job[M, R]]) -> None:
        """End leases whose attempt was never begun: due at once, the attempt not counted.

        Raises `DatabaseUnavailable`.
        """
        ...

    async def free(self) -> int:
        """End the leases of workers that are gone, and return how many came free.

        A worker that lives has its row in `queue_worker` from before its first lease, so one statement sees
        both. Raises `DatabaseUnavailable`.
        """
        ...

    async def free_forgotten(self, held: Sequence[Job[M, R]]) -> int:
        """End leases of this worker that are minutes old and not of these jobs, and return how many.

        A commit whose outcome could not be learned in time leaves them. Nothing is claimed meanwhile. Raises
        `DatabaseUnavailable`.
        """
        ...

    async def leave(self) -> None:
        """This worker is going: end whatever leases it still has. Raises `DatabaseUnavailable`."""
        ...

    def settle(self, attempted: Attempted[M, R], then: Callable[[], None]) -> None:
        """Write down soon what became of an attempt, and call `then` when it is written. Never raises."""
        ...

    async def drain(self) -> None:
        """Wait until everything settled so far is written."""
        ...


AnySource = Source[Any, Any]
AnyJob = Job[Any, Any]
