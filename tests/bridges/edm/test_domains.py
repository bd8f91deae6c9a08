"""Chapters 1 and 7 of the document: the account, domains and mailboxes, call by call."""

from __future__ import annotations

from tests.bridges.edm.conftest import DECLARATION, Caller, data_of, result, status_of, xml
from tests.campaigns.house import SPF


async def test_1_1_and_1_2_show_the_customer(caller: Caller) -> None:
    assert (await caller.get("account", "customer-info")).text == (
        f"{DECLARATION}<customer><id>{caller.id}</id><username>lin</username><company>林记 &amp; Co</company>"
        "<contact></contact><phone></phone><mobile></mobile><email></email><im></im><address></address></customer>"
    )
    begins = caller.customer.begins_on.isoformat()
    assert (await caller.get("account", "service-info")).text == (
        f"{DECLARATION}<service><id>{caller.id}</id><service_status>enabled</service_status>"
        f"<service_type>all</service_type><send_type>local</send_type><beginning_date>{begins}</beginning_date>"
        "<expiration_date>2099-12-31</expiration_date><qty_available>100000</qty_available>"
        "<qty_buytotal>100000</qty_buytotal></service>"
    )
    await caller.house.campaigns.customers.update(
        caller.id, is_enabled=False, service_type="day", daily_volume=500
    )
    shown = xml(await caller.get("account", "service-info"))
    values = [
        shown.findtext(name) for name in ("service_status", "service_type", "qty_available", "qty_buytotal")
    ]
    assert values == ["disabled", "day", "500", "500"]
    assert status_of(await caller.get("account", "nothing")) == "unknown_do"
    assert status_of(await caller.get("account")) == "unknown_do"


async def test_7_1_and_7_2_add_and_list_domains(caller: Caller, stranger: Caller) -> None:
    empty = f"{DECLARATION}<domain_list></domain_list>"
    assert (await caller.get("bs", "domain-list")).text == empty
    answer = await caller.get("bs", "customer-domain-add", domain="Shop.Example")
    made = int(data_of(answer))
    assert answer.body == result("success", made)
    caller.house.dns.serve("good.example")
    good = await caller.get("bs", "customer-domain-add", domain="good.example")
    assert status_of(good) == "success_and_check_ok"
    assert status_of(await caller.get("bs", "customer-domain-add", domain="shop.example")) == "domain_exist"
    assert status_of(await stranger.get("bs", "customer-domain-add", domain="good.example")) == "domain_exist"
    for wrong in ("", "nodots", "a b.example", "[192.0.2.1]"):
        assert status_of(await caller.get("bs", "customer-domain-add", domain=wrong)) == "param_error"
    await caller.house.database.execute(
        "INSERT INTO sender_domain (customer_id, name, is_verified) VALUES (0, 'platform.example', true)"
    )
    rows = "".join(
        f"<data><customer_id>{owner}</customer_id><domain>{name}</domain></data>"
        for owner, name in ((caller.id, "shop.example"), (caller.id, "good.example"), (0, "platform.example"))
    )
    assert (await caller.get("bs", "domain-list")).text == f"{DECLARATION}<domain_list>{rows}</domain_list>"


async def test_7_3_checks_domains_as_the_page_fixes_it(caller: Caller, stranger: Caller) -> None:
    dns = caller.house.dns
    own = data_of(await caller.get("bs", "customer-domain-add", domain="own.example"))
    half = data_of(await caller.get("bs", "customer-domain-add", domain="half.example"))
    await stranger.get("bs", "customer-domain-add", domain="theirs.example")
    dns.serve("own.example")
    dns.serve("theirs.example")
    dns.txts["half.example"] = [f"v=spf1 a include:other.example include:{SPF} ~all"]
    answer = await caller.post(
        "bs", "domain-check", {"domains": "own.example, half.example,theirs.example,none.example"}
    )
    expected = "".join(
        f"<domain><customer_id>{caller.id}</customer_id><domain_id>{domain_id}</domain_id><val>{name}</val>"
        f"<status>{status}</status><info>{info}</info></domain>"
        for domain_id, name, status, info in (
            (own, "own.example", 3, "添加成功并验证通过"),
            (half, "half.example", 2, "添加成功但验证不通过（MX）"),
            (0, "theirs.example", 1, "系统不存在但验证通过"),
            (0, "none.example", 0, "系统不存在并验证不通过"),
        )
    )
    assert answer.text == f"{DECLARATION}<domain_list>{expected}</domain_list>"
    assert len(xml(await caller.get("bs", "domain-check", domains="own.example"))) == 1
    for wrong in ("", ",", "a b c", ",".join(f"d{number}.example" for number in range(101))):
        assert status_of(await caller.post("bs", "domain-check", {"domains": wrong})) == "param_error"
    # Two SPF records are as good as none (RFC 7208 4.5).
    dns.txts["own.example"] *= 2
    shown = xml(await caller.get("bs", "domain-check", domains="own.example"))
    assert shown.findtext("domain/status") == "2"


