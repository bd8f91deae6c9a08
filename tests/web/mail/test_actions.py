"""What people do to mails and folders through the pages."""

from __future__ import annotations

from postroad.mailstore.folders import Role
from tests.web.conftest import Lin
from tests.web.house import House
from tests.web.mails import mail


async def test_moving_says_where_to_and_can_be_undone(house: House, lin: Lin) -> None:
    uids = [await house.deliver(lin.id, mail(f"M{n}", message_id=f"{n}@x.example")) for n in range(3)]
    entries = [f"{lin.inbox}.{uid}" for uid in uids[:2]]
    done = (await lin.visitor.act("/mail/actions", {"action": "archive", "entry": entries})).json()
    assert done["toast"] == "2 messages moved to Archive"
    assert len(await house.entries.page(lin.id, lin.inbox)) == 1
    undo = done["undo"]
    await lin.visitor.act(
        "/mail/actions", {"action": undo["action"], "entry": undo["entries"], "target": undo["target"]}
    )
    assert len(await house.entries.page(lin.id, lin.inbox)) == 3


async def test_deleting_goes_through_the_trash(house: House, lin: Lin) -> None:
    uid = await house.deliver(lin.id, mail())
    entry = f"{lin.inbox}.{uid}"
    refused = await lin.visitor.act("/mail/actions", {"action": "delete", "entry": entry})
    assert refused.status == 409
    done = (await lin.visitor.act("/mail/actions", {"action": "trash", "entry": entry})).json()
    trash = await house.folder(lin.id, Role.TRASH)
    [kept] = await house.entries.page(lin.id, trash)
    assert done["undo"]["entries"] == [f"{trash}.{kept.uid}"]
    gone = await lin.visitor.act("/mail/actions", {"action": "delete", "entry": f"{trash}.{kept.uid}"})
    assert gone.json()["toast"] == "1 message deleted for good"
    assert await house.entries.page(lin.id, trash) == []


async def test_flags_change_for_mails_of_several_folders_at_once(house: House, lin: Lin) -> None:
    first = await house.deliver(lin.id, mail(message_id="1@x.example"))
    second = await house.deliver(lin.id, mail(message_id="2@x.example"), Role.ARCHIVE)
    archive = await house.folder(lin.id, Role.ARCHIVE)
    entries = [f"{lin.inbox}.{first}", f"{archive}.{second}"]
    for action, seen, flagged in (("seen", True, False), ("flag", True, True), ("unseen", False, True)):
        answer = await lin.visitor.act("/mail/actions", {"action": action, "entry": entries})
        assert answer.status == 200
        for folder, uid in ((lin.inbox, first), (archive, second)):
            entry = await house.entries.get(lin.id, folder, uid)
            assert (entry.is_seen, entry.is_flagged) == (seen, flagged)


async def test_malformed_actions_are_refused(lin: Lin) -> None:
    for fields in (
        {"action": "trash"},
        {"action": "trash", "entry": "1"},
        {"action": "trash", "entry": "1.x"},
        {"action": "nonsense", "entry": "1.1"},
        {"action": "move", "entry": "1.1"},
        {"action": "move", "entry": "1.1", "target": "abc"},
        {"action": "trash", "entry": ["1.1"] * 1001},
    ):
        assert (await lin.visitor.act("/mail/actions", fields)).status == 400
    assert (await lin.visitor.post("/mail/actions", {"x": ["1"] * 3000})).status == 400


async def test_a_folder_is_made_renamed_and_deleted_with_its_mail_in_the_trash(
    house: House, lin: Lin
) -> None:
    assert (await lin.visitor.act("/mail/folders", {"name": "项目/一期"})).status == 200
    again = await lin.visitor.act("/mail/folders", {"name": "项目/一期"})
    assert again.status == 409
    assert again.json()["error"] == "There is a folder of that name already."
    bad = await lin.visitor.act("/mail/folders", {"name": "a//b"})
    assert bad.status == 409
    folder = await house.folders.get_by_name(lin.id, "项目/一期")
    parent = await house.folders.get_by_name(lin.id, "项目")
    await house.append.put(lin.id, folder.id, mail())
    done = await lin.visitor.act("/mail/folders/rename", {"folder": str(parent.id), "name": "Projects"})
    assert done.status == 200
    assert (await house.folders.get(lin.id, folder.id)).name == "Projects/一期"
    done = await lin.visitor.act("/mail/folders/delete", {"folder": str(parent.id)})
    assert done.status == 200
    assert {each.name for each in await house.folders.list(lin.id) if each.role is None} == set()
    trash = await house.folder(lin.id, Role.TRASH)
    assert len(await house.entries.page(lin.id, trash)) == 1
    kept = await lin.visitor.act("/mail/folders/delete", {"folder": str(lin.inbox)})
    assert kept.status == 409


async def test_only_trash_and_junk_are_emptied(house: House, lin: Lin) -> None:
    await house.deliver(lin.id, mail(), Role.JUNK)
    await house.deliver(lin.id, mail(message_id="2@x.example"))
    junk = await house.folder(lin.id, Role.JUNK)
    assert (await lin.visitor.act("/mail/folders/empty", {"folder": str(lin.inbox)})).status == 409
    assert (await lin.visitor.act("/mail/folders/empty", {"folder": str(junk)})).status == 200
    assert await house.entries.page(lin.id, junk) == []
    assert len(await house.entries.page(lin.id, lin.inbox)) == 1
