"""What every command does alike: options anywhere, errors that say what to do, exit codes, no surprises."""

from __future__ import annotations

import importlib
import json
import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.cli.app import split_options
from postroad.cli.arguments import quota_of
from postroad.cli.desk import ERRORS as CODES
from postroad.cli.desk import Failed
from postroad.cli.output import Grid, cell_text, columns, grid_text, printable, size_text
from postroad.cli.words import ERRORS, TEXTS, explain, language_of
from tests.cli.conftest import Command


@pytest.mark.parametrize(
    "arguments",
    [
        ("--json", "domain", "list"),
        ("domain", "--json", "list"),
        ("domain", "list", "--json"),
    ],
)
def test_options_of_every_command_stand_anywhere(postroad: Command, arguments: tuple[str, ...]) -> None:
    assert postroad(*arguments).data == {"ok": True, "domains": [], "next": None}


def test_errors_say_what_is_wrong_and_what_to_do(postroad: Command) -> None:
    outcome = postroad("account", "show", "nobody@example.com")
    assert (outcome.code, outcome.output) == (1, "")
    assert outcome.errors == (
        "postroad: there is no account nobody@example.com\n  `postroad account list` shows the accounts.\n"
    )
    chinese = postroad("account", "show", "nobody@example.com", "--language", "zh")
    assert chinese.errors.startswith("postroad: 没有账号 nobody@example.com\n")
    as_json = postroad("account", "show", "nobody@example.com", "--json")
    assert (as_json.code, as_json.errors) == (1, "")
    assert as_json.data == {
        "ok": False,
        "error": {
            "code": "unknown-account",
            "address": "nobody@example.com",
            "message": "there is no account nobody@example.com",
            "hint": "`postroad account list` shows the accounts.",
        },
    }


def test_the_language_is_that_of_the_environment(postroad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert postroad("domain", "list").output == "没有。\n"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert postroad("domain", "list").output == "There are none.\n"
    assert language_of({}) == "en"


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("domain", "frobnicate"),
        ("account", "add"),
        ("account", "list", "--limit", "many"),
        ("domain", "list", "--language", "fr"),
        ("domain", "list", "--language"),
        ("domain", "add", "a.test", "--no-such-option"),
    ],
)
def test_a_wrong_command_is_exit_code_2(postroad: Command, arguments: tuple[str, ...]) -> None:
    outcome = postroad(*arguments, config=False)
    assert outcome.code == 2
    assert outcome.errors.startswith("postroad: ")
    as_json = postroad("--json", *arguments, config=False)
    assert as_json.code == 2
    assert as_json.data["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("account", "add", "no-address", "--password-stdin"), "correct horse\n", "bad-address"),
        (("account", "add", "a@far.test", "--password-stdin"), "correct horse\n", "unknown-domain"),
        (("account", "add", "a@example.com", "--password-stdin"), "", "no-password-on-stdin"),
        (("account", "add", "a@example.com", "--password-stdin"), "short\n", "weak-password"),
        (("account", "add", "a@example.com"), "", "password-needed"),
        (("account", "add", "a@example.com", "--password-stdin", "--quota", "lots"), "x\n", "bad-quota"),
        (
            ("account", "add", "a@example.com", "--password-stdin", "--mobile", "110"),
            "x2345678\n",
            "bad-value",
        ),
        (("domain", "add", "example.com"), "", "domain-taken"),
        (("domain", "alias", "example.com"), "", "alias-target"),
        (("alias", "add", "a@example.com", "typo@example.com"), "", "unknown-target"),
    ],
)
def test_refusals_have_stable_codes(
    postroad: Command, arguments: tuple[str, ...], stdin: str, code: str
) -> None:
    postroad("domain", "add", "example.com")
    outcome = postroad(*arguments, "--json", stdin=stdin)
    assert (outcome.code, outcome.data["error"]["code"]) == (1, code)
    for language in ("en", "zh"):
        shown = postroad(*arguments, "--language", language, stdin=stdin).errors
        assert "{" not in shown
        assert "…" not in shown.removesuffix("--password-stdin\n").replace("postroad …", "")


