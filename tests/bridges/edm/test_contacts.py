"""Chapter 4 of the document: categories and addresses, call by call."""

from __future__ import annotations

from tests.bridges.edm.conftest import DECLARATION, Caller, data_of, result, status_of, xml

ML = "mloperate"


async def new_list(caller: Caller, subject: str = "readers") -> int:
    return int(data_of(await caller.post(ML, "maillist-add", {"subject": subject, "status": "enabled"})))


async def new_address(caller: Caller, list_id: int, address: str, **fields: object) -> int:
    answer = await caller.get(ML, "ml-addr-add", list_id=list_id, address=address, return_id=1, **fields)
    return int(data_of(answer))


async def addresses(caller: Caller, list_id: int) -> list[str]:
    root = xml(await caller.get(ML, "ml-addr-list", list_id=list_id))
    return [str(each.findtext("address")) for each in root.findall("addr")]


async def test_4_1_lists_categories(caller: Caller) -> None:
    empty = await caller.get(ML, "maillist-list")
    assert empty.body == f"{DECLARATION}<maillist></maillist>".encode()
    one = await new_list(caller, "老客户 <1>")
    await new_address(caller, one, "a@example.com")
    answer = await caller.get(ML, "maillist-list")
    assert answer.body.decode() == (
        f"{DECLARATION}<maillist><item><id>{one}</id><subject>老客户 &lt;1&gt;</subject>"
        "<description></description>"
        "<count>1</count><status>enabled</status></item></maillist>"
    )
    two = await new_list(caller)
    assert [item.findtext("id") for item in xml(await caller.get(ML, "maillist-list"))] == [
        str(one),
        str(two),
    ]


async def test_4_2_shows_a_category(caller: Caller) -> None:
    made = await new_list(caller)
    answer = await caller.get(ML, "maillist-detail", id=made)
    assert answer.body.decode() == (
        f"{DECLARATION}<maillist><id>{made}</id><subject>readers</subject><description></description>"
        "<count>0</count><status>enabled</status></maillist>"
    )
    assert status_of(await caller.get(ML, "maillist-detail", id=999)) == "not_exist"
    assert status_of(await caller.get(ML, "maillist-detail")) == "param_error"


async def test_4_3_adds_a_category(caller: Caller) -> None:
    answer = await caller.post(
        ML, "maillist-add", {"subject": "x", "status": "disabled", "description": "why"}
    )
    made = int(data_of(answer))
    assert answer.body == result("success", made)
    shown = xml(await caller.get(ML, "maillist-detail", id=made))
    assert (shown.findtext("status"), shown.findtext("description")) == ("disabled", "why")
    assert data_of(await caller.get(ML, "maillist-add", subject="x", status="enabled")) != str(made)
    for fields in ({"status": "enabled"}, {"subject": "x"}, {"subject": "x", "status": "on"}):
        assert status_of(await caller.post(ML, "maillist-add", fields)) == "add_maillist_error"


async def test_4_4_changes_a_category(caller: Caller) -> None:
    made = await new_list(caller)
    assert status_of(await caller.post(ML, "maillist-edit", {"status": "disabled"}, id=made)) == "success"
    shown = xml(await caller.get(ML, "maillist-detail", id=made))
    assert (shown.findtext("subject"), shown.findtext("status")) == ("readers", "disabled")
    assert data_of(await caller.post(ML, "maillist-edit", {"id": made, "subject": "new"}))
    assert xml(await caller.get(ML, "maillist-detail", id=made)).findtext("subject") == "new"
    assert status_of(await caller.post(ML, "maillist-edit", {"subject": "x"})) == "update_maillist_error"
    assert (
        status_of(await caller.post(ML, "maillist-edit", {"status": "x"}, id=made)) == "update_maillist_error"
    )
    assert status_of(await caller.post(ML, "maillist-edit", {"subject": "x"}, id=99)) == "not_exist"


async def test_4_5_deletes_a_category_with_its_addresses(caller: Caller) -> None:
    made = await new_list(caller)
    contact = await new_address(caller, made, "a@example.com")
    assert status_of(await caller.get(ML, "maillist-del", id=made)) == "success"
    assert status_of(await caller.get(ML, "maillist-del", id=made)) == "not_exist"
    assert status_of(await caller.get(ML, "maillist-del")) == "delete_maillist_error"
    assert status_of(await caller.get(ML, "ml-addr-list", address_id=contact)) == "not_exist"


async def test_4_5_leaves_a_category_that_a_task_needs(caller: Caller) -> None:
    made = await new_list(caller)
    await new_address(caller, made, "a@example.com")
    sender, template = await caller.house.sender(caller.id), await caller.house.template(caller.id)
    task = await caller.get(
        "task",
        "add-task",
        tpl_id=template,
        send_account=sender,
        send_fullname="News",
        maillist_id=made,
        time="2099-01-01",
    )
    assert status_of(task) == "success", task.text
    assert status_of(await caller.get(ML, "maillist-del", id=made)) == "delete_maillist_error"


