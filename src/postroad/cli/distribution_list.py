"""`postroad list …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import After, DeskArgument, Limit, address_of, next_key, page
from postroad.cli.output import Answer, Grid
from postroad.directory.addresses.lists import DistributionList
from postroad.directory.addresses.resolver import Posting

app = App(name="list", help="Distribution lists: one address, many readers.")
member = App(name="member", help="Members of a list, here or elsewhere.")
app.command(member)

Members = Annotated[list[str], Parameter(help="Their addresses.", negative=())]


@app.command
async def add(
    address: str,
    /,
    *,
    name: Annotated[str, Parameter(help="What the list is called.")] = "",
    posting: Annotated[Posting, Parameter(help="Who may write to it.")] = "members",
    desk: DeskArgument,
) -> Answer:
    """Make a list without members."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        made = await directory.lists.add(parsed, name, posting)
    return Answer({"list": fields(made)}, [desk.say("list-added", address=made.address)])


@app.command(name="set")
async def set_fields(
    address: str,
    /,
    *,
    name: str | None = None,
    posting: Posting | None = None,
    desk: DeskArgument,
) -> Answer:
    """Change its name or who may write to it."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        changed = await directory.lists.set(parsed, name, posting)
    return Answer({"list": fields(changed)}, [desk.say("list-set", address=changed.address)])


@app.command(name="list")
async def list_lists(
    domain: Annotated[str | None, Parameter(help="Only those of this domain.")] = None,
    /,
    *,
    after: After = "",
    limit: Limit = 1000,
    desk: DeskArgument,
) -> Answer:
    """List the distribution lists by address."""
    async with desk.directory() as directory:
        name = None if domain is None else (await directory.domains.get(domain)).name
        lists = await directory.lists.list(name, after, limit)
    more = next_key([one.address.key for one in lists], limit)
    grid = Grid(
        ("address", "name", "posting", "members"),
        [(one.address, one.name, one.posting, one.member_count) for one in lists],
    )
    return Answer({"lists": [fields(one) for one in lists], "next": more}, page(desk, grid, more))


@app.command
async def show(address: str, /, *, after: After = "", limit: Limit = 1000, desk: DeskArgument) -> Answer:
    """Show a list and its members."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        found = await directory.lists.get(parsed)
        members = await directory.lists.members(parsed, after, limit)
    more = next_key([one.address.key for one in members], limit)
    data = {
        **fields(found),
        "members": [{"address": one.address, "is_owner": one.is_owner} for one in members],
    }
    head = Grid(
        ("address", "name", "posting", "members"),
        [(found.address, found.name, found.posting, found.member_count)],
    )
    body = Grid(("address", "owner"), [(one.address, one.is_owner) for one in members])
    return Answer({"list": data, "next": more}, [head, "", *page(desk, body, more)])


@app.command
async def remove(address: str, /, *, desk: DeskArgument) -> Answer:
    """Remove a list; its members stay what they are."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        await directory.lists.remove(parsed)
    return Answer({"removed": parsed.key}, [desk.say("list-removed", address=parsed.key)])


@member.command(name="add")
async def add_members(
    address: str,
    members: Members,
    /,
    *,
    owner: Annotated[bool, Parameter(negative=(), help="As owners, who may always write to it.")] = False,
    desk: DeskArgument,
) -> Answer:
    """Add members; adding a member as owner makes it one."""
    parsed, parsed_members = address_of(address), [address_of(one) for one in members]
    async with desk.directory() as directory:
        count = await directory.lists.add_members(parsed, parsed_members, owners=owner)
    return Answer({"changed": count}, [desk.say("members-added", count=count)])


@member.command(name="remove")
async def remove_members(address: str, members: Members, /, *, desk: DeskArgument) -> Answer:
    """Remove members."""
    parsed, parsed_members = address_of(address), [address_of(one) for one in members]
    async with desk.directory() as directory:
        count = await directory.lists.remove_members(parsed, parsed_members)
    return Answer({"removed": count}, [desk.say("members-removed", count=count)])


def fields(found: DistributionList) -> dict[str, object]:
    """Return a list as JSON has it."""
    return {
        "address": found.address,
        "name": found.name,
        "posting": found.posting,
        "member_count": found.member_count,
        "created_at": found.created_at,
    }