async def test_7_4_and_7_5_are_for_managers(caller: Caller, manager: Caller) -> None:
    for do in ("domain-add", "domain-del"):
        refused = await caller.get("bs", do, customer_id=caller.id, domain="own.example")
        assert status_of(refused) == "no_permission"
        assert status_of(await manager.get("bs", do, domain="own.example")) == "param_error"
        assert status_of(await manager.get("bs", do, customer_id=999, domain="own.example")) == "not_exist"
    caller.house.dns.serve("own.example")
    added = await manager.get("bs", "domain-add", customer_id=caller.id, domain="own.example")
    assert status_of(added) == "success_and_check_ok"
    assert status_of(await caller.get("bs", "customer-domain-del", domain="own.example")) == "domain_verified"
    removed = await manager.get("bs", "domain-del", customer_id=caller.id, domain="own.example")
    assert status_of(removed) == "success"
    again = await manager.get("bs", "domain-del", customer_id=caller.id, domain="own.example")
    assert status_of(again) == "not_exist"


async def test_7_6_deletes_a_domain_that_is_not_verified(caller: Caller) -> None:
    await caller.get("bs", "customer-domain-add", domain="own.example")
    await caller.get("bs", "mailbox-add", mailbox="news@own.example", pwd="correct horse 9")
    assert status_of(await caller.get("bs", "customer-domain-del", domain="own.example")) == "success"
    assert status_of(await caller.get("bs", "customer-domain-del", domain="own.example")) == "not_exist"
    assert status_of(await caller.get("bs", "customer-domain-del")) == "param_error"
    assert await caller.house.database.fetchval("SELECT count(*) FROM sender_mailbox") == 0


async def test_7_7_to_7_10_keep_mailboxes(caller: Caller, stranger: Caller, manager: Caller) -> None:
    await caller.get("bs", "customer-domain-add", domain="own.example")
    empty = await caller.get("bs", "mailbox-list", domain="own.example")
    assert empty.text == f"{DECLARATION}<mailbox_list></mailbox_list>"
    added = await caller.post("bs", "mailbox-add", {"mailbox": "News@own.example", "pwd": "correct horse 9"})
    assert added.body == result("success", "添加账号成功")
    one = await caller.get("bs", "mailbox-list", domain="own.example")
    assert one.text == (
        f"{DECLARATION}<mailbox_list><data><customer_id>{caller.id}</customer_id><domain>own.example</domain>"
        "<name>news</name><mailbox>news@own.example</mailbox></data></mailbox_list>"
    )
    as_manager = {"user_type": "manager", "customer_id": caller.id}
    second = await manager.get(
        "bs", "mailbox-add", mailbox="b@own.example", pwd="correct horse 9", **as_manager
    )
    assert status_of(second) == "success"
    assert (
        status_of(await caller.get("bs", "mailbox-list", domain="own.example", **as_manager))
        == "no_permission"
    )
    paged = xml(await manager.get("bs", "mailbox-list", domain="own.example", page=2, limit=1, **as_manager))
    assert [each.findtext("name") for each in paged] == ["b"]
    for do, fields in (("mailbox-edit", {"pwd": "another horse 8"}), ("mailbox-del", {})):
        assert status_of(await caller.get("bs", do, mailbox="news@own.example", **fields)) == "success"
        assert status_of(await stranger.get("bs", do, mailbox="b@own.example", **fields)) == "not_exist"
        assert status_of(await caller.get("bs", do, mailbox="nobody", **fields)) == "param_error"
    assert status_of(await caller.get("bs", "mailbox-del", mailbox="news@own.example")) == "not_exist"
    taken = await caller.get("bs", "mailbox-add", mailbox="B@own.example", pwd="correct horse 9")
    assert status_of(taken) == "mailbox_exist"
    assert status_of(await caller.get("bs", "mailbox-add", mailbox="c@own.example")) == "param_error"
    elsewhere = await caller.get("bs", "mailbox-add", mailbox="c@other.example", pwd="correct horse 9")
    assert status_of(elsewhere) == "not_exist"
    assert status_of(await stranger.get("bs", "mailbox-list", domain="own.example")) == "not_exist"
    assert (
        status_of(await caller.get("bs", "mailbox-list", domain="own.example", user_type="x"))
        == "param_error"
    )
    assert status_of(await caller.get("bs", "mailbox-list", domain="own.example", page=0)) == "param_error"
