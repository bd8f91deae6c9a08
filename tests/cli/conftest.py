"""The command line on a fresh database: run in this process, its answer read by program or person."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from postroad.cli.app import run
from postroad.config import load


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    output: str
    errors: str

    @property
    def data(self) -> Any:
        """Its one JSON object."""
        return json.loads(self.output)


Command = Callable[..., Outcome]


def execute(site: Path, statements: str) -> None:
    """Change the database of a house behind its back."""

    async def change() -> None:
        connection = await asyncpg.connect(load(site).database)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    # The tests' own loop is in this thread.
    thread = threading.Thread(target=lambda: asyncio.run(change()))
    thread.start()
    thread.join()


@pytest.fixture
def site(tmp_path: Path, database_dsn: str) -> Path:
    """A settings file of a house on the test database."""
    file = tmp_path / "postroad.toml"
    file.write_text(
        f'hostname = "mail.example.com"\ndata_dir = "{tmp_path / "data"}"\ndatabase = "{database_dsn}"\n'
    )
    return file


@pytest.fixture
def postroad(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `postroad …` with the settings of `site` and return its outcome."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    # Commands run in this process, which must stay who it is: test_ownership.py has them in their own.
    monkeypatch.setattr("postroad.db.ownership.act_as_owner", lambda *_, **__: None)

    def command(*arguments: str, stdin: str = "", config: bool = True) -> Outcome:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        everything = [*arguments, *(["--config", str(site)] if config else [])]
        codes: list[int] = []
        # The tests' own loop is in this thread; a command brings another.
        thread = threading.Thread(target=lambda: codes.append(run(everything)))
        thread.start()
        thread.join()
        captured = capsys.readouterr()
        assert codes, captured.err
        return Outcome(codes[0], captured.out, captured.err)

    return command
