"""Mails of campaigns for people of this server: put into their mailboxes without a way over SMTP.

Such mail would otherwise come back to our own door, as a stranger's who writes with an address of ours.
What is taken is durable before it is said; between that and our settling a crash lets a mail come twice, as
with any other server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from postroad.campaigns.sending.verdicts import delivered_here
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.delivery.source import Failure, Job, Loaded, Stage


class Takes(Protocol):
    """Who takes mail for our own people (`transport.accepting.Acceptance`)."""

    async def take_for_ours(self, envelope: Envelope, content: bytes) -> str:
        """Take a mail that this server made. Raises `SmtpReply`."""
        ...


class TakingIn:
    """Delivers here. `connect` says where, before the first mail."""

    def __init__(self) -> None:
        self._takes: Takes | None = None

    def connect(self, takes: Takes) -> None:
        """This takes the mails."""
        self._takes = takes

    async def deliver(self, made: Sequence[tuple[Job[Any, Any], Loaded | Failure]]) -> list[Loaded | Failure]:
        """Put rendered mails into mailboxes; what became of each, in their order."""
        return list(await asyncio.gather(*(self._deliver(job, answer) for job, answer in made)))

    async def _deliver(self, job: Job[Any, Any], answer: Loaded | Failure) -> Loaded | Failure:
        if isinstance(answer, Failure) or job.stage is not Stage.WAITING:
            return answer
        if self._takes is None:
            return Failure(451, "4.3.0", "mail cannot be taken yet")
        # From here on it cannot be called back: a pause must not give back what lies in a mailbox.
        job.stage = Stage.UNDER_WAY
        try:
            await self._takes.take_for_ours(answer.envelope(job.recipients), b"".join(answer.pieces))
        except SmtpReply as reply:
            return Failure(reply.code, reply.status, reply.text, remote="here")
        finally:
            if job.stage is Stage.UNDER_WAY:
                job.stage = Stage.WAITING
        return delivered_here("delivered into a mailbox of this server")
