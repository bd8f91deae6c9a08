"""Search: what is found, by which words, in which order, and what a broken mail does to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.mailstore.errors import BadQuery
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.folders import Role
from postroad.mailstore.indexer import Indexer, enqueue_all
from postroad.mailstore.lexemes import account_lexeme
from postroad.mailstore.query import parse_query, tsquery
from postroad.mailstore.search import Search, SearchKey

from .conftest import Store, mail


async def index(store: Store) -> int:
    return await Indexer(store.database, store.blobs).run_until_done()


async def found(store: Store, account: int, query: str, folder_id: int | None = None) -> list[str]:
    page = await Search(store.database, store.messages).search(account, query, folder_id)
    return [entry.subject for entry in page.entries]


FILE = (
    "From: =?utf-8?B?5p2O5Zub?= <li.si@partner.example>\r\nTo: anna@test.example\r\nCc: Carl "
    "<carl@cc.example>\r\n"
    "Subject: files\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    "Content-Type: text/html; "
    "charset=utf-8\r\n\r\n<style>hidden{}</style><p>请看<b>附</b>件&nbsp;tomorrow</p>\r\n--b\r\n"
    "Content-Type: application/pdf\r\nContent-Disposition: attachment; "
    "filename*=utf-8''%E6%8A%A5%E4%BB%B7%E5%8D%95.pdf"
    "\r\n\r\nx\r\n--b--\r\n"
).encode()


async def filled(store: Store) -> int:
    account = await store.account()
    for number, body in enumerate(
        (
            mail("Quarterly report", "The annual figures are in this report.\r\n", "1@x"),
            mail("=?utf-8?B?5a2j5bqm5oql5Lu35Y2V?=", "您好，请确认季度报价单，谢谢。\r\n", "2@x"),
            mail("Report annual", "an annual outing; naïve café\r\n", "3@x"),
            FILE,
        )
    ):
        store.clock.move(days=number)
        await store.deliver([account], body)
    await index(store)
    return account


FINDS: dict[str, list[str]] = {
    "report": ["Report annual", "Quarterly report"],
    "REPORT annual": ["Report annual", "Quarterly report"],
    "repo": ["Report annual", "Quarterly report"],
    '"annual figures"': ["Quarterly report"],
    '"report annual"': ["Report annual"],
    'annual -"report annual"': ["Quarterly report"],
    "annual -outing": ["Quarterly report"],
    "报价": ["files", "季度报价单"],
    "季度报价单": ["季度报价单"],
    "价报": [],
    "确认": ["季度报价单"],
    "subject:报价": ["季度报价单"],
    "主题：报价": ["季度报价单"],
    "file:报价单": ["files"],
    "from:李四": ["files"],
    "from:li": ["files"],
    "from:li.si@partner.example": ["files"],
    "li.si@partner.example": ["files"],
    "partner.example": ["files"],
    "to:carl": ["files"],
    "subject:carl": [],
    "hidden": [],
    "附件": ["files"],
    "附件 tomorrow": ["files"],
    "cafe": ["Report annual"],
    "has:attachment": ["files"],
    "report -has:attachment": ["Report annual", "Quarterly report"],
    "from:anna report": ["Report annual", "Quarterly report"],
    "before:2026-01-03": ["Quarterly report"],
    "after:2026-01-05": ["files", "Report annual"],
    "after:2026/01/03 before:20260105": ["季度报价单"],
    "larger:1G": [],
    "is:unread report": ["Report annual", "Quarterly report"],
    "is:flagged": [],
    "": [],
    '" "': [],
    "-": [],
    "nothing' & 'x:*": [],
}


async def test_what_is_found(store: Store) -> None:
    account = await filled(store)
    assert {query: await found(store, account, query) for query in FINDS} == FINDS


async def test_flags_folders_and_strangers(store: Store) -> None:
    account = await filled(store)
    inbox = await store.inbox(account)
    await store.entries.set_flags(account, inbox, [1], FlagChange.adding(Flag.SEEN | Flag.FLAGGED))
    assert await found(store, account, "is:flagged") == ["Quarterly report"]
    assert await found(store, account, "report is:unread") == ["Report annual"]
    assert await found(store, account, "report -is:unread") == ["Quarterly report"]
    archive = (await store.folders.get_by_role(account, Role.ARCHIVE)).id
    await store.entries.move(account, inbox, [3], archive)
    assert await found(store, account, "report", folder_id=archive) == ["Report annual"]
    other = await store.account("other")
    assert await found(store, other, "report") == []
    await store.entries.expunge(account, inbox, [1])
    assert await found(store, account, "figures") == []


async def test_pages_by_key(store: Store) -> None:
    account = await store.account()
    for number in range(7):
        if number % 3:
            store.clock.move(minutes=1)
        await store.deliver([account], mail(f"same {number}"))
    await index(store)
    search = Search(store.database, store.messages)
    for query in ("same", '"same 5" same', "is:unread", '"anna@test.example"'):
        subjects: list[str] = []
        key: SearchKey | None = None
        for _ in range(20):
            page = await search.search(account, query, before=key, limit=2)
            subjects += [entry.subject for entry in page.entries]
            key = page.next
            if key is None:
                break
            assert SearchKey.parse(str(key)) == key
        expected = ["same 5"] if "5" in query else [f"same {number}" for number in range(6, -1, -1)]
        assert subjects == expected
    assert SearchKey.parse("x") is None and SearchKey.parse("9" * 18 + ".1.1") is None


async def test_a_mail_for_many_accounts_is_found_in_each(store: Store) -> None:
    accounts = await store.accounts(3)
    await store.deliver(accounts, mail("shared secret"))
    await index(store)
    for account in accounts:
        assert await found(store, account, "secret") == ["shared secret"]


async def test_large_mails_are_indexed_from_their_blob(store: Store) -> None:
    account = await store.account()
    await store.deliver([account], mail("large", "needle " + "hay " * 10_000))
    await index(store)
    assert await found(store, account, "needle") == ["large"]
    assert await found(store, account, '"needle hay"') == ["large"]


async def test_broken_mails_do_not_stand_in_the_way(store: Store) -> None:
    store.is_damaged = True
    account = await store.account()
    await store.deliver([account], mail("first broken"))
    await store.deliver([account], mail("lost blob", "x" * 20_000))
    await store.deliver([account], b"\x00\xff" * 3000)
    await store.deliver([account], mail("good one"))
    await store.database.execute("UPDATE message SET structure = 'nonsense' WHERE subject = 'first broken'")
    await store.blobs.delete(
        [await store.database.fetchval("SELECT blob FROM content WHERE blob IS NOT NULL")]
    )
    assert await index(store) == 4
    assert await found(store, account, "good") == ["good one"]
    assert await found(store, account, "lost") == ["lost blob"]
    assert await store.database.fetchval("SELECT count(*) FROM search_pending") == 0


async def test_several_indexers_share_the_work(store: Store) -> None:
    account = await store.account()
    await store.fill(account, 40)
    done = await asyncio.gather(
        *(Indexer(store.database, store.blobs, batch=3).run_until_done() for _ in range(4))
    )
    assert sum(done) == 40
    assert await store.database.fetchval("SELECT count(*) FROM search_document") == 40
    assert await enqueue_all(store.database) == 40
    assert await index(store) == 40


async def test_the_indexer_runs_beside_deliveries(store: Store) -> None:
    account = await store.account()
    running = asyncio.create_task(Indexer(store.database, store.blobs, lambda: True, batch=2).run())
    try:
        await store.fill(account, 7)
        async with asyncio.timeout(20):
            while len(await found(store, account, "mail")) < 7:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        running.cancel()


@pytest.mark.parametrize(
    "query", ["before:yesterday", "after:2026-13-01", "is:funny", "larger:big", "x" * 1001]
)
def test_queries_that_make_no_sense_are_refused(query: str) -> None:
    with pytest.raises(BadQuery):
        parse_query(query)


def test_days_begin_where_the_reader_lives() -> None:
    china = timezone(timedelta(hours=8))
    assert parse_query("after:2026-03-01", china).received_from == datetime(2026, 2, 28, 16, tzinfo=UTC)


@given(st.text(max_size=200))
def test_any_text_gives_a_query_or_a_refusal(text: str) -> None:
    try:
        query = parse_query(text)
    except BadQuery:
        return
    assert tsquery(query, account_lexeme(1)).startswith("'a:1'")


async def test_any_query_is_one_for_the_database(store: Store) -> None:
    account = await store.account()
    search = Search(store.database, store.messages)
    for query in (
        "a'b",
        "a\\b",
        "from:'",
        "a & b | !c",
        "((",
        "<->",
        "x:*",
        "'':*",
        "a\\",
        '"\\"',
        "\u3000",
        "从：x",
        "🙂 '",
    ):
        await search.search(account, query)
