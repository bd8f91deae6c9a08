"""`postroad domain …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import After, DeskArgument, Limit, address_of, next_key, page
from postroad.cli.desk import Desk, Failed
from postroad.cli.output import Answer, Grid
from postroad.directory.addresses.dns_records import DnsRecord, dns_records
from postroad.directory.addresses.domains import DkimKey, Domain, checked_name

app = App(name="domain", help="Domains of ours.")


@app.command
async def add(
    name: str,
    /,
    *,
    alias_of: Annotated[str | None, Parameter(help="Make it an alias domain of this one.")] = None,
    desk: DeskArgument,
) -> Answer:
    """Make a domain and its DKIM keys, and print the DNS records it needs."""
    async with desk.directory() as directory:
        domain = await directory.domains.add(name, alias_of)
        keys = await directory.domains.keys(name)
    lines = [desk.say("domain-added", domain=domain.name)]
    records: list[DnsRecord] = []
    if "." in desk.settings.hostname:
        records = dns_records(domain.name, _hostname(desk), keys)
        lines += ["", *(record.zone_line for record in records)]
    return Answer({"domain": fields(domain), "records": [_record(one) for one in records]}, lines)


@app.command(name="list")
async def list_domains(*, after: After = "", limit: Limit = 1000, desk: DeskArgument) -> Answer:
    """List the domains by name."""
    async with desk.directory() as directory:
        domains = await directory.domains.list(after, limit)
    more = next_key([domain.name for domain in domains], limit)
    grid = Grid(
        ("domain", "accounts", "alias of", "catch-all", "created"),
        [(one.name, one.account_count, one.alias_of, one.catch_all, one.created_at) for one in domains],
    )
    return Answer({"domains": [fields(one) for one in domains], "next": more}, page(desk, grid, more))


@app.command
async def show(name: str, /, *, desk: DeskArgument) -> Answer:
    """Show a domain with its keys."""
    async with desk.directory() as directory:
        domain = await directory.domains.get(name)
        keys = await directory.domains.keys(name)
    grid = Grid(
        ("field", "value"),
        [
            (desk.say(word), value)
            for word, value in (
                ("domain", domain.name),
                ("alias of", domain.alias_of),
                ("accounts", domain.account_count),
                ("catch-all", domain.catch_all),
                ("postmaster", domain.postmaster),
                ("created", domain.created_at),
            )
        ],
    )
    data = {**fields(domain), "keys": [key_fields(key) for key in keys]}
    return Answer({"domain": data}, [grid, "", _keys(keys)])


@app.command
async def remove(
    name: str,
    /,
    *,
    force: Annotated[
        bool, Parameter(negative=(), help="Also its accounts with all their mail, its aliases and lists.")
    ] = False,
    desk: DeskArgument,
) -> Answer:
    """Remove a domain; refused while it holds anything."""
    async with desk.directory() as directory:
        domain = await directory.domains.get(name)
        if force:
            desk.confirm("ask-remove-domain", domain=domain.name, accounts=domain.account_count)
        await directory.domains.remove(name, force=force)
    return Answer({"removed": domain.name}, [desk.say("domain-removed", domain=domain.name)])


@app.command
async def alias(
    name: str,
    target: Annotated[str | None, Parameter(help="The domain it shall stand for.")] = None,
    /,
    *,
    none: Annotated[bool, Parameter(negative=(), help="Make it a domain of its own again.")] = False,
    desk: DeskArgument,
) -> Answer:
    """Make an empty domain stand for another: every address is the same name there."""
    if (target is None) != none:
        raise Failed("alias-target")
    async with desk.directory() as directory:
        domain = await directory.domains.set_alias_of(name, target)
    return Answer({"domain": fields(domain)}, [desk.say("domain-set", domain=domain.name)])


@app.command(name="catch-all")
async def catch_all(
    name: str,
    address: Annotated[str, Parameter(help="Who gets it, or `none`.")],
    /,
    *,
    desk: DeskArgument,
) -> Answer:
    """Say who gets mail for addresses that do not exist."""
    async with desk.directory() as directory:
        domain = await directory.domains.set_catch_all(
            name, None if address == "none" else address_of(address)
        )
    return Answer({"domain": fields(domain)}, [desk.say("domain-set", domain=domain.name)])


@app.command
async def postmaster(
    name: str,
    address: Annotated[str, Parameter(help="Who reads it, or `none`: the oldest account does.")],
    /,
    *,
    desk: DeskArgument,
) -> Answer:
    """Say who reads postmaster@ and abuse@."""
    async with desk.directory() as directory:
        domain = await directory.domains.set_postmaster(
            name, None if address == "none" else address_of(address)
        )
    return Answer({"domain": fields(domain)}, [desk.say("domain-set", domain=domain.name)])


@app.command
async def dns(name: str, /, *, desk: DeskArgument) -> Answer:
    """Print the DNS records that the domain needs, as lines of a zone file."""
    hostname = _hostname(desk)
    async with desk.directory() as directory:
        domain = await directory.domains.get(name)
        keys = await directory.domains.keys(name)
    records = dns_records(domain.name, hostname, keys)
    return Answer(
        {"domain": domain.name, "records": [_record(one) for one in records]},
        [record.zone_line for record in records],
    )


@app.command(name="new-keys")
async def new_keys(name: str, /, *, desk: DeskArgument) -> Answer:
    """Make new DKIM keys; the old ones stay published until they are removed."""
    async with desk.directory() as directory:
        keys = await directory.domains.add_keys(name)
    return Answer(
        {"domain": keys[0].domain, "keys": [key_fields(key) for key in keys]},
        [_keys(keys), desk.say("keys-added", domain=keys[0].domain)],
    )


@app.command(name="remove-key")
async def remove_key(name: str, selector: str, /, *, desk: DeskArgument) -> Answer:
    """Remove a DKIM key."""
    async with desk.directory() as directory:
        if not await directory.domains.remove_key(name, selector):
            raise Failed("no-key", selector=selector)
    return Answer({"removed": selector}, [desk.say("key-removed", selector=selector)])


def _hostname(desk: Desk) -> str:
    """Return the name that MX records shall point at. Raises `Failed`."""
    hostname = desk.settings.hostname.rstrip(".").lower()
    if "." not in hostname:
        raise Failed("no-hostname", hostname=hostname)
    return checked_name(hostname)


def _record(record: DnsRecord) -> dict[str, object]:
    return {
        "purpose": record.purpose,
        "name": record.name,
        "type": record.type,
        "value": record.value,
        "zone_line": record.zone_line,
    }


def fields(domain: Domain) -> dict[str, object]:
    """Return a domain as JSON has it."""
    return {
        "name": domain.name,
        "alias_of": domain.alias_of,
        "catch_all": domain.catch_all,
        "postmaster": domain.postmaster,
        "accounts": domain.account_count,
        "created_at": domain.created_at,
    }


def key_fields(key: DkimKey) -> dict[str, object]:
    """Return what may be seen of a key as JSON has it."""
    return {"selector": key.selector, "algorithm": key.algorithm, "created_at": key.created_at}


def _keys(keys: list[DkimKey]) -> Grid:
    return Grid(
        ("selector", "algorithm", "created"), [(key.selector, key.algorithm, key.created_at) for key in keys]
    )
