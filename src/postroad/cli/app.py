"""The tree of commands, and what happens around every one of them: options, errors, exit codes.

Commands are named here by import path and loaded when they run. `--config`, `--json`, `--language` and
`--yes` may stand anywhere after `postroad`; they are taken out before the command's own parameters are
read.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from postroad.cli.desk import Deed, Desk, Failure, Options
from postroad.cli.output import Answer, print_answer, print_failure
from postroad.cli.words import Language, language_of, say

EPILOGUE = """Every command also takes:
  --config FILE      the settings (default: postroad.toml here, if there is one)
  --json             one JSON object on standard output instead of text
  --language zh|en   of messages (default: by LANG)
  --yes              do not ask before something is removed

Exit codes: 0 done, 1 it could not be done, 2 the command is wrong."""

NOUNS = {
    "domain": (
        "postroad.cli.domain:app",
        "Domains of ours: add, list, show, remove, alias, catch-all, dns …",
    ),
    "account": (
        "postroad.cli.account:app",
        "Accounts: add, list, show, set, password, disable, quota, remove …",
    ),
    "app-password": ("postroad.cli.application_password:app", "Passwords for one device or program each."),
    "token": ("postroad.cli.token:app", "Tokens of the JSON API: add, list, remove."),
    "integration": ("postroad.cli.token:integrations", "Programs that act for the accounts of domains."),
    "admin": ("postroad.cli.admin:app", "Administrators of the server or of domains."),
    "control-account": ("postroad.cli.control_account:app", "Who may use the control protocol."),
    "notify": (
        "postroad.cli.notify:app",
        "Who is told of new mail: add-webhook, add-files, list, test, log, replay, rotate …",
    ),
    "audit": ("postroad.cli.audit:app", "The log of who changed what."),
    "alias": ("postroad.cli.alias:app", "Addresses that stand for others."),
    "list": ("postroad.cli.distribution_list:app", "Distribution lists and their members."),
    "customer": (
        "postroad.cli.customer:app",
        "Customers of the bulk-mail API: add, list, show, set, password, domain, mailbox, volume.",
    ),
    "contact": ("postroad.cli.contact:app", "Contacts of a customer: lists, import, export …"),
    "template": ("postroad.cli.template:app", "Templates of a customer: add, list, show, approve, remove."),
    "task": ("postroad.cli.task:app", "Campaign tasks: add, list, show, pause, resume, cancel, recipients …"),
    "bounce": (
        "postroad.cli.bounce:app",
        "What servers' answers to campaigns mean: list, add, remove, show.",
    ),
    "suppression": (
        "postroad.cli.suppression:app",
        "Addresses that nothing is sent to any more: list, remove, show, set.",
    ),
    "database": ("postroad.cli.database:app", "The embedded database: upgrade."),
    "queue": (
        "postroad.cli.queue:app",
        "Mail on its way out: list, show, retry, hold, release, drop, stats.",
    ),
}
DEEDS = {
    "serve": ("postroad.cli.serve:serve", "Run the server, with --demo on invented mail."),
    "export": ("postroad.cli.mailbox:export", "Write an account's mail into a Maildir."),
    "import": ("postroad.cli.mailbox:import_mail", "Take in a Maildir or mbox of any size."),
    "backup": ("postroad.cli.backup:backup", "Write the whole installation to one place."),
    "restore": ("postroad.cli.backup:restore", "Read a backup into an empty installation."),
    "verify": ("postroad.cli.store:verify", "Check the mail store against its promises."),
    "doctor": ("postroad.cli.doctor:doctor", "Look at DNS, ports, TLS, clock, disk and database."),
}


# Commands that change nothing, and nouns whose services write to the audit log themselves.
READING = frozenset({"list", "show", "dns", "stats"})
SELF_WRITTEN = frozenset({"admin", "control-account", "integration", "audit", "notify"})
NOTED_DEEDS = frozenset({"export", "import"})


def build() -> App:
    """Put the tree together without importing any command."""
    app = App(
        name="postroad",
        help="Postroad: mail server, webmail and campaigns in one house.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",  # "markdown" would load a parser and a highlighter: 60 ms
        version=_version,
        version_flags=["--version"],
    )
    for name, (path, text) in {**DEEDS, **NOUNS}.items():
        app.command(path, name=name, help=text)
    return app


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("postroad")
    except PackageNotFoundError:  # run from the source without being installed
        return "unknown"


class UsageError(Exception):
    """The command line itself is wrong; the message says what is."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    language = language_of(os.environ)
    is_json = "--json" in _before_dashes(arguments)
    try:
        options, tokens = split_options(arguments, language)
        language = options.language
        command, bound, own = _parse(tokens)
        if "desk" not in own:  # --help, --version
            command(*bound.args, **bound.kwargs)
            return 0
        return _execute(command, bound, Desk(options, deed_of(tokens, bound)))
    except (CycloptsError, UsageError) as error:
        hint = say("hint-usage", language)
        print_failure("usage", str(error), hint, {}, is_json=is_json)
        return 2
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells have it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more when it ends
        return 0


