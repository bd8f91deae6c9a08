"""Chapter 5 of the document: templates, call by call."""

from __future__ import annotations

from tests.bridges.edm.conftest import DECLARATION, Caller, data_of, result, status_of, xml
from tests.bridges.edm.test_tasks import make_ready

LETTER = "<p>Dear {{ name|default('reader') }}, this is a letter of ours.</p>"


async def new_template(caller: Caller, **changes: str) -> int:
    fields = {
        "name": "letter",
        "subject": "Hello",
        "content": LETTER,
        "text_content": "Dear reader",
        **changes,
    }
    return int(data_of(await caller.post("template", "add-tpl", fields)))


async def test_5_2_and_5_3_upload_and_check(caller: Caller) -> None:
    answer = await caller.post(
        "template",
        "add-tpl",
        {"name": "信 & 1", "subject": "One | {{ name|upper }} |  | 二", "content": LETTER, "foo": "bar"},
    )
    made = int(data_of(answer))
    assert answer.body == result("success", made)
    before = await caller.get("template", "get-tpl-status", tpl_id=made)
    updated = xml(before).findtext("update_date")
    assert before.text == (
        f"{DECLARATION}<template><id>{made}</id><name>信 &amp; 1</name><status>-1</status><colour></colour>"
        f"<update_date>{updated}</update_date><size_status>-1</size_status><size>0</size>"
        "<subject>One|{{ name|upper }}|二</subject></template>"
    )
    assert await caller.house.campaigns.checks.run_all() == 1
    after = xml(await caller.get("template", "get-tpl-status", tpl_id=made))
    values = [after.findtext(name) for name in ("status", "colour", "size_status", "size")]
    assert values == ["1", "green", "1", "3"]
    bad = await new_template(caller, content="<p>hello</p><script>alert(1)</script>")
    doubtful = await new_template(caller, subject="BUY NOW TODAY!!!")
    await caller.house.campaigns.checks.run_all()
    for template_id, expected in ((bad, ("0", "red")), (doubtful, ("1", "yellow"))):
        shown = xml(await caller.get("template", "get-tpl-status", tpl_id=template_id))
        assert (shown.findtext("status"), shown.findtext("colour")) == expected
    await caller.house.campaigns.templates.approve(caller.id, bad)
    shown = xml(await caller.get("template", "get-tpl-status", tpl_id=bad))
    assert (shown.findtext("status"), shown.findtext("colour")) == ("1", "red_pass")
    assert status_of(await caller.get("template", "get-tpl-status", tpl_id=999)) == "not_exist"
    assert status_of(await caller.get("template", "get-tpl-status")) == "param_error"


async def test_5_2_refuses_with_line_and_reason(caller: Caller) -> None:
    fields = {"name": "n", "subject": "s", "content": "<p>x</p>"}
    broken = await caller.post("template", "add-tpl", {**fields, "content": "<p>\n<b>\n{% if %}"})
    assert (status_of(broken), "第 3 行" in broken.text) == ("tpl_error", True)
    for missing in fields:
        rest = {name: value for name, value in fields.items() if name != missing}
        assert status_of(await caller.post("template", "add-tpl", rest)) == "param_error"
    assert (
        status_of(await caller.post("template", "add-tpl", {**fields, "encoding": "7bit"})) == "param_error"
    )
    assert status_of(await caller.post("template", "add-tpl", {**fields, "subject": " | "})) == "param_error"
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"
    assert status_of(await caller.post("template", "add-tpl", {**fields, "content": endless})) == "tpl_error"


async def test_5_2_takes_attachments_under_all_names(caller: Caller) -> None:
    fields = {"name": "n", "subject": "s", "content": "<p>x</p>", "list_id": "1176005"}
    files = [("file", "一.pdf", b"%PDF-1"), ("file", "C:\\docs\\two.txt", b"2"), ("file[]", "3.txt", b"3")]
    made = data_of(await caller.upload("template", "add-tpl", fields, files))
    shown = xml(await caller.get("template", "list-tpl", tpl_id=made))
    assert [each.findtext("atta_name") for each in shown.iter("attachment")] == ["一.pdf", "two.txt", "3.txt"]
    # Newer PHP sends `@path` as text: it is no file.
    text = data_of(await caller.upload("template", "add-tpl", {**fields, "file": "@/tmp/121.jpg"}, []))
    assert not [*xml(await caller.get("template", "list-tpl", tpl_id=text)).iter("attachment")]


