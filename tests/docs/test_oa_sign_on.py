"""The examples of the sign-on pages, run as they stand against a server: only the host is another."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningServer, reachable_directory

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("oa.md", "oa.zh.md")
HOST = "http://mail.example.com"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of the page's section on signing on, which is its first, in one language."""
    text = (DOCS / page).read_text(encoding="utf-8").split("\n## ")[1]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with reachable_directory("sign-on-docs-") as directory:
        running = RunningServer(directory, workers=1)
        (settings,) = blocks("oa.md", "toml")
        with running.settings_file.open("a", encoding="utf-8") as file:
            file.write(settings)
        with running:
            running.command("domain", "add", "example.com")
            running.command(
                "account", "add", "lin@example.com", "--password-stdin", stdin="correct-horse-7\n"
            )
            yield running


def run(command: list[str], text: str, server: RunningServer) -> str:
    done = subprocess.run(
        command, input=text.replace(HOST, server.web), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip().replace(server.web, HOST)


def redirect(server: RunningServer, *arguments: str) -> str:
    form = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", *arguments]
    return run(form, "", server)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_answers_what_stands_below_it(server: RunningServer, page: str) -> None:
    examples = blocks(page, "sh")
    assert len(examples) >= 9
    for example in examples:
        command, _, answer = example.rpartition("# ")
        assert run(["bash", "-eu"], command, server) == answer.strip(), example


@pytest.mark.parametrize("page", PAGES)
def test_the_ticket_of_the_example_opens_the_webmail_once(server: RunningServer, page: str) -> None:
    (example,) = blocks(page, "python")
    link = run([sys.executable, "-"], example, server).replace(HOST, server.web)
    assert redirect(server, link) == f"303 {HOST}/mail/summary"
    assert redirect(server, link).startswith("401")


@pytest.mark.parametrize("page", PAGES)
def test_the_form_of_the_example_signs_in(server: RunningServer, page: str) -> None:
    (form,) = blocks(page, "html")
    action = re.findall(r'action="([^"]+)" method="post"', form)[0].replace(HOST, server.web)
    account, password = re.findall(r'name="(\w+)"', form)
    data = ["--data", f"{account}=lin@example.com", "--data", f"{password}=correct-horse-7"]
    assert redirect(server, *data, action) == f"303 {HOST}/mail"


def test_both_languages_have_the_same_examples() -> None:
    for language in ("sh", "python", "toml"):
        assert blocks("oa.md", language) == blocks("oa.zh.md", language)
