"""`postroad account …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import (
    After,
    DeskArgument,
    Limit,
    PasswordStdin,
    address_of,
    next_key,
    page,
    quota_of,
)
from postroad.cli.desk import Desk
from postroad.cli.output import Answer, Grid, size_text
from postroad.directory.addresses.accounts import Account, AccountChanges

app = App(name="account", help="Accounts.")

Quota = Annotated[str | None, Parameter(help="Such as 500M or 10G; `none` for no limit.")]
Name = Annotated[str | None, Parameter(help="The name shown with the address.")]
Mobile = Annotated[
    str | None, Parameter(help="With country code, such as +8613800138000; `none` removes it.")
]
PageLanguage = Annotated[
    str | None, Parameter(name="--prefers", help="Language of pages and notices: zh, en, none.")
]


@app.command
async def add(
    address: str,
    /,
    *,
    password_stdin: PasswordStdin = False,
    quota: Quota = None,
    name: Name = None,
    mobile: Mobile = None,
    prefers: PageLanguage = None,
    desk: DeskArgument,
) -> Answer:
    """Make an account."""
    parsed = address_of(address)
    changes = _changes(quota, name, mobile, prefers)
    password = desk.password(from_stdin=password_stdin)
    async with desk.directory() as directory:
        account = await directory.accounts.add(
            parsed,
            password,
            display_name=changes.get("display_name", ""),
            mobile=changes.get("mobile"),
            language=changes.get("language"),
            quota_bytes=changes.get("quota_bytes"),
        )
    return Answer({"account": fields(account)}, [desk.say("account-added", address=account.address)])


@app.command(name="list")
async def list_accounts(
    domain: Annotated[str | None, Parameter(help="Only those of this domain.")] = None,
    /,
    *,
    after: After = "",
    limit: Limit = 1000,
    desk: DeskArgument,
) -> Answer:
    """List the accounts by address."""
    async with desk.directory() as directory:
        name = None if domain is None else (await directory.domains.get(domain)).name
        accounts = await directory.accounts.list(name, after, limit)
    more = next_key([account.address.key for account in accounts], limit)
    grid = Grid(
        ("address", "name", "quota", "disabled", "created"),
        [
            (one.address, one.display_name, _quota(desk, one), one.is_disabled, one.created_at)
            for one in accounts
        ],
    )
    return Answer({"accounts": [fields(one) for one in accounts], "next": more}, page(desk, grid, more))


@app.command
async def show(address: str, /, *, desk: DeskArgument) -> Answer:
    """Show an account with the aliases that lead to it and its application passwords."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        account = await directory.accounts.get_by_address(parsed)
        aliases = [alias.address for alias in await directory.aliases.leading_to(parsed)]
        passwords = await directory.application_passwords.list(parsed)
    rows = (
        ("address", account.address),
        ("name", account.display_name),
        ("quota", _quota(desk, account)),
        ("mobile", account.mobile),
        ("language", account.language),
        ("disabled", account.is_disabled),
        ("aliases", ", ".join(map(str, aliases)) or None),
        ("application passwords", len(passwords)),
        ("created", account.created_at),
    )
    return Answer(
        {"account": {**fields(account), "aliases": aliases, "application_passwords": len(passwords)}},
        [Grid(("field", "value"), [(desk.say(word), value) for word, value in rows])],
    )


@app.command(name="set")
async def set_fields(
    address: str,
    /,
    *,
    quota: Quota = None,
    name: Name = None,
    mobile: Mobile = None,
    prefers: PageLanguage = None,
    desk: DeskArgument,
) -> Answer:
    """Change what is given."""
    return await _update(desk, address, _changes(quota, name, mobile, prefers))


@app.command
async def quota(address: str, size: str, /, *, desk: DeskArgument) -> Answer:
    """Set the quota: 500M, 10G, none."""
    return await _update(desk, address, {"quota_bytes": quota_of(size)})


@app.command
async def disable(address: str, /, *, desk: DeskArgument) -> Answer:
    """Lock an account: nobody signs in, mail to it is refused, nothing is lost."""
    return await _update(desk, address, {"is_disabled": True})


@app.command
async def enable(address: str, /, *, desk: DeskArgument) -> Answer:
    """Unlock an account."""
    return await _update(desk, address, {"is_disabled": False})


@app.command
async def password(address: str, /, *, password_stdin: PasswordStdin = False, desk: DeskArgument) -> Answer:
    """Change the password; web sessions end at once."""
    parsed = address_of(address)
    new = desk.password(from_stdin=password_stdin)
    async with desk.directory() as directory:
        await directory.accounts.set_password(parsed, new)
    return Answer({"address": parsed.key}, [desk.say("password-set", address=parsed.key)])


@app.command
async def remove(address: str, /, *, desk: DeskArgument) -> Answer:
    """Remove an account and all its mail."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        account = await directory.accounts.get_by_address(parsed)
        desk.confirm("ask-remove-account", address=account.address)
        await directory.accounts.remove(parsed)
    return Answer({"removed": parsed.key}, [desk.say("account-removed", address=parsed.key)])


async def _update(desk: Desk, address: str, changes: AccountChanges) -> Answer:
    parsed = address_of(address)
    async with desk.directory() as directory:
        account = await directory.accounts.update(parsed, **changes)
    return Answer({"account": fields(account)}, [desk.say("account-set", address=account.address)])


def _changes(quota: str | None, name: str | None, mobile: str | None, prefers: str | None) -> AccountChanges:
    changes: AccountChanges = {}
    if quota is not None:
        changes["quota_bytes"] = quota_of(quota)
    if name is not None:
        changes["display_name"] = name
    if mobile is not None:
        changes["mobile"] = None if mobile == "none" else mobile
    if prefers is not None:
        changes["language"] = None if prefers == "none" else prefers
    return changes


def fields(account: Account) -> dict[str, object]:
    """Return an account as JSON has it."""
    return {
        "address": account.address,
        "name": account.display_name,
        "mobile": account.mobile,
        "language": account.language,
        "quota_bytes": account.quota_bytes,
        "is_disabled": account.is_disabled,
        "created_at": account.created_at,
    }


def _quota(desk: Desk, account: Account) -> str:
    return desk.say("no-limit") if account.quota_bytes is None else size_text(account.quota_bytes)
