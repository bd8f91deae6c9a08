"""The directory from the command line: each noun through its life, as JSON and as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, execute

PASSWORD = "correct horse\n"


@pytest.fixture
def house(postroad: Command) -> Command:
    assert postroad("domain", "add", "example.com").code == 0
    outcome = postroad("account", "add", "wang@example.com", "--password-stdin", stdin=PASSWORD)
    assert (outcome.code, outcome.output) == (0, "wang@example.com is here.\n")
    return postroad


def test_a_domain_through_its_life(postroad: Command) -> None:
    made = postroad("domain", "add", "例子.cn", "--json")
    assert made.code == 0
    assert made.data["ok"] is True
    assert made.data["domain"]["name"] == "xn--fsqu00a.cn"
    assert postroad("domain", "add", "other.test", "--alias-of", "例子.cn").code == 0
    listed = postroad("domain", "list", "--json").data
    assert [one["name"] for one in listed["domains"]] == ["other.test", "xn--fsqu00a.cn"]
    assert listed["next"] is None
    assert postroad("domain", "alias", "other.test", "--none").code == 0
    assert postroad("domain", "catch-all", "other.test", "x@far.test", "--json").data["domain"][
        "catch_all"
    ] == ("x@far.test")
    assert postroad("domain", "catch-all", "other.test", "none", "--json").data["domain"]["catch_all"] is None
    assert postroad("domain", "postmaster", "other.test", "x@far.test").code == 0
    shown = postroad("domain", "show", "other.test", "--json").data["domain"]
    assert {key["algorithm"] for key in shown["keys"]} == {"rsa-sha256", "ed25519-sha256"}
    assert "PRIVATE" not in postroad("domain", "show", "other.test", "--json").output
    selector = shown["keys"][0]["selector"]
    assert len(postroad("domain", "new-keys", "other.test", "--json").data["keys"]) == 4
    assert postroad("domain", "remove-key", "other.test", selector).code == 0
    assert (
        postroad("domain", "remove-key", "other.test", selector, "--json").data["error"]["code"] == "no-key"
    )
    assert postroad("domain", "remove", "other.test").code == 0
    assert postroad("domain", "show", "other.test", "--json").data["error"]["code"] == "unknown-domain"


def test_dns_prints_a_zone(house: Command) -> None:
    text = house("domain", "dns", "example.com").output
    added = house("domain", "add", "second.test").output
    assert added.endswith(house("domain", "dns", "second.test").output)
    assert text.startswith("example.com. IN MX 10 mail.example.com.\n")
    records = house("domain", "dns", "example.com", "--json").data["records"]
    assert [record["zone_line"] for record in records] == text.splitlines()


def test_an_account_through_its_life(house: Command) -> None:
    made = house(
        *("account", "add", "Li@example.com", "--password-stdin", "--quota", "2G", "--name", "李 雷"),
        *("--mobile", "+86 138 0013 8000", "--prefers", "zh", "--json"),
        stdin=PASSWORD,
    ).data["account"]
    assert (made["address"], made["quota_bytes"], made["name"]) == ("li@example.com", 2 * 1024**3, "李 雷")
    assert (made["mobile"], made["language"]) == ("+8613800138000", "zh")
    assert (
        house("account", "quota", "li@example.com", "none", "--json").data["account"]["quota_bytes"] is None
    )
    assert house("account", "disable", "li@example.com", "--json").data["account"]["is_disabled"] is True
    assert house("account", "enable", "li@example.com").code == 0
    changed = house("account", "set", "li@example.com", "--name", "Li", "--mobile", "none", "--json").data
    assert (changed["account"]["name"], changed["account"]["mobile"]) == ("Li", None)
    assert house("account", "password", "li@example.com", "--password-stdin", stdin="another one\n").code == 0
    house("alias", "add", "sales@example.com", "li@example.com", "x@far.test")
    shown = house("account", "show", "li@example.com", "--json").data["account"]
    assert (shown["aliases"], shown["application_passwords"]) == (["sales@example.com"], 0)
    listed = house("account", "list", "--limit", "1", "--json").data
    assert ([one["address"] for one in listed["accounts"]], listed["next"]) == (
        ["li@example.com"],
        "li@example.com",
    )
    rest = house("account", "list", "example.com", "--after", listed["next"], "--json").data
    assert [one["address"] for one in rest["accounts"]] == ["wang@example.com"]
    assert house("account", "remove", "li@example.com").code == 0
    assert house("account", "show", "li@example.com").code == 1


def test_an_account_has_its_folders_at_once(house: Command, site: Path) -> None:
    execute(site, "UPDATE folder SET message_count = 1")  # which `verify` complains of, folder by folder
    assert house("verify", "--json").data["problem_count"] == 6


def test_aliases_and_lists(house: Command) -> None:
    assert house("alias", "add", "info@example.com", "wang@example.com").code == 0
    assert house("alias", "set", "info@example.com", "wang@example.com", "x@far.test").code == 0
    aliases = house("alias", "list", "--json").data["aliases"]
    assert aliases[0]["targets"] == ["wang@example.com", "x@far.test"]
    assert "wang@example.com, x@far.test" in house("alias", "list").output
    assert house("alias", "remove", "info@example.com").code == 0
    assert house("alias", "list").output == "There are none.\n"

    assert house("list", "add", "team@example.com", "--name", "Team", "--posting", "owners").code == 0
    assert house("list", "member", "add", "team@example.com", "wang@example.com", "x@far.test").code == 0
    assert house("list", "member", "add", "team@example.com", "wang@example.com", "--owner").code == 0
    shown = house("list", "show", "team@example.com", "--json").data["list"]
    assert shown["members"] == [
        {"address": "wang@example.com", "is_owner": True},
        {"address": "x@far.test", "is_owner": False},
    ]
    assert "wang@example.com" in house("list", "show", "team@example.com").output
    assert house("list", "set", "team@example.com", "--posting", "anyone").code == 0
    removed = house("list", "member", "remove", "team@example.com", "x@far.test", "--json").data
    assert removed == {"ok": True, "removed": 1}
    assert house("list", "list", "--json").data["lists"][0]["member_count"] == 1
    assert house("list", "remove", "team@example.com").code == 0
    assert house("list", "add", "t@example.com", "--posting", "nobody").code == 2


def test_application_passwords(house: Command) -> None:
    made = house("app-password", "add", "wang@example.com", "telephone", "--json").data[
        "application_password"
    ]
    assert len(made["password"].split("-")) == 6
    listed = house("app-password", "list", "wang@example.com", "--json").data["application_passwords"]
    assert [(one["id"], one["label"], one["last_used_at"]) for one in listed] == [
        (made["id"], "telephone", None)
    ]
    assert "password" not in listed[0]
    assert house("app-password", "remove", "wang@example.com", str(made["id"])).code == 0
    again = house("app-password", "remove", "wang@example.com", str(made["id"]), "--json")
    assert again.data["error"]["code"] == "unknown-application-password"


def test_an_administrator_through_its_life(house: Command) -> None:
    made = house("admin", "add", "root", "--password-stdin", "--json", stdin=PASSWORD)
    assert made.data["administrator"]["is_of_server"] is True
    made = house(
        "admin", "add", "near", "--password-stdin", "--domain", "example.com", "--json", stdin=PASSWORD
    )
    assert made.data["administrator"]["domains"] == ["example.com"]
    assert (
        house("admin", "account", "wang@example.com").output == "wang@example.com administers example.com.\n"
    )
    listed = house("admin", "list", "--json").data["administrators"]
    assert [(one["name"], one["kind"]) for one in listed] == [
        ("near", "administrator"),
        ("root", "administrator"),
        ("wang@example.com", "account"),
    ]
    assert "the whole server" in house("admin", "list").output
    assert house("admin", "password", "root", "--password-stdin", stdin="another horse\n").code == 0
    assert house("admin", "remove", "wang@example.com").code == 0
    assert house("admin", "remove", "near").code == 0
    refused = house("admin", "remove", "near", "--json")
    assert (refused.code, refused.data["error"]["code"]) == (1, "unknown-principal")
    twice = house("admin", "add", "ROOT", "--password-stdin", "--json", stdin=PASSWORD)
    assert twice.data["error"]["code"] == "name-taken"
    far = house("admin", "add", "x", "--password-stdin", "--domain", "far.test", "--json", stdin=PASSWORD)
    assert far.data["error"]["code"] == "unknown-domain"


def test_a_control_account_through_its_life(house: Command) -> None:
    words = ("--domain", "example.com", "--command", "useradd", "--network", "192.0.2.0/24", "--json")
    made = house("control-account", "add", "ctl", "--password-stdin", *words, stdin=PASSWORD)
    account = made.data["control_account"]
    assert (account["domains"], account["commands"], account["networks"]) == (
        ["example.com"],
        ["useradd"],
        ["192.0.2.0/24"],
    )
    assert house("control-account", "password", "ctl", "--password-stdin", stdin="another one\n").code == 0
    assert "useradd" in house("control-account", "list").output
    assert "another one" not in house("control-account", "list", "--json").output
    assert house("control-account", "remove", "ctl").code == 0
    assert house("control-account", "list", "--json").data["control_accounts"] == []


def test_tokens_and_integrations_through_their_lives(house: Command) -> None:
    made = house("token", "add", "wang@example.com", "OA", "--scope", "mail:read", "--json").data["token"]
    assert made["scopes"] == ["mail:read"] and made["token"].startswith("prd_")
    assert made["token"] not in house("token", "list", "wang@example.com", "--json").output
    assert house("token", "remove", "wang@example.com", str(made["id"])).code == 0
    gone = house("token", "remove", "wang@example.com", str(made["id"]), "--json")
    assert gone.data["error"]["code"] == "unknown-token"
    words = ("--scope", "mail:read", "--domain", "example.com", "--json")
    integration = house("integration", "add", "OA", *words).data["integration"]
    assert (integration["name"], integration["domains"]) == ("oa", ["example.com"])
    renewed = house("integration", "secret", "oa", "--json").data["secret"]
    assert renewed != integration["secret"] and renewed not in house("integration", "list", "--json").output
    assert house("integration", "remove", "oa").code == 0
    everywhere = house("integration", "add", "all", "--scope", "mail:read", "--json")
    assert everywhere.data["error"]["code"] == "bad-value"


def test_what_the_command_line_changed_is_in_the_log(house: Command) -> None:
    house("account", "password", "wang@example.com", "--password-stdin", stdin="another horse\n")
    house("account", "quota", "wang@example.com", "5G")
    house("account", "remove", "nobody@example.com")
    house("account", "list")
    house("admin", "add", "root", "--password-stdin", stdin=PASSWORD)
    log = house("audit", "list", "--json")
    assert [(one["action"], one["subject"]) for one in reversed(log.data["entries"])] == [
        ("domain.add", "example.com"),
        ("account.add", "wang@example.com"),
        ("account.password", "wang@example.com"),
        ("account.quota", "wang@example.com"),
        ("administrator.add", "root"),
    ]
    assert all(one["kind"] == "operator" and one["actor"] for one in log.data["entries"])
    assert "horse" not in log.output
    assert "account.quota" in house("audit", "list", "--subject", "wang@example.com").output
