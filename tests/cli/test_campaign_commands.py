"""`postroad customer`, `contact`, `template` and `task`, in the order in which somebody would use them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command

SECRET = "correct horse 9\n"


def test_from_a_customer_to_a_task(postroad: Command, tmp_path: Path) -> None:
    added = postroad("customer", "add", "lin", "--password-stdin", "--volume", "100", "--json", stdin=SECRET)
    assert added.code == 0, added.output + added.errors
    assert added.data["customer"]["kind"] == "customer"
    boss = postroad("customer", "add", "boss", "--password-stdin", "--manager", "--json", stdin=SECRET)
    assert boss.data["customer"]["kind"] == "manager"
    twice = postroad("customer", "add", "LIN", "--password-stdin", "--json", stdin=SECRET)
    assert (twice.code, twice.data["error"]["code"]) == (1, "campaign-already-there")
    domain = postroad("customer", "domain", "lin", "shop.example", "--verified", "--json")
    assert domain.data["domain"]["is_verified"] is True
    mailbox = postroad(
        "customer", "mailbox", "lin", "news@shop.example", "--password-stdin", "--json", stdin=SECRET
    )
    assert mailbox.code == 0, mailbox.output
    assert postroad("customer", "password", "lin", "--password-stdin", stdin="another horse 8\n").code == 0
    assert postroad("customer", "set", "lin", "--company", "林记").code == 0
    shown = postroad("customer", "show", "lin", "--json").data["customer"]
    assert (shown["company"], shown["mailboxes"], shown["volume"]["left"]) == (
        "林记",
        ["news@shop.example"],
        100,
    )
    assert "林记" in postroad("customer", "list").output

    made = postroad("contact", "add-list", "lin", "readers", "--json")
    assert made.code == 0, made.output + made.errors
    list_id = str(made.data["list"]["id"])
    file = tmp_path / "people.csv"
    file.write_text(
        'Name;E-Mail;Telefon\n"Li; Lei";li@example.com;1.3528775736E+10\n'
        "Han <han@example.com>;mailto:Han@Example.com;\n"
        "nobody;;\n",
        encoding="utf-8",
    )
    imported = postroad("contact", "import", "lin", list_id, str(file), "--column", "phone=Telefon",
                        "--column", "address=E-Mail", "--column", "fullname=Name", "--json")  # fmt: skip
    assert imported.code == 0, imported.output + imported.errors
    counts = imported.data["import"]
    assert (counts["added"], counts["refused"]) == (2, 1)
    assert imported.data["refused_lines"][0]["line"] == 4
    contacts = postroad("contact", "list", "lin", list_id, "--json").data["contacts"]
    assert [(each["address"], each["fullname"], each["phone"]) for each in contacts] == [
        ("li@example.com", "Li; Lei", "13528775736"),
        ("Han@example.com", "Han <han@example.com>", ""),
    ]
    target = tmp_path / "out.csv"
    assert postroad("contact", "export", "lin", list_id, str(target)).code == 0
    assert target.read_text(encoding="utf-8").count("@example.com") == 3

    letter = tmp_path / "letter.html"
    letter.write_text("<p>Dear {{ name }}, here is our letter.</p>", encoding="utf-8")
    template = postroad("template", "add", "lin", "letter", str(letter), "--subject", "Hello", "--json")
    assert template.data["template"]["colour"] == "green", template.output
    bad = tmp_path / "bad.html"
    bad.write_text("<p>\n{% if %}", encoding="utf-8")
    refused = postroad("template", "add", "lin", "bad", str(bad), "--subject", "Hello", "--json")
    assert refused.data["error"]["code"] == "campaign-bad-template"
    template_id = str(template.data["template"]["id"])

    task = postroad("task", "add", "lin", "--template", template_id, "--list", list_id, "--sender",
                    "news@shop.example", "--name", "News", "--at", "2099-05-06 07:08", "--json")  # fmt: skip
    assert task.code == 0, task.output + task.errors
    task_id = str(task.data["task"]["id"])
    assert task.data["task"]["planned"] == 2
    for deed, state in (("pause", -2), ("resume", -5), ("cancel", -3)):
        answer = postroad("task", deed, "lin", task_id, "--json")
        expected = "campaign-wrong-state" if deed == "cancel" else None
        if expected:
            assert answer.data["error"]["code"] == expected
        else:
            assert answer.data["task"]["state"] == state
    shown_task = postroad("task", "show", "lin", task_id, "--json").data["task"]
    assert (shown_task["waiting"], shown_task["opens"]["total"]) == (0, 0)
    assert (
        postroad("task", "recipients", "lin", "--address", "li@example.com", "--json").data["recipients"]
        == []
    )
    assert json.loads(postroad("task", "list", "lin", "--json").output)["tasks"][0]["id"] == int(task_id)
    assert postroad("task", "show", "lin", "99", "--language", "zh").errors.startswith("postroad: 没有找到")


def test_words_of_servers_and_what_they_lead_to(postroad: Command) -> None:
    assert postroad("customer", "add", "shop", "--password-stdin", stdin=SECRET).code == 0
    before = postroad("bounce", "show", "the moon is full", "--code", "550", "--json").data["verdict"]
    assert (before["failure"], before["by"]) == ("not_exist", "550")
    added = postroad("bounce", "add", "moon*full", "over_quota", "--json")
    assert added.code == 0, added.output + added.errors
    after = postroad("bounce", "show", "the moon is full", "--code", "550", "--json").data["verdict"]
    assert (after["failure"], after["by"]) == ("over_quota", "moon*full")
    assert [each["pattern"] for each in postroad("bounce", "list", "--json").data["rules"]] == ["moon*full"]
    assert len(postroad("bounce", "list", "--built-in", "--json").data["rules"]) > 100
    assert "moon*full" in postroad("bounce", "list").output
    bad = postroad("bounce", "add", "*", "over_quota", "--json")
    assert (bad.code, bad.data["error"]["code"]) == (1, "campaign-bad-input")
    assert postroad("bounce", "remove", str(added.data["rule"]["id"])).code == 0
    assert postroad("bounce", "list", "--json").data["rules"] == []

    rules = postroad("suppression", "show", "--json").data["rules"]
    assert {"failure": "not_exist", "failures": 1, "within_days": 90} in rules
    changed = postroad("suppression", "set", "user_reject", "4", "--within-days", "30", "--json")
    assert {"failure": "user_reject", "failures": 4, "within_days": 30} in changed.data["rules"]
    assert "user_reject" in postroad("suppression", "show").output
    gone = postroad("suppression", "set", "user_reject", "0", "--json").data["rules"]
    assert gone == rules
    assert postroad("suppression", "list", "shop", "--json").data["suppressions"] == []
    missing = postroad("suppression", "remove", "shop", "nobody@example.com", "--json")
    assert (missing.code, missing.data["error"]["code"]) == (1, "campaign-not-found")
