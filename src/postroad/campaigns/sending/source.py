"""The ledger of campaigns as a source of delivery: recipients become jobs, rendered when their turn has
come.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from postroad.campaigns.contacts.values import Person
from postroad.campaigns.sending.ledger import InHand, Ledger
from postroad.campaigns.sending.people import people_of
from postroad.campaigns.sending.recipes import CannotSend, Recipes
from postroad.campaigns.sending.rendering import Recipe, render
from postroad.campaigns.sending.settling import Holdings, LedgerAttempted, Settling
from postroad.campaigns.sending.taking_in import TakingIn
from postroad.campaigns.sending.verdicts import Known
from postroad.campaigns.tasks.states import State
from postroad.db.pool import Database
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.source import Failure, Job, Loaded, Renewal, Room

WEIGHT = 1  # beside the queue's 8: a million mails never stand in front of a person's
USUAL_BYTES = 16 * 1024  # of a mail whose run was not rendered yet
RENDERED_AT_ONCE = 50  # in a thread, so that the first mails are on their way while the others are made

# The route of mail for domains of this server. It is written like an address, so nobody asks the DNS for
# it; and no connection is made there, since its mail is delivered when it is loaded.
HERE = "[here]"

LedgerJob = Job[InHand, InHand]

log = structlog.get_logger("postroad.campaigns.sending.source")

_STOP = "UPDATE task t SET state = $3, reason = $4, ended_at = now() FROM run r WHERE r.customer_id = $1 \
AND r.id = $2 AND t.customer_id = r.customer_id AND t.id = r.task_id AND t.state = 2"


class CampaignSource:
    """The ledger, for one worker."""

    name = "campaigns"
    weight = WEIGHT

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        holdings: Holdings,
        recipes: Recipes,
        settling: Settling,
        presence: Presence,
        taking_in: TakingIn,
        clock: Callable[[], datetime],
    ) -> None:
        """`taking_in` delivers to people of this server; `clock` dates the mails."""
        self._taking_in = taking_in
        self._database = database
        self._ledger = ledger
        self._holdings = holdings
        self._recipes = recipes
        self._settling = settling
        self._presence = presence
        self._clock = clock

    async def claim(self, room: Room) -> list[LedgerJob]:
        """Lease what is due."""
        found = await self._ledger.claim(self._presence.owner, room)
        self._holdings.add(found)
        return [self._job(each) for each in found]

    def _job(self, recipient: InHand) -> LedgerJob:
        chunk = recipient.chunk
        size = self._recipes.size_of(chunk.customer_id, chunk.run_id) or USUAL_BYTES
        route = HERE if recipient.is_here else recipient.address.domain
        return Job(self, recipient, (recipient,), route, size, recipient.age)

    async def load(self, jobs: Sequence[LedgerJob]) -> list[Loaded | Failure]:
        """Render and sign, in threads; one that cannot be rendered is nobody else's matter."""
        of_run: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, job in enumerate(jobs):
            of_run[job.mail.chunk.customer_id, job.mail.chunk.run_id].append(place)
        answers: dict[int, Loaded | Failure] = {}
        for (customer_id, run_id), places in of_run.items():
            recipients = [jobs[place].mail for place in places]
            made = await self._made(customer_id, run_id, recipients)
            answers.update(zip(places, made, strict=True))
        here = [place for place, job in enumerate(jobs) if job.route == HERE]
        delivered = await self._taking_in.deliver([(jobs[place], answers[place]) for place in here])
        answers.update(zip(here, delivered, strict=True))
        return [answers[place] for place in range(len(jobs))]

    async def _made(
        self, customer_id: int, run_id: int, recipients: Sequence[InHand]
    ) -> Sequence[Loaded | Failure]:
        try:
            recipe = await self._recipes.of(customer_id, run_id)
        except CannotSend as error:
            await self._database.execute(_STOP, customer_id, run_id, State.CANNOT_RUN, str(error))
            log.warning("task_cannot_run", customer=customer_id, run=run_id, reason=str(error))
            # They are cancelled with the rest of the run.
            return [Failure(451, "4.3.5", str(error))] * len(recipients)
        people = await people_of(self._database, customer_id, recipients)
        now = self._clock()
        made: list[Loaded | Failure] = []
        for first in range(0, len(recipients), RENDERED_AT_ONCE):
            part = slice(first, first + RENDERED_AT_ONCE)
            made += await asyncio.to_thread(_render_all, recipe, recipients[part], people[part], now)
        return made

    async def renew(self, jobs: Sequence[LedgerJob]) -> Renewal[InHand, InHand]:
        """Say what is another's by now, and what is paused, cancelled or out of its hours."""
        chunks = {job.mail.chunk for job in jobs}
        lost, withdrawn = await self._ledger.withdrawn(self._presence.owner, chunks)
        gone = [job for job in jobs if job.mail.chunk in lost]
        self._holdings.remove(job.mail for job in gone)
        return Renewal(gone, [job for job in jobs if job.mail.chunk in withdrawn])

    async def give_back(self, jobs: Sequence[LedgerJob]) -> None:
        """End leases whose attempt was not begun: nothing was written of them yet."""
        returned = [job.mail for job in jobs]
        await self._ledger.release(self._presence.owner, self._holdings.emptied_by(returned))
        self._holdings.remove(returned)

    async def free(self) -> int:
        """End the leases of workers that are gone."""
        return await self._ledger.free()

    async def free_forgotten(self, held: Sequence[LedgerJob]) -> int:
        """End claims whose commit was not answered."""
        known = [*self._holdings.chunks(), *(job.mail.chunk for job in held)]
        return await self._ledger.free_forgotten(self._presence.owner, known)

    async def leave(self) -> None:
        """End this worker's leases."""
        await self._settling.stop()
        await self._ledger.leave(self._presence.owner)

    def settle(self, attempted: LedgerAttempted, then: Callable[[], None]) -> None:
        """Write down what became of an attempt."""
        self._settling.put(attempted, then)

    async def drain(self) -> None:
        """Wait until everything is written."""
        await self._settling.drain()


def _render_all(
    recipe: Recipe, recipients: Sequence[InHand], people: Sequence[Person | Known], now: datetime
) -> list[Loaded | Failure]:
    return [
        person if isinstance(person, Known) else render(recipe, each.number, person, each.address, now)
        for each, person in zip(recipients, people, strict=True)
    ]