async def test_5_4_lists_as_the_page_fixes_it(caller: Caller) -> None:
    assert (await caller.get("template", "list-tpl")).text == f"{DECLARATION}<template_list></template_list>"
    made = await new_template(caller, subject="One|Two")
    answer = await caller.get("template", "list-tpl")
    root = xml(answer)
    ids = [each.findtext("id") for each in root.iter("subject")]
    created, updated = root.findtext("template/created"), root.findtext("template/updated")
    assert answer.text == (
        f"{DECLARATION}<template_list><template><id>{made}</id><user_id>{caller.id}</user_id>"
        f"<name><![CDATA[letter]]></name><subject><id>{ids[0]}</id><name><![CDATA[One]]></name></subject>"
        f"<subject><id>{ids[1]}</id><name><![CDATA[Two]]></name></subject><content><![CDATA[{LETTER}]]></content>"
        f"<content_type>1</content_type><attachments></attachments><created>{created}</created>"
        f"<updated>{updated}</updated></template></template_list>"
    )
    second = await new_template(caller)
    listed = xml(await caller.get("template", "list-tpl"))
    assert [each.findtext("id") for each in listed] == [str(made), str(second)]
    assert len(xml(await caller.get("template", "list-tpl", tpl_id=second))) == 1
    assert status_of(await caller.get("template", "list-tpl", tpl_id=999)) == "not_exist"


async def test_5_5_deletes_what_no_task_needs(caller: Caller) -> None:
    ready = await make_ready(caller)
    task = await ready.add()
    assert status_of(await caller.get("template", "del-tpl", tpl_id=ready.template_id)) == "tpl_error"
    await ready.set_state(task, 3)
    assert status_of(await caller.get("template", "del-tpl", tpl_id=ready.template_id)) == "success"
    assert status_of(await caller.get("template", "del-tpl", tpl_id=ready.template_id)) == "not_exist"
    assert status_of(await caller.get("template", "del-tpl")) == "param_error"
    assert (await ready.shown(task)).findtext("templates/template/tpl_name") == "letter"


async def test_5_6_changes_and_checks_again(caller: Caller) -> None:
    made = await new_template(caller, subject="One|Two")
    await caller.house.campaigns.checks.run_all()
    before = [
        each.findtext("id")
        for each in xml(await caller.get("template", "list-tpl", tpl_id=made)).iter("subject")
    ]
    assert status_of(await caller.get("template", "edit-tpl", tpl_id=made, name="renamed")) == "success"
    status = xml(await caller.get("template", "get-tpl-status", tpl_id=made))
    assert (status.findtext("status"), status.findtext("name")) == ("1", "renamed")
    answer = await caller.post("template", "edit-tpl", {"tpl_id": made, "subject": "Two|Three"})
    assert status_of(answer) == "success"
    status = xml(await caller.get("template", "get-tpl-status", tpl_id=made))
    assert (status.findtext("status"), status.findtext("subject")) == ("-1", "Two|Three")
    after = [
        each.findtext("id")
        for each in xml(await caller.get("template", "list-tpl", tpl_id=made)).iter("subject")
    ]
    assert after[0] == before[1]
    assert after[1] not in before
    assert status_of(await caller.get("template", "edit-tpl", tpl_id=made, text_content="x")) == "param_error"
    assert status_of(await caller.get("template", "edit-tpl", name="x")) == "param_error"
    assert status_of(await caller.get("template", "edit-tpl", tpl_id=999, name="x")) == "not_exist"
    broken = await caller.get("template", "edit-tpl", tpl_id=made, content="{{ nothing|nofilter }}")
    assert status_of(broken) == "tpl_error"


async def test_5_7_and_5_8_add_and_delete_attachments(caller: Caller) -> None:
    made = await new_template(caller)
    files = [("file", "a.txt", b"a"), ("file", "b.txt", b"b"), ("file[]", "c.txt", b"c")]
    answer = await caller.upload("template", "tpl-attachment-add", {}, files, tpl_id=made)
    ids = data_of(answer).split(",")
    assert answer.body == result("success", ",".join(ids))
    assert len(ids) == 3

    async def names() -> list[str | None]:
        shown = xml(await caller.get("template", "list-tpl", tpl_id=made))
        return [each.findtext("atta_name") for each in shown.iter("attachment")]

    assert (
        status_of(await caller.get("template", "tpl-attachment-del", tpl_id=made, attachment_id=ids[1]))
        == "success"
    )
    assert await names() == ["a.txt", "c.txt"]
    assert (
        status_of(await caller.post("template", "tpl-attachment-del", {"tpl_id": made, "atta_id": ids[0]}))
        == "success"
    )
    assert status_of(await caller.get("template", "tpl-attachment-del", tpl_id=made)) == "success"
    assert await names() == []
    assert (
        status_of(await caller.get("template", "tpl-attachment-del", tpl_id=made, attachment_id=ids[0]))
        == "not_exist"
    )
    assert status_of(await caller.get("template", "tpl-attachment-del", tpl_id=999)) == "not_exist"
    assert (
        status_of(await caller.upload("template", "tpl-attachment-add", {"tpl_id": str(made)}, []))
        == "param_error"
    )
    assert (
        status_of(await caller.upload("template", "tpl-attachment-add", {"tpl_id": "999"}, files))
        == "not_exist"
    )
    many = [("file", f"{number}.txt", b"x") for number in range(21)]
    assert (
        status_of(await caller.upload("template", "tpl-attachment-add", {"tpl_id": str(made)}, many))
        == "param_error"
    )