def split_options(arguments: Sequence[str], language: Language) -> tuple[Options, list[str]]:
    """Take the options of every command out of `arguments`. Raises `UsageError`."""
    remaining: list[str] = []
    config: Path | None = None
    is_json = is_sure = False
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            remaining += [word, *rest]
            break
        if word == "--json":
            is_json = True
        elif word == "--yes":
            is_sure = True
        elif name in ("--config", "--language"):
            if not equals:
                if not rest:
                    raise UsageError(f"{name} needs a value")
                value = rest.pop(0)
            if name == "--config":
                config = Path(value)
            elif value in ("en", "zh"):
                language = value  # type: ignore[assignment]
            else:
                raise UsageError("--language is zh or en")
        else:
            remaining.append(word)
    return Options(config, is_json, is_sure, language), remaining


def deed_of(tokens: Sequence[str], bound: inspect.BoundArguments) -> Deed | None:
    """Return what the audit log shall say of a command; None for one that only reads."""
    words = list(tokens[: 3 if tokens[1:2] == ["member"] else 2])
    if words[:1] and words[0] in NOTED_DEEDS:
        words = words[:1]
    elif len(words) < 2 or words[0] not in NOUNS or words[0] in SELF_WRITTEN or words[-1] in READING:
        return None
    facts = {name: value for name, value in bound.arguments.items() if name != "password_stdin"}
    first = next(iter(facts), "")
    subject = facts.pop(first) if isinstance(facts.get(first), str) else ""
    return Deed(".".join(words), subject, facts)


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _parse(tokens: list[str]) -> tuple[Any, inspect.BoundArguments, dict[str, Any]]:
    """Return the command, its arguments, and those of its parameters that the command line does not fill."""
    return build().parse_args(
        tokens or ["--help"], exit_on_error=False, print_error=False, help_on_error=False
    )


def _execute(command: Any, bound: inspect.BoundArguments, desk: Desk) -> int:
    import asyncio  # 40 ms that --help need not wait for
    import traceback

    options = desk.options
    try:
        desk.act_as_owner(is_server=not inspect.iscoroutinefunction(command))
        if not inspect.iscoroutinefunction(command):  # serve: brings its own loop, writes logs, no answer
            return int(command(*bound.args, **bound.kwargs, desk=desk))
        answer: Answer = asyncio.run(command(*bound.args, **bound.kwargs, desk=desk))
    except UsageError:
        raise
    except Exception as error:
        failure = desk.explain(error)
        if failure is None:  # a mistake of ours: the whole story to standard error, for a report
            traceback.print_exc()
            failure = Failure("internal", f"{type(error).__name__}: {error}", desk.say("hint-internal"))
        print_failure(failure.code, failure.message, failure.hint, failure.facts, is_json=options.is_json)
        return 1
    print_answer(answer, is_json=options.is_json, language=options.language)
    return 1 if answer.is_failure else 0