async def test_4_6_exports_subscribers(caller: Caller) -> None:
    made = await new_list(caller)
    empty = await caller.get(ML, "subscription-export", id=made)
    assert (empty.body, empty.headers["content-type"]) == (b"", "text/plain; charset=utf-8")
    await new_address(caller, made, "a@example.com", fullname="林 晓")
    await new_address(caller, made, "b@example.com", fullname="two\twords")
    await new_address(caller, made, "c@example.com")
    await caller.get(ML, "ml-unsub", list_id=made, address="c@example.com")
    answer = await caller.get(ML, "subscription-export", id=made)
    assert answer.text == "a@example.com\t林 晓\nb@example.com\ttwo words\n"
    assert status_of(await caller.get(ML, "subscription-export", id=99)) == "not_exist"


async def test_4_7_exports_who_left(caller: Caller) -> None:
    made = await new_list(caller)
    assert (await caller.get(ML, "unsubscribe-export", id=made)).body == b""
    for address in ("a@example.com", "B@example.com"):
        await new_address(caller, made, address)
        await caller.get(ML, "ml-unsub", list_id=made, address=address)
    lines = (await caller.get(ML, "unsubscribe-export", id=made)).text.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["a@example.com", "b@example.com"]
    assert all(len(line.split("\t")[0]) == 19 for line in lines)
    assert status_of(await caller.get(ML, "unsubscribe-export", id=99)) == "not_exist"


async def test_4_8_shows_an_address_as_the_page_fixes_it(caller: Caller) -> None:
    made = await new_list(caller)
    assert (await caller.get(ML, "ml-addr-list", list_id=made)).body == (
        f"{DECLARATION}<data><total_num>0</total_num></data>".encode()
    )
    contact = await new_address(
        caller,
        made,
        "Li@Example.com",
        fullname="李]]>",
        sex="F",
        birthday="1986-8-5",
        phone="13528775736",
        area="深圳",
        var1="<1>",
        Var10="十",
    )
    answer = await caller.get(ML, "ml-addr-list", address_id=contact)
    added = xml(answer).findtext("addr/time")
    empty = "".join(f"<var{number}></var{number}>" for number in range(2, 10))
    assert answer.text == (
        f"{DECLARATION}<data><total_num>1</total_num><addr><id>{contact}</id><list_id>{made}</list_id>"
        "<address><![CDATA[Li@example.com]]></address><brithday>1986-08-05</brithday>"
        "<birthday>1986-08-05</birthday><sex>F</sex><phone>13528775736</phone><area><![CDATA[深圳]]></area>"
        f"<fullname><![CDATA[李]]]]><![CDATA[>]]></fullname><time>{added}</time><var1>&lt;1&gt;</var1>{empty}"
        "<var10>十</var10></addr></data>"
    )
    assert xml(answer).findtext("addr/fullname") == "李]]>"


async def test_4_8_pages_and_searches(caller: Caller) -> None:
    made, other = await new_list(caller), await new_list(caller)
    for number in range(7):
        await new_address(caller, made, f"reader{number}@example.com", fullname=f"Nr {number}")
    await new_address(caller, other, "else@example.com", fullname="READER of all")

    async def page(**parameters: object) -> tuple[str, list[str]]:
        root = xml(await caller.get(ML, "ml-addr-list", **parameters))
        return str(root.findtext("total_num")), [
            str(each.findtext("address"))[:7] for each in root.findall("addr")
        ]

    assert await page(list_id=made, page=2, limit=3) == ("7", ["reader3", "reader4", "reader5"])
    assert await page(list_id=made, page=9, limit=3) == ("7", [])
    assert len((await page(list_id=made, limit=2))[1]) == 7
    assert (await page(keyword="reader"))[0] == "8"
    assert await page(list_id=made, keyword="NR 4") == ("1", ["reader4"])
    assert await page(list_id=0) == ("0", [])
    assert status_of(await caller.get(ML, "ml-addr-list", list_id=made, page=0)) == "param_error"
    assert status_of(await caller.get(ML, "ml-addr-list", list_id=99)) == "not_exist"
    sent_in_the_body = xml(await caller.post(ML, "ml-addr-list", {"list_id": other}))
    assert sent_in_the_body.findtext("total_num") == "1"


