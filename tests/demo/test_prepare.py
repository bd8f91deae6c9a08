"""What is printed before the demo serves names every open door and every account, in columns."""

from __future__ import annotations

from pathlib import Path

from postroad.config import Listen, Settings
from postroad.demo.prepare import introduction, prepare
from postroad.demo.seed import DemoAccount

ACCOUNTS = [
    DemoAccount("陈思远", "chen@demo.test", "secret-1"),
    DemoAccount("Alice", "alice@demo.test", "secret-2"),
]


def test_every_open_door_and_every_account_is_named() -> None:
    settings = Settings(listen=Listen(http="127.0.0.1:8099", https="", smtp="127.0.0.1:2599", imap=""))
    text = introduction(settings, ACCOUNTS)
    doors = ("http://127.0.0.1:8099/mail", "127.0.0.1:2599", "127.0.0.1:2993", "127.0.0.1:2110")
    for word in (*doors, "chen@demo.test", "secret-1", "secret-2"):
        assert word in text
    assert "https://" not in text
    assert "127.0.0.1:2143" not in text, "what does not listen is not named"


def test_addresses_stand_below_each_other_whatever_the_names_are_written_in() -> None:
    rows = [line for line in introduction(Settings(), ACCOUNTS).splitlines() if "@demo.test" in line]
    # GB18030 spends a byte on a narrow letter and two on a wide one, just as a terminal does with columns.
    starts = {
        len(row[: row.index(name)].encode("gb18030"))
        for row, name in zip(rows, ("chen@", "alice@"), strict=True)
    }
    assert len(starts) == 1


async def test_an_empty_database_is_brought_up_to_date_first(empty_database_dsn: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = await prepare(settings, empty_database_dsn)
    assert await prepare(settings, empty_database_dsn) == first
    assert len(first) == 3
