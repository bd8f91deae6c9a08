"""The queue from the command line: found by what is known of it, and changed only as far as was said."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from tests.cli.conftest import Command, execute

QUEUED = """
WITH mail AS (SELECT id FROM message LIMIT 1)
INSERT INTO queue_envelope
    (id, message_id, envelope_from, owns_message, size_bytes, recipient_count, headers, queued_at)
SELECT 2748 + n, mail.id, CASE n WHEN 0 THEN 'wang@example.com' ELSE '' END, false, 1500, 2 - n,
       convert_to('X-Queued: yes' || E'\\r\\n', 'UTF8'), now()
FROM mail, generate_series(0, 1) n;
INSERT INTO queue_recipient
    (envelope_id, number, recipient, route, attempts, next_attempt_at,
     last_code, last_status, last_text, last_remote)
VALUES (2748, 0, 'a@one.test', 'one.test', 2, now() + interval '1 h',
        450, '4.2.0', 'come back', 'mx.one.test'),
       (2748, 1, 'b@two.test', 'two.test', 0, now(), NULL, NULL, NULL, NULL),
       (2749, 0, 'c@one.test', 'one.test', 0, now(), NULL, NULL, NULL, NULL);
"""


@pytest.fixture
def queue(postroad: Command, site: Path, tmp_path: Path) -> Command:
    """A house whose queue holds two mails with three recipients."""
    postroad("domain", "add", "example.com")
    postroad("account", "add", "wang@example.com", "--password-stdin", stdin="correct horse\n")
    box = mailbox.mbox(tmp_path / "mbox")
    box.add(b"From: wang@example.com\nSubject: to be sent\n\nbody\n")
    box.close()
    assert postroad("import", "wang@example.com", str(tmp_path / "mbox")).code == 0
    execute(site, QUEUED)
    return postroad


def recipients(outcome_data: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["recipient"] for one in outcome_data["recipients"]]


def test_it_is_listed_by_pages_and_by_what_is_known(queue: Command) -> None:
    first = queue("queue", "list", "--limit", "2", "--json").data
    assert recipients(first) == ["a@one.test", "b@two.test"]
    assert first["recipients"][0]["id"] == "ABC"
    rest = queue("queue", "list", "--after", first["next"], "--json").data
    assert (recipients(rest), rest["next"]) == (["c@one.test"], None)
    assert recipients(queue("queue", "list", "--route", "one.test", "--json").data) == [
        "a@one.test",
        "c@one.test",
    ]
    assert recipients(queue("queue", "list", "--sender", "<>", "--json").data) == ["c@one.test"]
    assert recipients(queue("queue", "list", "--recipient", "@two.test", "--json").data) == ["b@two.test"]
    assert recipients(queue("queue", "list", "--held", "--json").data) == []
    text = queue("queue", "list").output
    assert "mx.one.test 450 4.2.0 come back" in text
    assert text.startswith("ID")


def test_a_mail_is_shown_with_its_header(queue: Command) -> None:
    text = queue("queue", "show", "ABC").output
    assert "X-Queued: yes" in text
    assert "Subject: to be sent" in text
    assert "b@two.test" in text
    data = queue("queue", "show", "abc", "--json").data["mail"]
    assert (data["id"], len(data["recipients"])) == ("ABC", 2)
    for wrong, code in (("FFF", "no-such-queued-mail"), ("xyz", "bad-mail-id"), ("F" * 40, "bad-mail-id")):
        assert queue("queue", "show", wrong, "--json").data["error"]["code"] == code


def test_what_is_meant_is_held_released_retried_and_dropped(queue: Command) -> None:
    for deed in ("retry", "hold", "release", "drop"):
        assert queue("queue", deed, "--json").data["error"]["code"] == "queue-which"
    assert queue("queue", "drop", "--sender", "", "--json").data["error"]["code"] == "queue-which"
    assert queue("queue", "hold", "--route", "one.test", "--json").data == {
        "ok": True,
        "held": 2,
        "on_the_wire": 0,
    }
    assert recipients(queue("queue", "list", "--held", "--json").data) == ["a@one.test", "c@one.test"]
    assert queue("queue", "release", "ABD", "--json").data["released"] == 1
    assert queue("queue", "stats", "--json").data["queue"]["held"] == 1
    assert queue("queue", "retry", "--all", "--json").data["retried"] == 3
    stats = queue("queue", "stats", "--json").data["queue"]
    assert (stats["due"], stats["held"], stats["mails"]) == (3, 0, 2)
    assert {route["route"]: route["recipients"] for route in stats["routes"]} == {
        "one.test": 2,
        "two.test": 1,
    }
    assert queue("queue", "drop", "ABC", "ABD", "--recipient", "@one.test", "--json").data["dropped"] == 2
    assert recipients(queue("queue", "list", "--json").data) == ["b@two.test"]
    assert queue("queue", "drop", "--all").output == "1 recipients are dropped.\n"
    assert queue("queue", "list").output == "The queue is empty.\n"
    assert "0 recipients of 0 mails" in queue("queue", "stats").output
    assert queue("verify").code == 0
