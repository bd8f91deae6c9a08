"""`postroad suppression …`: addresses a customer writes to no more, and the rules that put them there."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.campaigns.results.rules import NAMES, SuppressionRule
from postroad.cli.arguments import After, DeskArgument, Limit, page
from postroad.cli.bounce import FailureName, failure_name
from postroad.cli.output import Answer, Grid

app = App(name="suppression", help="Addresses that nothing is sent to any more, by rule.")


@app.command(name="list")
async def list_suppressed(
    username: str, /, *, after: After = "", limit: Limit = 100, desk: DeskArgument
) -> Answer:
    """List a customer's suppressed addresses."""
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        found = await campaigns.suppressions.list(customer.id, after=after, limit=limit)
    more = found[-1].address if len(found) >= max(1, min(limit, 1000)) else None
    grid = Grid(
        ("address", "failure", "when", "reason"),
        [(each.address, failure_name(each.failure), each.created_at, each.reason[:60]) for each in found],
    )
    data = [
        {
            "address": each.address,
            "failure": failure_name(each.failure),
            "reason": each.reason,
            "created_at": each.created_at,
        }
        for each in found
    ]
    return Answer({"suppressions": data, "next": more}, page(desk, grid, more))


@app.command
async def remove(username: str, address: str, /, *, desk: DeskArgument) -> Answer:
    """Let a customer's mail go to an address again."""
    async with desk.campaigns() as campaigns:
        customer = await campaigns.customers.get_by_username(username)
        await campaigns.suppressions.remove(customer.id, address)
    return Answer({"removed": address}, [desk.say("suppression-removed", address=address)])


@app.command
async def show(*, desk: DeskArgument) -> Answer:
    """Show after how many failures of which type an address is suppressed."""
    async with desk.campaigns() as campaigns:
        rules = await campaigns.suppression_rules.list()
    return Answer({"rules": [_fields(rule) for rule in rules]}, [_grid(rules)])


@app.command(name="set")
async def set_rule(
    failure: FailureName,
    failures: Annotated[int, Parameter(help="So many failures suppress; 0: never.")],
    /,
    *,
    within_days: int = 90,
    desk: DeskArgument,
) -> Answer:
    """Change the rule of one type of failure."""
    async with desk.campaigns() as campaigns:
        if failures:
            await campaigns.suppression_rules.set(SuppressionRule(NAMES[failure], failures, within_days))
        else:
            await campaigns.suppression_rules.remove(NAMES[failure])
        rules = await campaigns.suppression_rules.list()
    return Answer({"rules": [_fields(rule) for rule in rules]}, [_grid(rules)])


def _fields(rule: SuppressionRule) -> dict[str, object]:
    return {
        "failure": failure_name(rule.failure),
        "failures": rule.failures,
        "within_days": rule.within_days,
    }


def _grid(rules: list[SuppressionRule]) -> Grid:
    return Grid(
        ("failure", "failures", "days"),
        [(failure_name(rule.failure), rule.failures, rule.within_days) for rule in rules],
    )
