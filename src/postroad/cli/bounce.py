"""`postroad bounce …`: what servers' answers are taken for, and the words that decide it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import App, Parameter

from postroad.campaigns.results.rules import NAMES
from postroad.campaigns.results.words import Rule
from postroad.cli.arguments import DeskArgument
from postroad.cli.output import Answer, Grid

app = App(name="bounce", help="What servers' answers to campaigns mean: the table of words.")

FailureName: TypeAlias = Literal["not_exist", "over_quota", "user_reject", "invalid_addr", "format_error"]
_BY_NUMBER = {number: name for name, number in NAMES.items()}


@app.command(name="list")
async def list_rules(
    *,
    built_in: Annotated[bool, Parameter(negative=(), help="Those that come with the platform, too.")] = False,
    desk: DeskArgument,
) -> Answer:
    """List the rules in the order in which they are looked at."""
    async with desk.campaigns() as campaigns:
        own = await campaigns.reply_rules.own()
    rules = [(each.id, each.rule) for each in own]
    if built_in:
        rules += [(0, rule) for rule in campaigns.reply_rules.built_in()]
    grid = Grid(
        ("id", "pattern", "failure", "temporary"),
        [(id or "", rule.pattern, failure_name(rule.failure), _when(rule)) for id, rule in rules],
    )
    return Answer({"rules": [_fields(id, rule) for id, rule in rules]}, [grid])


@app.command
async def add(
    pattern: str,
    failure: FailureName,
    /,
    *,
    temporary: Annotated[
        bool | None, Parameter(help="Whether it is worth another try; else the code says.")
    ] = None,
    asks_for_less: Annotated[bool, Parameter(negative=(), help="The receiver wants slower mail.")] = False,
    desk: DeskArgument,
) -> Answer:
    """Add a rule before the built-in ones: phrases in their order, `*` for anything between."""
    rule = Rule(pattern, NAMES[failure], temporary, asks_for_less)
    async with desk.campaigns() as campaigns:
        added = await campaigns.reply_rules.add(rule)
    return Answer({"rule": _fields(added, rule)}, [desk.say("bounce-rule-added", id=added)])


@app.command
async def remove(rule_id: int, /, *, desk: DeskArgument) -> Answer:
    """Remove a rule that was added."""
    async with desk.campaigns() as campaigns:
        await campaigns.reply_rules.remove(rule_id)
    return Answer({"removed": rule_id}, [desk.say("bounce-rule-removed", id=rule_id)])


@app.command
async def show(
    text: str,
    /,
    *,
    code: Annotated[int | None, Parameter(help="The reply's code, such as 550.")] = None,
    desk: DeskArgument,
) -> Answer:
    """Show what an answer would be taken for, and which words decide."""
    async with desk.campaigns() as campaigns:
        verdict = (await campaigns.reply_rules.classifier()).classify_reply(code, None, text)
    data: dict[str, Any] = {
        "failure": failure_name(verdict.failure),
        "is_temporary": verdict.is_temporary,
        "asks_for_less": verdict.asks_for_less,
        "by": verdict.by,
    }
    return Answer({"verdict": data}, [Grid(("field", "value"), list(data.items()))])


def failure_name(number: int) -> str:
    """The name of a failure type, as the bulk-mail API has it."""
    return _BY_NUMBER.get(number, str(number))


def _fields(rule_id: int, rule: Rule) -> dict[str, Any]:
    return {
        "id": rule_id or None,
        "pattern": rule.pattern,
        "failure": failure_name(rule.failure),
        "is_temporary": rule.is_temporary,
        "asks_for_less": rule.asks_for_less,
    }


def _when(rule: Rule) -> str:
    return "" if rule.is_temporary is None else str(rule.is_temporary).lower()
