"""Mails that arrive by one statement lie there as if they had come the long way, or not at all."""

from __future__ import annotations

import pytest

from postroad.events.outbox import Event
from postroad.mailstore.arrival import NotPlaced, arrive, fits_one_statement
from postroad.mailstore.delivery import Delivery
from postroad.mailstore.flags import NO_FLAGS, Flag
from postroad.mailstore.folders import Role
from postroad.message.summary import summarise

from .conftest import START, Store, mail

TABLES = ("message", "content", "entry", "search_pending", "event")


async def counts(store: Store) -> dict[str, int]:
    return {table: await store.database.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_it_lies_there_as_if_it_had_come_the_long_way(store: Store) -> None:
    short, long = await store.accounts(2)
    body = mail(subject="Größe 报价", text="Zeile\r\n" * 50)
    new = await store.messages.prepare(body, summarise(body), b"Return-Path: <>\r\nReceived: x\r\n", 17)
    async with store.database.connection() as connection:
        (placed,) = await arrive(
            connection, [new], [Delivery.of(new, short, START)], [Event("mail.arrived", short, {"a": "ü"})]
        )
    other = await store.messages.prepare(body, summarise(body), b"Return-Path: <>\r\nReceived: x\r\n", 17)
    async with store.database.transaction() as connection:
        await store.messages.store_in(connection, [other])
        await store.entries.deliver_in(connection, [Delivery.of(other, long, START)])
    columns = (
        "m.size_bytes, m.subject, m.sender, m.recipients, m.sent_at, m.message_id, m.thread, "
        "m.has_attachments, m.priority, m.preview, m.envelope, m.structure, c.prefix, c.trace_offset, "
        "c.body, c.blob, e.uid, e.mod_sequence, e.flags, e.keywords, e.received_at, e.size_bytes, e.thread, "
        "e.has_attachments"
    )
    rows = [
        await store.database.fetchrow(
            f"SELECT {columns} FROM entry e JOIN message m ON m.id = e.message_id "
            "JOIN content c ON c.message_id = m.id WHERE e.account_id = $1",
            account,
        )
        for account in (short, long)
    ]
    assert rows[0] is not None and rows[1] is not None
    assert tuple(rows[0]) == tuple(rows[1])
    assert placed.uid == 1
    event = await store.database.fetchrow("SELECT kind, account_id, payload FROM event")
    assert event is not None
    assert tuple(event) == ("mail.arrived", short, {"a": "ü"})


async def test_many_mails_for_one_folder_and_one_mail_for_many(store: Store) -> None:
    accounts = await store.accounts(3)
    news = [await store.messages.prepare(mail(), summarise(mail())) for _ in range(4)]
    deliveries = [Delivery.of(new, account, START) for new in news for account in accounts]
    async with store.database.connection() as connection:
        placed = await arrive(connection, news, deliveries, [])
    assert [each.uid for each in placed] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [each.account_id for each in placed] == [delivery.account_id for delivery in deliveries]
    for account in accounts:
        folder = await store.folders.get_by_role(account, Role.INBOX)
        assert (folder.message_count, folder.unseen_count, folder.uid_next) == (4, 4, 5)


async def test_mails_that_come_alone_are_counted(store: Store) -> None:
    """Each by the statement for one: unread and read, with and without an event."""
    account = await store.account()
    news = [await store.messages.prepare(mail(), summarise(mail())) for _ in range(3)]
    flags = [NO_FLAGS, Flag.SEEN, Flag.FLAGGED]
    async with store.database.connection() as connection:
        placed = [
            await arrive(
                connection,
                [new],
                [Delivery.of(new, account, START, flags=flag)],
                [] if flag else [Event("mail.arrived", account)],
            )
            for new, flag in zip(news, flags, strict=True)
        ]
    assert [(each.uid, each.mod_sequence) for (each,) in placed] == [(1, 2), (2, 3), (3, 4)]
    folder = await store.folders.get_by_role(account, Role.INBOX)
    assert (folder.message_count, folder.unseen_count, folder.uid_next) == (3, 2, 4)
    assert folder.size_bytes == sum(new.size_bytes for new in news)
    assert await counts(store) == dict(zip(TABLES, (3, 3, 3, 3, 1), strict=True))


@pytest.mark.parametrize("missing", ["account", "folder"])
async def test_nothing_is_written_when_one_has_no_place(store: Store, missing: str) -> None:
    account, other = await store.accounts(2)
    if missing == "folder":
        await store.database.execute("DELETE FROM folder WHERE account_id = $1", other)
    before = await counts(store)
    folder_before = await store.folders.get_by_role(account, Role.INBOX)
    new = await store.messages.prepare(mail(), summarise(mail()))
    homeless = other if missing == "folder" else 999_999
    for recipients in ([account, homeless], [homeless]):
        deliveries = [Delivery.of(new, each, START) for each in recipients]
        with pytest.raises(NotPlaced):
            async with store.database.connection() as connection:
                await arrive(connection, [new], deliveries, [Event("mail.arrived", account)])
        assert await counts(store) == before
        assert await store.folders.get_by_role(account, Role.INBOX) == folder_before


async def test_what_a_folder_has_to_learn_takes_the_long_way(store: Store) -> None:
    account = await store.account()
    folder = await store.folders.get_by_role(account, Role.INBOX)
    new = await store.messages.prepare(mail(), summarise(mail()))
    assert fits_one_statement([Delivery.of(new, account, START)])
    assert not fits_one_statement([Delivery.of(new, account, START, folder_id=folder.id)])
    assert not fits_one_statement([Delivery.of(new, account, START, keywords=("$label1",))])
    assert not fits_one_statement([])
