"""The SQL examples of the OA page, run as they stand by the OA's role: only the data directory is another."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroad.db.binaries import find_binaries
from tests.running import RunningServer, free_port, reachable_directory, wait_until

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"oa.md": "AA", "oa.zh.md": "AB"}  # the second page's rows get ids of their own


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of the page's section on SQL, which is its second, in one language."""
    text = (DOCS / page).read_text(encoding="utf-8").split("\n## ")[2]
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block.replace("AA2601", f"{PAGES[page]}2601") for block in found]


def psql(server: RunningServer, statements: str) -> str:
    """Run statements with what `mailserver.ini` says."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(server.data_dir / "mailserver.ini", encoding="utf-8")
    own = parser["Database"]
    done = subprocess.run(
        [
            *(str(find_binaries() / "psql"), "--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1"),
            *("-h", own["DataSource"], "-p", own["Port"], "-U", own["UserId"], "-d", own["DatabaseName"]),
        ],
        env={"PGPASSWORD": own["Password"], "PATH": os.environ["PATH"], "PGCLIENTENCODING": "UTF8"},
        input=statements,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with the accounts of the page, opened as the page says."""
    with reachable_directory("oa-docs-") as directory:
        running = RunningServer(directory, workers=1)
        (settings,) = blocks("oa.md", "toml")
        with running.settings_file.open("a", encoding="utf-8") as file:
            file.write(settings.replace("0.0.0.0:5433", f"127.0.0.1:{free_port()}"))
        with running:
            running.add_domain("example.com", "zhangsan", "lisi", "wangwu")
            yield running


@pytest.mark.parametrize("page", PAGES)
def test_every_example_runs_and_its_mails_arrive(server: RunningServer, page: str) -> None:
    statements, programs = blocks(page, "sql"), blocks(page, "python")
    assert (len(statements), len(programs)) == (7, 2)
    (count, attach) = (program.replace("/var/lib/postroad", str(server.data_dir)) for program in programs)
    for block in statements:
        psql(server, block)
    subprocess.run([sys.executable, "-c", attach], check=True, timeout=60)
    own = PAGES[page]

    def outcomes() -> dict[str, str]:
        told = psql(server, f"select MailId, MailStatus, errorinfo from websent where MailId like '{own}%'")
        return {line.split("|")[0][-1]: line.partition("|")[2] for line in told.splitlines()}

    wanted = {"1": "0|", "2": "2|", "3": "2|", "4": "0|", "5": "0|"}
    wait_until(lambda: outcomes() == wanted, 30, "the rows of the page are not all done")
    done = subprocess.run(
        [sys.executable, "-c", count], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "zhangsan@example.com has 0 new mails\n"
    subjects = psql(server, "select mailsubject from webreceive where account='lisi@example.com'").split()
    assert {"会议通知", "报价", "附件"} <= set(subjects)


def test_both_pages_have_the_same_examples() -> None:
    for language in ("sql", "python", "toml"):
        assert [block.replace("AB2601", "AA2601") for block in blocks("oa.zh.md", language)] == blocks(
            "oa.md", language
        )
