"""Folders, lists, reading, changing: what a front end does all day."""

from __future__ import annotations

from email.message import EmailMessage

from postroad.mailstore.folders import Role
from tests.api.conftest import ApiHouse
from tests.web.house import until

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def mail(subject: str, body: str = "Guten Tag", sender: str = "Max <max@far.example>") -> bytes:
    """A plain mail."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, "lin@demo.example", subject
    made["Message-ID"] = f"<{subject.encode().hex()}@far.example>"
    made.set_content(body)
    return made.as_bytes().replace(b"\n", b"\r\n")


def rich_mail() -> bytes:
    """HTML with a script, a picture of its own, one from elsewhere, and a file."""
    made = EmailMessage()
    made["From"], made["To"] = "Max <max@far.example>", "林晓 <lin@demo.example>, Wang <wang@demo.example>"
    made["Subject"], made["Message-ID"] = "报价 quote", "<rich@far.example>"
    made.set_content("plain words\n")
    made.add_alternative(
        '<p onclick="x()">rich words<script>alert(1)</script><img src="cid:pic"><img src="https://t.example/p">',
        subtype="html",
    )
    made.get_payload()[1].add_related(PNG, "image", "png", cid="<pic>")  # type: ignore[union-attr, index]
    made.add_attachment(b"<b>page</b>", "text", "html", filename="报价.html")
    return made.as_bytes().replace(b"\n", b"\r\n")


async def test_folders_with_their_counts(api: ApiHouse) -> None:
    lin = await api.lin()
    for number in range(3):
        await api.house.deliver(api.lin_id, mail(f"n {number}"))
    answer = await lin("GET", "/folders")
    folders = {one["role"] or one["name"]: one for one in answer.json()["folders"]}
    assert (folders["inbox"]["messages"], folders["inbox"]["unread"]) == (3, 3)
    assert (await lin("GET", "/folders", if_none_match=answer.headers["etag"])).status == 304
    made = await lin("POST", "/folders", {"name": "Projekte/2026"})
    assert made.status == 201 and made.headers["location"].endswith(f"/folders/{made.json()['id']}")
    assert (await lin("POST", "/folders", {"name": "Projekte/2026"})).json()["code"] == "folder-exists"
    one = f"/folders/{made.json()['id']}"
    changed = await lin("PATCH", one, {"name": "Akten", "is_subscribed": False})
    assert (changed.json()["name"], changed.json()["is_subscribed"]) == ("Akten", False)
    assert (await lin("DELETE", one)).status == 204
    assert (await lin("GET", one)).json()["code"] == "no-such-folder"
    assert (await lin("DELETE", f"/folders/{folders['inbox']['id']}")).json()["code"] == "folder-protected"
    assert (await lin("GET", "/folders", if_none_match=answer.headers["etag"])).status == 200
    statistics = await lin.get("/statistics", days=2)
    assert (statistics["messages"], statistics["is_whole"]) == (3, True)
    inbox = next(one for one in statistics["folders"] if one["role"] == "inbox")
    assert sum(day["messages"] for day in inbox["days"]) == 3


async def test_lists_page_by_cursor_and_know_what_has_not_changed(api: ApiHouse) -> None:
    lin = await api.lin()
    uids = [await api.house.deliver(api.lin_id, mail(f"n {number}")) for number in range(7)]
    base = f"/folders/{await api.house.folder(api.lin_id)}/messages"
    seen, cursor = [], None
    while True:
        page = await lin.get(base, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [one["uid"] for one in page["messages"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sorted(uids, reverse=True)
    first = await lin("GET", base + "?limit=2")
    assert (await lin("GET", base + "?limit=2", if_none_match=first.headers["etag"])).status == 304
    assert (await lin("GET", base + "?limit=3", if_none_match=first.headers["etag"])).status == 200
    await lin.post(base + "/flags", {"uids": uids[:2], "add": ["read", "flagged"], "add_keywords": ["$Work"]})
    assert (await lin("GET", base + "?limit=2", if_none_match=first.headers["etag"])).status == 200
    assert len((await lin.get(base, only="unread"))["messages"]) == 5
    flagged = (await lin.get(base, only="flagged"))["messages"]
    assert [(one["uid"], one["keywords"]) for one in flagged] == [(uid, ["$work"]) for uid in uids[1::-1]]


async def test_a_message_is_read_safely_with_all_its_parts(api: ApiHouse) -> None:
    lin = await api.lin()
    content = rich_mail()
    uid = await api.house.deliver(api.lin_id, content)
    one = f"/folders/{await api.house.folder(api.lin_id)}/messages/{uid}"
    read = await lin.get(one, pictures="/proxy/")
    assert (read["subject"], read["message_id"]) == ("报价 quote", "rich@far.example")
    assert read["header_from"] == [{"name": "Max", "address": "max@far.example"}]
    assert [person["name"] for person in read["to"]] == ["林晓", "Wang"]
    assert read["text"].strip() == "plain words" and "rich words" in read["html"]
    assert "script" not in read["html"] and "onclick" not in read["html"]
    assert read["has_remote_pictures"] and "t.example" not in read["html"] and read["is_whole"]
    assert "/proxy/" in read["html"] and not read["is_read"]
    [file] = read["attachments"]
    assert (file["name"], file["content_type"]) == ("报价.html", "text/html")
    assert 11 <= file["size_bytes"] <= 13  # told from the base64, without reading it
    part = await lin("GET", f"{one}/parts/{file['section']}")
    assert part.body == b"<b>page</b>" and part.headers["content-type"] == "application/octet-stream"
    assert "attachment" in part.headers["content-disposition"]
    assert "sandbox" in part.headers["content-security-policy"]
    unchanged = await lin("GET", f"{one}/parts/{file['section']}", if_none_match=part.headers["etag"])
    assert (unchanged.status, unchanged.body) == (304, b"")
    picture = read["html"].partition("/proxy/")[2].partition('"')[0]
    shown = await lin("GET", f"{one}/parts/{picture}")
    assert (shown.headers["content-type"], shown.body) == ("image/png", PNG)
    assert "t.example" in (await lin.get(one, images="true", body="html"))["html"]
    assert (await lin.get(one, body="none"))["text"] is None
    raw = await lin("GET", one + "/raw")
    assert raw.body.endswith(content) and raw.headers["content-type"] == "message/rfc822"
    headers = await lin("GET", one + "/headers")
    assert headers.text.startswith("Return-Path:") and "Message-ID: <rich@far.example>" in headers.text
    assert (await lin("GET", one + "/parts/9.9")).status == 404
    await api.house.deliver(api.lin_id, rich_mail().replace(b"plain words", b""))
    assert "rich words" in (await lin.get(one[: one.rindex("/")] + f"/{uid + 1}", body="html"))["html"]


async def test_many_are_moved_copied_and_deleted_at_once(api: ApiHouse) -> None:
    lin = await api.lin()
    uids = [await api.house.deliver(api.lin_id, mail(f"n {number}")) for number in range(6)]
    inbox = f"/folders/{await api.house.folder(api.lin_id)}/messages"
    archive, trash = (
        await api.house.folder(api.lin_id, Role.ARCHIVE),
        await api.house.folder(api.lin_id, Role.TRASH),
    )
    moved = await lin.post(inbox + "/move", {"uids": [*uids[:2], 9999], "to": archive})
    assert [one["uid"] for one in moved["messages"]] == uids[:2]
    copied = await lin.post(inbox + "/copy", {"uids": uids[2:3], "to": archive})
    assert len(copied["messages"]) == 1
    deleted = await lin.post(inbox + "/delete", {"uids": uids[3:5]})
    assert (deleted["uids"], deleted["to"]) == (uids[3:5], trash)
    gone = await lin.post(inbox + "/delete", {"uids": uids[5:], "for_good": True})
    assert (gone["uids"], gone["to"]) == (uids[5:], None)
    emptied = await lin.post(f"/folders/{trash}/messages/delete", {"uids": [1, 2]})
    assert emptied == {"uids": [1, 2], "to": None}
    counts = {one["id"]: one["messages"] for one in (await lin.get("/folders"))["folders"]}
    assert (counts[archive], counts[trash]) == (3, 0)
    # What somebody else changed since one looked is left.
    version = (await lin.get(inbox))["messages"][0]["version"]
    await lin.post(inbox + "/flags", {"uids": uids[2:3], "add": ["read"]})
    late = await lin.post(inbox + "/flags", {"uids": uids[2:3], "remove": ["read"], "if_version": version})
    assert (late["changed"], late["left"]) == ([], uids[2:3])


async def test_search_finds_and_people_are_suggested(api: ApiHouse) -> None:
    lin = await api.lin()
    for subject, body in [("合同 contract", "please sign"), ("other", "nothing"), ("合同 again", "signed")]:
        await api.house.deliver(api.lin_id, mail(subject, body))

    async def is_indexed() -> bool:
        return len((await lin.get("/search", q="合同"))["messages"]) == 2

    await until(is_indexed, 60)
    page = await lin.get("/search", q="合同", limit=1)
    rest = await lin.get("/search", q="合同", limit=1, cursor=page["next"])
    assert [page["messages"][0]["subject"], rest["messages"][0]["subject"]] == ["合同 again", "合同 contract"]
    assert (await lin("GET", "/search?q=is:nonsense")).json()["code"] == "bad-query"
    assert (await lin.get("/people", q="max"))["people"] == [{"name": "Max", "address": "max@far.example"}]


async def test_problems_speak_the_callers_language(api: ApiHouse) -> None:
    lin = await api.lin()
    answer = await lin("GET", "/folders/999999", accept_language="zh-CN,zh;q=0.9,en;q=0.5")
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["title"], problem["code"]) == (404, "没有此文件夹", "no-such-folder")
    assert (await lin("GET", "/folders/999999")).json()["title"] == "No such folder"
    wrong = await lin("POST", "/folders", {"nmae": "x"}, accept_language="zh")
    assert {one["where"]: one["message"] for one in wrong.json()["errors"]} == {
        "body.name": "缺失",
        "body.nmae": "是未知字段",
    }
    for method, path, body, status, code in [
        ("GET", "/nothing", None, 404, "not-found"),
        ("PUT", "/folders", None, 405, "wrong-method"),
        ("POST", "/folders", b"{", 400, "bad-json"),
        ("POST", "/folders", {"name": "a\0b"}, 422, "invalid"),
        ("POST", "/folders", b"[" * 100_000, 400, "bad-json"),
        ("POST", "/folders", {"name": "x" * 2_000_000}, 413, "too-large"),
        ("GET", "/folders?x=1", None, 422, "invalid"),
        ("GET", "/folders/99999999999999999999", None, 404, "not-found"),
        ("GET", "/search?q=a&q=b", None, 400, "bad-request"),
        ("GET", "/search?q=a%00b", None, 400, "bad-request"),
        ("POST", "/folders/1/messages/flags", {"uids": [1]}, 422, "invalid"),
    ]:
        answer = await lin(method, path, body)
        assert (answer.status, answer.json()["code"]) == (status, code), path
    assert (await lin("POST", "/folders", b"{}", content_type="text/plain")).status == 415