async def test_4_9_1_adds_one(caller: Caller) -> None:
    made = await new_list(caller)
    answer = await caller.get(ML, "ml-addr-add", list_id=made, address="a@example.com")
    assert answer.body == result("success", "添加地址成功")
    assert (
        status_of(await caller.get(ML, "ml-addr-add", list_id=made, address="A@EXAMPLE.com"))
        == "address_exist"
    )
    assert status_of(await caller.get(ML, "ml-addr-add", list_id=made, address="a@@b")) == "address_error"
    assert status_of(await caller.get(ML, "ml-addr-add", list_id=made)) == "param_error"
    assert status_of(await caller.get(ML, "ml-addr-add", list_id=99, address="b@example.com")) == "not_exist"
    assert await addresses(caller, made) == ["a@example.com"]


async def test_4_9_2_adds_many(caller: Caller) -> None:
    made = await new_list(caller)
    rows = (
        "Coming1@bestdem.org;coming1;M;1986-08-10;13528775968;北京;var1;var2;\r\n"
        "test@bestdem.org; test;X;1986-13-45;13528775968;area\nnobody\n\nTEST@bestdem.org;again\n"
    )
    answer = await caller.post(
        ML, "ml-addr-add", {"ml_addr": rows, "addr_type": "", "separate": ""}, list_id=made
    )
    assert answer.body == result("success", 2)
    first, second = xml(await caller.get(ML, "ml-addr-list", list_id=made)).findall("addr")
    assert [first.findtext(name) for name in ("address", "fullname", "sex", "birthday", "area", "var2")] == [
        "Coming1@bestdem.org",
        "coming1",
        "M",
        "1986-08-10",
        "北京",
        "var2",
    ]
    assert [second.findtext(name) for name in ("fullname", "sex", "birthday")] == ["test", "", ""]
    again = await caller.post(ML, "ml-addr-add", {"ml_addr": rows}, list_id=made)
    assert status_of(again) == "address_error"


async def test_4_9_2_takes_other_separators_and_arrays(caller: Caller) -> None:
    made = await new_list(caller)
    for fields, query, count in (
        ({"ml_addr": "a@example.com;A|b@example.com"}, {"separate": "|"}, "2"),
        ({"ml_addr": "c@example.com\r\nd@example.com"}, {"separate": "\\r\\n"}, "2"),
        ({"ml_addr": "e@example.com\tf@example.com"}, {"separate": "\\t"}, "2"),
        ({"ml_addr[]": ["g@example.com;G", "h@example.com"]}, {"addr_type": "array"}, "2"),
    ):
        assert data_of(await caller.post(ML, "ml-addr-add", fields, list_id=made, **query)) == count
    wrong = await caller.post(ML, "ml-addr-add", {"ml_addr": "x@example.com"}, list_id=made, addr_type="json")
    assert status_of(wrong) == "param_error"


async def test_4_9_3_and_4_9_4_import_a_file(caller: Caller) -> None:
    made = await new_list(caller)
    content = "a@example.com;林;M;1986-08-10;1;北京;v1\r\nnobody\r\nA@example.com;again\r\n".encode("gb18030")
    answer = await caller.upload(ML, "ml-addr-add-file", {}, [("file", "地址.txt", content)], list_id=made)
    job = int(data_of(answer))
    assert answer.body == result("success", job, cdata=True)
    assert status_of(await caller.get(ML, "ml-addr-add-file-query", id=job)) == "no_complete"
    assert await caller.house.campaigns.imports.run_once()
    done = await caller.get(ML, "ml-addr-add-file-query", id=job)
    assert done.body == result("success", "解析完成：添加 1，重复 1，无效 1", cdata=True)
    shown = xml(await caller.get(ML, "ml-addr-list", list_id=made))
    assert [shown.findtext(f"addr/{name}") for name in ("fullname", "area", "var1")] == ["林", "北京", "v1"]
    assert status_of(await caller.get(ML, "ml-addr-add-file-query", id=999)) == "not_exist"
    assert status_of(await caller.get(ML, "ml-addr-add-file-query", id="x")) == "error"


async def test_4_9_3_refuses_what_is_no_upload(caller: Caller) -> None:
    made, row = await new_list(caller), b"a@example.com"
    for files in (
        [("data", "x.txt", row)],
        [],
        [("file", "x", row), ("file", "y", row)],
        [("file", "x", b"")],
    ):
        answer = await caller.upload(ML, "ml-addr-add-file", {"list_id": str(made)}, files)
        assert status_of(answer) == "param_error", files
    assert (
        status_of(await caller.upload(ML, "ml-addr-add-file", {"list_id": "9"}, [("file", "x", row)]))
        == "not_exist"
    )
    broken = await caller.upload(
        ML, "ml-addr-add-file", {"list_id": str(made)}, [("file", "x", b"PK\x03\x04")]
    )
    await caller.house.campaigns.imports.run_once()
    assert status_of(await caller.get(ML, "ml-addr-add-file-query", id=data_of(broken))) == "error"