def test_unusable_settings_are_told(postroad: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("no_such_key = 1\n")
    outcome = postroad("domain", "list", "--json", "--config", str(bad), config=False)
    assert outcome.data["error"]["code"] == "bad-settings"
    assert "no_such_key" in outcome.data["error"]["message"]
    missing = postroad("domain", "list", "--json", f"--config={tmp_path / 'none.toml'}", config=False)
    assert missing.data["error"]["code"] == "bad-settings"


def test_an_unreachable_database_is_told(postroad: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(f'database = "postgresql://nobody@/none?host={tmp_path}"\n')
    outcome = postroad("domain", "list", "--json", "--config", str(bad), config=False)
    assert (outcome.code, outcome.data["error"]["code"]) == (1, "database-unavailable")


def test_a_mistake_of_ours_is_an_object_too(postroad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("postroad.cli.desk.Desk.directory", broken)
    outcome = postroad("domain", "list", "--json")
    assert (outcome.code, outcome.data["error"]["code"]) == (1, "internal")
    assert "Traceback" in outcome.errors


def test_help_needs_no_database_and_loads_little() -> None:
    script = (
        "import sys, io, contextlib\n"
        "from postroad.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()) as shown:\n"
        "    code = run(['--help'])\n"
        "heavy = {'asyncpg', 'pydantic', 'cryptography', 'argon2', 'structlog'} & set(sys.modules)\n"
        "print(code, 'account' in shown.getvalue(), sorted(heavy))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=_environment()
    )
    assert result.stdout == "0 True []\n"


def test_removing_asks_a_person_first(postroad: Command, site: Path) -> None:
    postroad("domain", "add", "example.com")
    postroad("account", "add", "a@example.com", "--password-stdin", stdin="correct horse\n")

    def answered(answer: bytes) -> subprocess.CompletedProcess[str]:
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        try:
            return subprocess.run(
                [
                    *(sys.executable, "-m", "postroad.cli", "account", "remove"),
                    "a@example.com",
                    "--config",
                    str(site),
                ],
                stdin=theirs,
                capture_output=True,
                text=True,
                check=False,
                env=_environment(),
            )
        finally:
            os.close(ours)
            os.close(theirs)

    refused = answered(b"n\n")
    assert (refused.returncode, "Remove a@example.com" in refused.stderr) == (1, True)
    assert answered(b"y\n").returncode == 0


def test_a_reader_that_leaves_is_no_error(postroad: Command, site: Path) -> None:
    for number in range(3):
        postroad("domain", "add", f"d{number}.test")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "postroad.cli", "domain", "list", "--config", str(site)],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=_environment(),
        )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.fixture
def reachable_path() -> Iterator[Path]:
    """A directory that the database account of a root user can pass through; pytest has closed ones."""
    with tempfile.TemporaryDirectory(prefix="postroad-cli-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_the_embedded_database_is_started_and_left(reachable_path: Path) -> None:
    site = reachable_path / "postroad.toml"
    site.write_text('data_dir = "data"\nhostname = "mail.example.com"\n')

    def call(*arguments: str) -> dict[str, object]:
        result = subprocess.run(
            [sys.executable, "-m", "postroad.cli", *arguments, "--config", str(site), "--json"],
            capture_output=True,
            text=True,
            check=True,
            env=_environment(),
        )
        assert result.stderr == ""
        answer: dict[str, object] = json.loads(result.stdout)
        return answer

    assert call("domain", "add", "example.com")["ok"] is True
    assert not list((reachable_path / "data" / "postgres").glob("postmaster.pid"))
    domains = call("domain", "list")["domains"]
    assert isinstance(domains, list)
    assert [one["name"] for one in domains] == ["example.com"]


def test_every_text_has_both_languages() -> None:
    for word, (english, chinese) in TEXTS.items():
        assert english, word
        assert chinese, word
        assert _gaps(english) == _gaps(chinese), word
    for code, (_, chinese, hint, hint_chinese) in ERRORS.items():
        assert chinese, code
        assert bool(hint) == bool(hint_chinese), code
        assert _gaps(hint) == _gaps(hint_chinese), code
    assert explain("no-such-code", "as it came", "zh", {}) == ("as it came", "")


def _gaps(text: str) -> set[str]:
    import string

    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _environment() -> dict[str, str]:
    source = str(Path(__file__).resolve().parents[2] / "src")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "POSTROAD_"))
    }
    return {**kept, "PYTHONPATH": source}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500M", 500 * 1024**2),
        ("10g", 10 * 1024**3),
        ("1 GiB", 1024**3),
        ("2TB", 2 * 1024**4),
        ("none", None),
    ],
)
def test_sizes_are_understood(text: str, size: int | None) -> None:
    assert quota_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5G", "10X", "9" * 20, "GB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(Failed):
        quota_of(text)


def test_sizes_are_written_as_people_read_them() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1536, 5 * 1024**3, 2**50, 2**61)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "5.0 GiB",
        "1.0 PiB",
        "2048.0 PiB",
    ]


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=5))
def test_tables_stay_aligned_and_never_steer_a_terminal(rows: list[tuple[str, str]]) -> None:
    text = grid_text(Grid(("name", "value"), rows), "zh")
    lines = text.split("\n")
    assert len(lines) == len(rows) + 1
    assert "\x1b" not in text
    width = max(columns(cell_text(row[0], "zh")) for row in [("名称", ""), *rows])
    for line, row in zip(lines[1:], rows, strict=True):
        if second := cell_text(row[1], "zh"):
            assert columns(line.removesuffix(second)) == width + 2


@given(st.lists(st.text(max_size=10), max_size=10))
def test_taking_options_out_leaves_the_rest_in_order(words: list[str]) -> None:
    plain = [word for word in words if not word.startswith("--")]
    _, rest = split_options([*plain, "--json", "--", *words], "en")
    assert rest == [*plain, "--", *words]


@given(st.text())
def test_what_is_printed_holds_no_controls(text: str) -> None:
    assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in printable(text))


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_error_with_a_code_is_where_its_name_says(name: str) -> None:
    """The names are text, so that no command loads every room: a class that moved would go untold."""
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert f"{found.__module__}.{found.__qualname__}" == name
