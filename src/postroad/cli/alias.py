"""`postroad alias …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import After, DeskArgument, Limit, address_of, next_key, page
from postroad.cli.output import Answer, Grid
from postroad.directory.addresses.aliases import Alias

app = App(name="alias", help="Addresses that stand for others, here or elsewhere.")

Targets = Annotated[list[str], Parameter(help="Where its mail goes.", negative=())]


@app.command
async def add(address: str, targets: Targets, /, *, desk: DeskArgument) -> Answer:
    """Make an alias."""
    parsed, parsed_targets = address_of(address), [address_of(target) for target in targets]
    async with desk.directory() as directory:
        alias = await directory.aliases.add(parsed, parsed_targets)
    return Answer({"alias": fields(alias)}, [_added(desk, alias)])


@app.command(name="set")
async def set_targets(address: str, targets: Targets, /, *, desk: DeskArgument) -> Answer:
    """Replace where an alias leads."""
    parsed, parsed_targets = address_of(address), [address_of(target) for target in targets]
    async with desk.directory() as directory:
        alias = await directory.aliases.set_targets(parsed, parsed_targets)
    return Answer({"alias": fields(alias)}, [_added(desk, alias)])


@app.command(name="list")
async def list_aliases(
    domain: Annotated[str | None, Parameter(help="Only those of this domain.")] = None,
    /,
    *,
    after: After = "",
    limit: Limit = 1000,
    desk: DeskArgument,
) -> Answer:
    """List the aliases by address."""
    async with desk.directory() as directory:
        name = None if domain is None else (await directory.domains.get(domain)).name
        aliases = await directory.aliases.list(name, after, limit)
    more = next_key([alias.address.key for alias in aliases], limit)
    grid = Grid(("address", "targets"), [(one.address, ", ".join(map(str, one.targets))) for one in aliases])
    return Answer({"aliases": [fields(one) for one in aliases], "next": more}, page(desk, grid, more))


@app.command
async def remove(address: str, /, *, desk: DeskArgument) -> Answer:
    """Remove an alias."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        await directory.aliases.remove(parsed)
    return Answer({"removed": parsed.key}, [desk.say("alias-removed", address=parsed.key)])


def fields(alias: Alias) -> dict[str, object]:
    """Return an alias as JSON has it."""
    return {"address": alias.address, "targets": alias.targets, "created_at": alias.created_at}


def _added(desk: DeskArgument, alias: Alias) -> str:
    return desk.say("alias-added", address=alias.address, count=len(alias.targets))