async def test_4_10_changes_an_address(caller: Caller) -> None:
    made = await new_list(caller)
    contact = await new_address(caller, made, "a@example.com", fullname="A", var3="3")
    await new_address(caller, made, "b@example.com")
    assert status_of(await caller.get(ML, "ml-addr-edit", id=contact, var1="1", list_id=77)) == "success"
    assert (
        status_of(await caller.post(ML, "ml-addr-edit", {"id": contact, "address": "C@example.com"}))
        == "success"
    )
    shown = xml(await caller.get(ML, "ml-addr-list", address_id=contact)).find("addr")
    assert [shown.findtext(name) for name in ("address", "fullname", "var1", "var3")] == [
        "C@example.com",
        "A",
        "1",
        "3",
    ]
    assert (
        status_of(await caller.get(ML, "ml-addr-edit", id=contact, address="B@example.com"))
        == "address_exist"
    )
    assert status_of(await caller.get(ML, "ml-addr-edit", id=contact, address="nobody")) == "address_error"
    assert status_of(await caller.get(ML, "ml-addr-edit", id=999, fullname="x")) == "not_exist"
    assert status_of(await caller.get(ML, "ml-addr-edit", fullname="x")) == "param_error"


async def test_4_11_deletes_addresses(caller: Caller) -> None:
    made = await new_list(caller)
    ids = [await new_address(caller, made, f"{name}@example.com") for name in "abc"]
    assert status_of(await caller.get(ML, "ml-addr-del", id=ids[0])) == "success"
    assert status_of(await caller.get(ML, "ml-addr-del", id=f"{ids[1]},{ids[0]}")) == "success"
    assert await addresses(caller, made) == ["c@example.com"]
    assert status_of(await caller.get(ML, "ml-addr-del", id=ids[0])) == "not_exist"
    assert status_of(await caller.get(ML, "ml-addr-del", id="a,b")) == "param_error"
    assert status_of(await caller.get(ML, "ml-addr-del")) == "param_error"


async def test_4_12_empties_a_category(caller: Caller) -> None:
    made = await new_list(caller)
    for name in "ab":
        await new_address(caller, made, f"{name}@example.com")
    assert (await caller.get(ML, "ml-addr-empty", list_id=made)).body == result("success", 2)
    assert (await caller.get(ML, "ml-addr-empty", list_id=made)).body == result("success", 0)
    await new_address(caller, made, "a@example.com")
    assert status_of(await caller.get(ML, "ml-addr-empty", list_id=99)) == "not_exist"


async def test_4_13_subscribes_one_and_many(caller: Caller) -> None:
    made = await new_list(caller)
    assert data_of(await caller.get(ML, "ml-sub", list_id=made, address="test@example.com")) == "1"
    again = await caller.get(ML, "ml-sub", list_id=made, address="TEST@example.com", name="New name")
    assert data_of(again) == "1"
    many = "a@example.com, Ann; test@example.com\nb@example.com\tBob，x"
    assert (await caller.post(ML, "ml-sub", {"maillist": many}, list_id=made)).body == result("success", 3)
    shown = xml(await caller.get(ML, "ml-addr-list", list_id=made))
    assert {each.findtext("address"): each.findtext("fullname") for each in shown.findall("addr")} == {
        "test@example.com": "New name",
        "a@example.com": "Ann",
        "b@example.com": "Bob，x",
    }
    assert status_of(await caller.get(ML, "ml-sub", list_id=made)) == "param_error"
    assert status_of(await caller.get(ML, "ml-sub", list_id=made, address="nobody")) == "address_error"
    assert status_of(await caller.get(ML, "ml-sub", list_id=99, address="a@example.com")) == "not_exist"


async def test_4_14_unsubscribes_until_somebody_subscribes_again(caller: Caller) -> None:
    made = await new_list(caller)
    await caller.post(ML, "ml-sub", {"maillist": "a@example.com;b@example.com;c@example.com"}, list_id=made)
    answer = await caller.get(
        ML, "ml-unsub", list_id=made, address="A@example.com, x@example.com,c@example.com"
    )
    assert answer.body == result("success", 2)
    assert await addresses(caller, made) == ["b@example.com"]
    assert status_of(await caller.get(ML, "ml-unsub", list_id=made, address="a@example.com")) == "not_exist"
    await caller.get(ML, "ml-sub", list_id=made, address="a@example.com")
    left = (await caller.get(ML, "unsubscribe-export", id=made)).text
    assert "a@example.com" not in left
    assert "c@example.com" in left
    assert status_of(await caller.get(ML, "ml-unsub", list_id=99, address="a@example.com")) == "not_exist"
    assert status_of(await caller.get(ML, "ml-unsub", list_id=made)) == "param_error"
