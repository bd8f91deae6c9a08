"""`postroad admin …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument, PasswordStdin, address_of
from postroad.cli.desk import Desk
from postroad.cli.output import Answer, Grid
from postroad.directory.identity.administrators import Administrator

app = App(name="admin", help="Administrators of the server or of domains.")

OfDomains = Annotated[
    list[str] | None,
    Parameter(name="--domain", negative=(), help="Of this domain only; may stand several times."),
]


@app.command
async def add(
    name: str,
    /,
    *,
    password_stdin: PasswordStdin = False,
    domain: OfDomains = None,
    desk: DeskArgument,
) -> Answer:
    """Make an administrator of the whole server, or of domains."""
    password = desk.password(from_stdin=password_stdin)
    async with desk.directory() as directory:
        made = await directory.administrators.add(name, password, desk.actor, domains=domain or [])
    return Answer({"administrator": fields(made)}, [_added(desk, made)])


@app.command
async def account(address: str, /, *, desk: DeskArgument) -> Answer:
    """Make an account administrator of the domain it is in."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        made = await directory.administrators.add_account(parsed, desk.actor)
    return Answer({"administrator": fields(made)}, [_added(desk, made)])


@app.command(name="list")
async def list_administrators(*, desk: DeskArgument) -> Answer:
    """List them by name; accounts by their address."""
    async with desk.directory() as directory:
        found = await directory.administrators.list()
    grid = Grid(
        ("name", "kind", "administers", "disabled", "created"),
        [(one.name, one.principal.kind, _over(desk, one), one.is_disabled, one.created_at) for one in found],
    )
    return Answer({"administrators": [fields(one) for one in found]}, [grid])


@app.command
async def password(name: str, /, *, password_stdin: PasswordStdin = False, desk: DeskArgument) -> Answer:
    """Change the password; an account's is changed by `account password`."""
    new = desk.password(from_stdin=password_stdin)
    async with desk.directory() as directory:
        await directory.administrators.set_password(name, new, desk.actor)
    return Answer({"administrator": name}, [desk.say("principal-password-set", name=name)])


@app.command
async def remove(name: str, /, *, desk: DeskArgument) -> Answer:
    """Remove an administrator; an account only stops being one."""
    async with desk.directory() as directory:
        await directory.administrators.remove(name, desk.actor)
    return Answer({"removed": name}, [desk.say("admin-removed", name=name)])


def fields(administrator: Administrator) -> dict[str, object]:
    """Return an administrator as JSON has it."""
    return {
        "name": administrator.name,
        "kind": administrator.principal.kind,
        "id": administrator.principal.id,
        "is_of_server": administrator.is_of_server,
        "domains": list(administrator.domains),
        "is_disabled": administrator.is_disabled,
        "created_at": administrator.created_at,
    }


def _added(desk: Desk, made: Administrator) -> str:
    if made.is_of_server:
        return desk.say("admin-added-server", name=made.name)
    return desk.say("admin-added", name=made.name, domains=", ".join(made.domains))


def _over(desk: Desk, administrator: Administrator) -> str:
    return desk.say("whole server") if administrator.is_of_server else ", ".join(administrator.domains)
