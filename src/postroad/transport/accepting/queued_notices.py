"""Notices about mail in the queue, for settlement: composed before its transaction, written in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from postroad.db.pool import Connection
from postroad.mailstore.messages import Messages
from postroad.transport.accepting.notices import Notices
from postroad.transport.accepting.plan import Plan, PlanWriter
from postroad.transport.queue.settlement import Telling


class QueuedNotices:
    """`settlement.Notices`, by the same planning as every other mail."""

    def __init__(self, notices: Notices, messages: Messages, writer: PlanWriter) -> None:
        self._notices = notices
        self._messages = messages
        self._writer = writer

    async def compose(self, telling: Telling, *, with_content: bool) -> Plan | None:
        """Compose what is to be told. Raises `DatabaseUnavailable`, `MailStoreError`."""
        plan = Plan()
        original = await self._original(telling) if with_content else telling.attempted.mail.headers
        await self._notices.add_for_queued(plan, telling, original, returns_content=with_content)
        return plan if plan.mails or plan.contents else None

    async def write_in(self, connection: Connection, notices: Sequence[Plan]) -> Callable[[], None]:
        """Write notices in the caller's transaction."""
        return await self._writer.write_in(connection, notices)

    def abandon(self, notice: Plan) -> None:
        """Give back what was kept for a notice that was not committed."""
        self._writer.abandon(notice)

    async def _original(self, telling: Telling) -> bytes:
        loaded, envelope = telling.attempted.loaded, telling.attempted.mail
        if loaded is not None:
            return b"".join(loaded.pieces)
        content = (await self._messages.contents([envelope.message_id])).get(envelope.message_id)
        if content is None:
            return envelope.headers
        return b"".join((envelope.headers, content.prefix[content.trace_offset :], content.body))
