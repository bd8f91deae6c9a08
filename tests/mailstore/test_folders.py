"""Folders of an account."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.mailstore.errors import (
    BadFolderName,
    FolderExists,
    FolderProtected,
    NoSuchFolder,
)
from postroad.mailstore.folder_names import MAX_DEPTH, MAX_NAME, folder_name, superiors
from postroad.mailstore.folders import Role, renew_uid_validity_in

from .conftest import Store


@given(st.text(max_size=300))
def test_a_stored_name_is_stable_and_bounded(text: str) -> None:
    try:
        name = folder_name(text)
    except BadFolderName:
        return
    assert folder_name(name) == name
    assert len(name.encode()) <= MAX_NAME and "" not in name.split("/")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "/",
        "a//b",
        "/a",
        "a/",
        " a",
        "a\nb",
        "a*",
        "50%",
        "a\ud800",
        "x" * 201,
        "/".join("a" * (MAX_DEPTH + 1)),
    ],
)
def test_names_that_clients_could_not_ask_for_are_refused(bad: str) -> None:
    with pytest.raises(BadFolderName):
        folder_name(bad)


@pytest.mark.parametrize("name", ["inbox", "Inbox", "INBOX"])
def test_inbox_is_one_folder_in_any_case(name: str) -> None:
    assert folder_name(name) == "INBOX"
    assert folder_name(name + "/项目") == "INBOX/项目"


async def test_the_default_folders_come_in_order(store: Store) -> None:
    account = await store.account()
    assert [each.role for each in await store.folders.list(account)] == list(Role)


async def test_a_folder_of_that_name_takes_the_role(store: Store) -> None:
    account = await store.account()
    await store.database.execute("DELETE FROM folder WHERE account_id = $1", account)
    sent = await store.folders.create(account, "Sent")
    assert (await store.folders.get_by_role(account, Role.SENT)).id == sent.id


async def test_create_makes_what_lies_above(store: Store) -> None:
    account = await store.account()
    await store.folders.create(account, "客户/华东/上海")
    names = {each.name for each in await store.folders.list(account)}
    assert {"客户", "客户/华东", "客户/华东/上海"} <= names
    assert superiors("客户/华东/上海") == ["客户", "客户/华东"]
    with pytest.raises(FolderExists):
        await store.folders.create(account, "客户/华东")


async def test_rename_takes_the_subtree_along_and_keeps_uids(store: Store) -> None:
    account = await store.account()
    child = await store.folders.create(account, "a/b/c")
    parent = await store.folders.get_by_name(account, "a")
    sibling = await store.folders.create(account, "ab")
    await store.folders.rename(account, parent.id, "z/y")
    moved = await store.folders.get(account, child.id)
    assert moved.name == "z/y/b/c" and moved.uid_validity == child.uid_validity
    assert (await store.folders.get(account, sibling.id)).name == "ab"
    assert (await store.folders.get_by_name(account, "z")).id


async def test_rename_refusals(store: Store) -> None:
    account = await store.account()
    parent = await store.folders.create(account, "a")
    await store.folders.create(account, "b")
    with pytest.raises(BadFolderName):
        await store.folders.rename(account, parent.id, "a/inside")
    with pytest.raises(FolderExists):
        await store.folders.rename(account, parent.id, "b")
    with pytest.raises(FolderProtected):
        await store.folders.rename(account, await store.inbox(account), "else")
    with pytest.raises(NoSuchFolder):
        await store.folders.rename(account, 10**9, "else")
    await store.folders.create(account, "a/" + "/".join("x" * (MAX_DEPTH - 1)))
    with pytest.raises(BadFolderName):
        await store.folders.rename(account, parent.id, "one/deeper")


async def test_delete_releases_the_mails(store: Store) -> None:
    account = await store.account()
    folder = await store.folders.create(account, "old")
    await store.fill(account, 3)
    await store.entries.move(account, await store.inbox(account), None, folder.id)
    await store.folders.delete(account, folder.id)
    assert await store.database.fetchval("SELECT count(*) FROM entry") == 0
    assert await store.database.fetchval("SELECT count(*) FROM message_release") == 3
    assert await store.database.fetchval("SELECT count(*) FROM expunged WHERE folder_id = $1", folder.id) == 0


async def test_delete_refusals(store: Store) -> None:
    one, other = await store.accounts(2)
    parent = await store.folders.create(one, "a")
    await store.folders.create(one, "a/b")
    with pytest.raises(FolderProtected):
        await store.folders.delete(one, parent.id)
    with pytest.raises(FolderProtected):
        await store.folders.delete(one, await store.inbox(one))
    with pytest.raises(NoSuchFolder):
        await store.folders.delete(other, parent.id)
    await store.folders.delete_tree(one, parent.id)
    assert len(await store.folders.list(one)) == len(Role)


async def test_a_name_made_again_has_another_uid_validity(store: Store) -> None:
    account = await store.account()
    first = await store.folders.create(account, "again")
    await store.folders.delete(account, first.id)
    second = await store.folders.create(account, "again")
    assert second.uid_validity != first.uid_validity
    async with store.database.transaction() as connection:
        await renew_uid_validity_in(connection)
    third = await store.folders.get(account, second.id)
    assert second.uid_validity < third.uid_validity < 2**32


async def test_an_account_that_goes_takes_its_mails_along(store: Store) -> None:
    one, other = await store.accounts(2)
    await store.deliver([one, other])
    await store.fill(one, 2)
    await store.database.execute("DELETE FROM account WHERE id = $1", one)
    assert await store.database.fetchval("SELECT count(*) FROM entry") == 1
    assert await store.database.fetchval("SELECT count(*) FROM message_release") == 3


async def test_subscriptions(store: Store) -> None:
    account = await store.account()
    folder = await store.folders.create(account, "news")
    await store.folders.set_subscribed(account, folder.id, False)
    assert not (await store.folders.get(account, folder.id)).is_subscribed


async def test_two_who_make_the_same_folder(store: Store) -> None:
    account = await store.account()
    outcomes = await asyncio.gather(
        *(store.folders.create(account, "same/name") for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, FolderExists) for each in outcomes) == 3


async def test_renaming_and_subscribing_raise_the_mod_sequence(store: Store) -> None:
    """So who only compares it now and then sees that something happened."""
    account = await store.account()
    folder = await store.folders.create(account, "a")
    below = await store.folders.create(account, "a/b")
    renamed = await store.folders.rename(account, folder.id, "z")
    assert renamed.mod_sequence > folder.mod_sequence
    assert (await store.folders.get(account, below.id)).mod_sequence > below.mod_sequence
    await store.folders.set_subscribed(account, folder.id, False)
    unsubscribed = await store.folders.get(account, folder.id)
    assert unsubscribed.mod_sequence > renamed.mod_sequence
    await store.folders.set_subscribed(account, folder.id, False)
    assert (await store.folders.get(account, folder.id)).mod_sequence == unsubscribed.mod_sequence
