"""Sending and drafts; and that a call with a key is done once, whatever happened to its answer."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from postroad.api import service
from postroad.directory.identity.calls import AnsweredCalls
from postroad.mailstore.folders import Role
from tests.api.conftest import LIN, WANG, ApiHouse
from tests.api.test_directory import administrator
from tests.api.test_mail import mail, rich_mail

LETTER: dict[str, Any] = {"to": [{"name": "王伟", "address": WANG}], "subject": "你好", "text": "words"}


async def in_folder(api: ApiHouse, account_id: int, role: Role) -> list[str]:
    """The subjects of a folder."""
    folder_id = await api.house.folder(account_id, role)
    return [one.subject for one in await api.house.entries.page(account_id, folder_id)]


async def test_a_message_is_sent_with_files_and_filed(api: ApiHouse) -> None:
    lin, wang = await api.lin(), await api.wang()
    body = {
        **LETTER,
        "cc": [{"address": LIN}],
        "html": '<p>words <img src="cid:p1"></p>',
        "is_urgent": True,
        "wants_receipt": True,
        "files": [
            {"name": "报价.txt", "content_type": "text/plain", "content": base64.b64encode(b"42").decode()},
            {"name": "p.png", "content_type": "image/png", "content": "iVBORw0KGgo=", "content_id": "p1"},
        ],
    }
    sent = await lin.post("/messages", body, 202)
    assert sent["message_id"].endswith("@demo.example")
    folder = await api.house.folder(api.wang_id)
    [row] = (await wang.get(f"/folders/{folder}/messages"))["messages"]
    assert (row["subject"], row["is_urgent"], row["has_attachments"]) == ("你好", True, True)
    read = await wang.get(f"/folders/{folder}/messages/{row['uid']}")
    assert read["message_id"] == sent["message_id"] and "words" in read["text"]
    assert "报价.txt" in [one["name"] for one in read["attachments"]]
    headers = (await wang("GET", f"/folders/{folder}/messages/{row['uid']}/headers")).text
    assert "Disposition-Notification-To" in headers
    assert await in_folder(api, api.lin_id, Role.SENT) == ["你好"]
    for broken, code in [
        ({"subject": "x"}, "invalid"),
        ({"to": [{"address": "no address"}]}, "bad-address"),
        ({"to": [{"address": "nobody@demo.example"}]}, "not-sent"),
        ({**LETTER, "send_as": WANG}, "not-sent"),
        ({**LETTER, "files": [{"name": "x", "content": "AAAA" * 1_500_000}]}, "too-large"),
        ({**LETTER, "files": [{"name": "x", "content": "no base64!"}]}, "invalid"),
        ({**LETTER, "draft": {"folder": folder, "uid": 1}}, "no-such-message"),
    ]:
        answer = await lin("POST", "/messages", broken)
        assert answer.json()["code"] == code, answer.text
    assert await in_folder(api, api.lin_id, Role.SENT) == ["你好"]


async def test_an_answer_goes_on_with_the_conversation_and_marks_it(api: ApiHouse) -> None:
    lin = await api.lin()
    uid = await api.house.deliver(api.lin_id, rich_mail())
    inbox = await api.house.folder(api.lin_id)
    named = {"folder": inbox, "uid": uid}
    await lin.post("/messages", {**LETTER, "answers": named}, 202)
    one = f"/folders/{inbox}/messages/{uid}"
    first = await lin.get(one)
    assert first["is_answered"]
    [file] = [one for one in first["attachments"] if one["name"] == "报价.html"]
    forward = {
        **LETTER,
        "answers": {**named, "how": "forward"},
        "kept_files": [{**named, "section": file["section"]}],
    }
    await lin.post("/messages", forward, 202)
    assert "$forwarded" in (await lin.get(one))["keywords"]
    sent = await api.house.folder(api.lin_id, Role.SENT)
    rows = (await lin.get(f"/folders/{sent}/messages"))["messages"]
    assert {row["thread"] for row in rows} == {first["thread"]}
    assert [row["has_attachments"] for row in rows] == [True, False]


async def test_drafts_are_kept_replaced_sent_and_thrown_away(api: ApiHouse) -> None:
    lin = await api.lin()
    made = await lin.post("/drafts", {**LETTER, "bcc": [{"address": LIN}]}, 201)
    again = await lin("PUT", f"/drafts/{made['uid']}", {**LETTER, "subject": "second"})
    assert again.status == 200 and again.json()["message_id"] == made["message_id"]
    assert (await lin("PUT", f"/drafts/{made['uid']}", LETTER)).json()["code"] == "no-such-message"
    draft = again.json()
    name = {"folder": draft["folder"], "uid": draft["uid"]}
    read = await lin.get(f"/folders/{draft['folder']}/messages/{draft['uid']}")
    assert (read["subject"], read["is_draft"]) == ("second", True)
    await lin.post("/messages", {**LETTER, "draft": name}, 202)
    assert await in_folder(api, api.lin_id, Role.DRAFTS) == []
    other = await lin.post("/drafts", LETTER, 201)
    assert (await lin("DELETE", f"/drafts/{other['uid']}")).status == 204
    assert (await lin("DELETE", f"/drafts/{other['uid']}")).status == 404


async def test_a_call_with_a_key_is_done_once(api: ApiHouse) -> None:
    lin, wang = await api.lin(), await api.wang()
    first = await lin("POST", "/messages", LETTER, idempotency_key="k1")
    again = await lin("POST", "/messages", LETTER, idempotency_key="k1")
    assert first.status == again.status == 202 and first.body == again.body
    assert again.headers["idempotent-replayed"] == "true"
    assert await in_folder(api, api.wang_id, Role.INBOX) == ["你好"]
    other = await lin("POST", "/messages", {**LETTER, "subject": "else"}, idempotency_key="k1")
    assert other.json()["code"] == "key-reused"
    assert (await wang("POST", "/messages", LETTER, idempotency_key="k1")).status == 202  # a key is one's own
    assert (await lin("POST", "/messages", LETTER, idempotency_key="bad key")).status == 422
    # A refusal does nothing, so the key is free.
    assert (await lin("POST", "/messages", {"to": []}, idempotency_key="k2")).status == 422
    assert (await lin("POST", "/messages", LETTER, idempotency_key="k2")).status == 202
    folder = await lin("POST", "/folders", {"name": "Once"}, idempotency_key="k3")
    twice = await lin("POST", "/folders", {"name": "Once"}, idempotency_key="k3")
    assert (folder.status, twice.status, twice.body) == (201, 201, folder.body)
    assert twice.headers["location"] == folder.headers["location"]


async def test_more_large_bodies_than_there_is_room_for_are_told_to_come_again(
    api: ApiHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lin = await api.lin()
    large = {**LETTER, "files": [{"name": "x", "content": "AAAA" * 400_000}]}
    with monkeypatch.context() as crowded:
        crowded.setattr(service, "LARGE_BODIES", 0)
        busy = await lin("POST", "/messages", large)
        assert (busy.status, busy.headers["retry-after"]) == (503, "10")
        assert (await lin("POST", "/messages", LETTER)).status == 202
    assert (await lin("POST", "/messages", large)).status == 202  # nothing is held of the one before


async def test_a_password_leaves_nothing_to_guess_at(api: ApiHouse) -> None:
    root = await administrator(api, "root")
    new = {"address": "neu@demo.example", "password": "first secret 1"}
    first = await root("POST", "/accounts", new, idempotency_key="k")
    again = await root("POST", "/accounts", {**new, "password": "other secret 2"}, idempotency_key="k")
    assert (first.status, again.body) == (201, first.body)
    other = await root("POST", "/accounts", {**new, "display_name": "x"}, idempotency_key="k")
    assert other.json()["code"] == "key-reused"


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_call_whose_end_nobody_knows_is_looked_up(
    api: ApiHouse, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies with the call in hand: before its work, or between the work and the note of it."""

    class Killed(BaseException):
        pass

    async def die(*_: object) -> None:
        raise Killed

    lin = await api.lin()
    calls: list[tuple[str, dict[str, Any], int]] = [
        ("/messages", LETTER, 202),
        ("/drafts", LETTER, 201),
        ("/folders", {"name": "Once"}, 201),
    ]
    for number, (path, body, status) in enumerate(calls):
        with monkeypatch.context() as broken:
            if where == "after":
                broken.setattr(AnsweredCalls, "keep", die)
            else:
                for kind, method in [
                    (type(api.house.append), "put"),
                    (type(api.house.transport.submission), "send"),
                    (type(api.house.folders), "create"),
                ]:
                    broken.setattr(kind, method, die)
            broken.setattr(AnsweredCalls, "leave_open", die)
            with pytest.raises(Killed):
                await lin("POST", path, body, idempotency_key=f"dead {number}".replace(" ", "-"))
        held = await lin("POST", path, body, idempotency_key=f"dead-{number}")
        assert held.json()["code"] == "key-in-use" and int(held.headers["retry-after"]) <= 90
        await api.house.database.execute("UPDATE api_answer SET held_until = now() - interval '1 second'")
        done = await lin("POST", path, body, idempotency_key=f"dead-{number}")
        assert done.status == status, done.text
        again = await lin("POST", path, body, idempotency_key=f"dead-{number}")
        assert again.body == done.body
    assert await in_folder(api, api.wang_id, Role.INBOX) == ["你好"]
    assert await in_folder(api, api.lin_id, Role.SENT) == ["你好"]
    assert await in_folder(api, api.lin_id, Role.DRAFTS) == ["你好"]
    # Where nothing would show whether it was sent, it is not sent again.
    with monkeypatch.context() as broken:
        broken.setattr(AnsweredCalls, "keep", die)
        broken.setattr(AnsweredCalls, "leave_open", die)
        with pytest.raises(Killed):
            await lin("POST", "/messages", {**LETTER, "saves_to_sent": False}, idempotency_key="dead-9")
    await api.house.database.execute("UPDATE api_answer SET held_until = now() - interval '1 second'")
    unknown = await lin("POST", "/messages", {**LETTER, "saves_to_sent": False}, idempotency_key="dead-9")
    assert unknown.json()["code"] == "outcome-unknown"


async def test_the_mail_of_others_is_out_of_reach_in_bodies_too(api: ApiHouse) -> None:
    lin = await api.lin()
    uid = await api.house.deliver(api.wang_id, mail("secret"))
    folder = await api.house.folder(api.wang_id)
    name = {"folder": folder, "uid": uid}
    mine = await api.house.folder(api.lin_id)
    await api.house.deliver(api.lin_id, mail("mine"))
    for path, body in [
        ("/messages", {**LETTER, "answers": name}),
        ("/messages", {**LETTER, "draft": name}),
        ("/messages", {**LETTER, "kept_files": [{**name, "section": "1"}]}),
        ("/drafts", {**LETTER, "kept_files": [{**name, "section": "1"}]}),
        (f"/folders/{mine}/messages/move", {"uids": [1], "to": folder}),
        (f"/folders/{mine}/messages/copy", {"uids": [1], "to": folder}),
    ]:
        answer = await lin("POST", path, body)
        assert answer.status == 404, answer.text
    assert await in_folder(api, api.wang_id, Role.INBOX) == ["secret"]
    assert await in_folder(api, api.lin_id, Role.INBOX) == ["mine"]
