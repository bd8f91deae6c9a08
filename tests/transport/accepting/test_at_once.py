"""A batch as one statement: the same rows as by a transaction, which stands behind it where it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from postroad.db.compound import Clause, compound
from postroad.db.group_commit import AtOnce
from postroad.db.pool import Connection, DatabaseUnavailable
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.plan import Plan
from tests.transport.conftest import House, mail, recipients

STRANGER = Address.parse("stranger@there.example")


def test_clauses_keep_their_own_numbers() -> None:
    text, arguments = compound(
        [Clause("a AS (SELECT $1, $2, $1)", (1, 2)), Clause("b AS (SELECT $1)", ("x",))], "SELECT 1"
    )
    assert text == "WITH a AS (SELECT $1, $2, $1), b AS (SELECT $3) SELECT 1"
    assert arguments == [1, 2, "x"]


async def test_an_inbox_that_was_never_made_is_made(house: House) -> None:
    """The statement fails as a whole, the transaction behind it makes the folders."""
    anna = await house.account()
    assert await house.database.fetchval("SELECT count(*) FROM folder") == 0
    async with house.worker(delivers=False) as worker:
        envelope = Envelope(STRANGER, recipients("anna@here.example"))
        await worker.acceptance.accept(envelope, mail(), house.session())
        await worker.acceptance.accept(envelope, mail(), house.session())
    assert len(await house.inbox(anna)) == 2
    assert await house.database.fetchval("SELECT count(*) FROM message") == 2


async def test_an_account_that_goes_meanwhile_costs_nobody_else_a_mail(house: House) -> None:
    anna = await house.account()
    bert = await house.account("bert@here.example")
    async with house.worker(delivers=False) as worker:
        for who in (anna, bert):
            envelope = Envelope(STRANGER, recipients(str(who.address)))
            await worker.acceptance.accept(envelope, mail(), house.session())
        meaning = await house.resolver.resolve(anna.address)
        await house.database.execute("DELETE FROM account WHERE id = $1", anna.account_id)

        async def resolve_many(addresses: list[Address]) -> dict[str, object]:
            found = {each.key: await house.resolver.resolve(each) for each in addresses}
            return {key: meaning if key == anna.address.key else each for key, each in found.items()}

        worker.acceptance._router._directory.resolve_many = resolve_many  # type: ignore[method-assign, assignment]
        outcomes = await asyncio.gather(
            *(
                worker.acceptance.accept(
                    Envelope(STRANGER, recipients(str(who.address))), mail(), house.session()
                )
                for who in (anna, bert, bert)
            ),
            return_exceptions=True,
        )
    assert isinstance(outcomes[0], SmtpReply) and outcomes[0].code == 451
    assert not isinstance(outcomes[1], BaseException) and not isinstance(outcomes[2], BaseException)
    assert len(await house.inbox(bert)) == 3


async def test_a_statement_whose_answer_is_lost_is_looked_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the commit: the mail is there, and so is the 250."""
    anna = await house.account()
    async with house.worker(delivers=False) as worker:
        envelope = Envelope(STRANGER, recipients("anna@here.example"))
        await worker.acceptance.accept(envelope, mail(), house.session())
        at_once = worker.group._at_once

        def losing_the_answer(plans: Sequence[Plan]) -> AtOnce | None:
            known = at_once(plans)
            assert known is not None

            async def write_and_lose(connection: Connection) -> Callable[[], None] | None:
                await known.write(connection)
                raise DatabaseUnavailable("the connection was lost")

            return AtOnce(write_and_lose, known.resolved)

        monkeypatch.setattr(worker.group, "_at_once", losing_the_answer)
        await worker.acceptance.accept(envelope, mail("Second"), house.session())
    assert len(await house.inbox(anna)) == 2
