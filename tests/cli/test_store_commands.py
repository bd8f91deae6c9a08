"""The mail store from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command, execute


def test_verify_tells_problems_and_repairs_counters(postroad: Command, site: Path) -> None:
    postroad("domain", "add", "example.com")
    postroad("account", "add", "a@example.com", "--password-stdin", stdin="correct horse\n")
    sound = postroad("verify", "--json")
    assert (sound.code, sound.data) == (0, {"ok": True, "problem_count": 0, "problems": [], "repaired": 0})
    assert postroad("verify").output == "The store is sound.\n"
    execute(site, "UPDATE folder SET message_count = 5 WHERE role = 'inbox'")
    broken = postroad("verify", "--json")
    assert (broken.code, broken.data["ok"], broken.data["problem_count"]) == (1, False, 1)
    assert postroad("verify", "--repair", "--json").data["repaired"] == 1
    assert postroad("verify").code == 0


def test_a_database_of_ones_own_is_not_ours_to_upgrade(postroad: Command) -> None:
    refused = postroad("database", "upgrade", "--json")
    assert (refused.code, refused.data["ok"], refused.data["error"]["code"]) == (
        1,
        False,
        "database-not-embedded",
    )
