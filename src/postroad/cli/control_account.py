"""`postroad control-account …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument, PasswordStdin
from postroad.cli.output import Answer, Grid
from postroad.directory.identity.control_accounts import ControlAccount

app = App(name="control-account", help="Who may use the control protocol (`ctrlclnt`).")

Domains = Annotated[
    list[str] | None,
    Parameter(name="--domain", negative=(), help="Over this domain only; may stand several times."),
]
Commands = Annotated[
    list[str] | None,
    Parameter(name="--command", negative=(), help="May give this command only; may stand several times."),
]
Networks = Annotated[
    list[str] | None,
    Parameter(name="--network", negative=(), help="Only from here, such as 192.0.2.0/24; several times."),
]
NoDigest = Annotated[
    bool,
    Parameter(
        name="--no-digest",
        negative=(),
        help="Sign in by the clear password alone (`ctrlclnt -S`, `-c`): nothing readable is kept of it.",
    ),
]


@app.command
async def add(
    name: str,
    /,
    *,
    password_stdin: PasswordStdin = False,
    domain: Domains = None,
    command: Commands = None,
    network: Networks = None,
    no_digest: NoDigest = False,
    desk: DeskArgument,
) -> Answer:
    """Make one, over the whole server unless domains are named."""
    password = desk.password(from_stdin=password_stdin)
    async with desk.directory() as directory:
        made = await directory.control_accounts.add(
            name,
            password,
            desk.actor,
            domains=domain or [],
            commands=command or None,
            networks=network or None,
            takes_digest=not no_digest,
        )
    return Answer({"control_account": fields(made)}, [desk.say("control-account-added", name=made.name)])


@app.command(name="list")
async def list_control_accounts(*, desk: DeskArgument) -> Answer:
    """List them by name."""
    async with desk.directory() as directory:
        found = await directory.control_accounts.list()
    grid = Grid(
        ("name", "administers", "commands", "from", "digest", "created"),
        [
            (
                one.name,
                desk.say("whole server") if one.is_of_server else ", ".join(one.domains),
                desk.say("every command") if one.commands is None else ", ".join(one.commands),
                desk.say("everywhere") if one.networks is None else ", ".join(map(str, one.networks)),
                one.takes_digest,
                one.created_at,
            )
            for one in found
        ],
    )
    return Answer({"control_accounts": [fields(one) for one in found]}, [grid])


@app.command
async def password(name: str, /, *, password_stdin: PasswordStdin = False, desk: DeskArgument) -> Answer:
    """Change the password."""
    new = desk.password(from_stdin=password_stdin)
    async with desk.directory() as directory:
        await directory.control_accounts.set_password(name, new, desk.actor)
    return Answer({"control_account": name}, [desk.say("principal-password-set", name=name)])


@app.command
async def remove(name: str, /, *, desk: DeskArgument) -> Answer:
    """Remove one."""
    async with desk.directory() as directory:
        await directory.control_accounts.remove(name, desk.actor)
    return Answer({"removed": name}, [desk.say("control-account-removed", name=name)])


def fields(account: ControlAccount) -> dict[str, object]:
    """Return a control account as JSON has it."""
    return {
        "name": account.name,
        "id": account.id,
        "is_of_server": account.is_of_server,
        "domains": list(account.domains),
        "commands": None if account.commands is None else list(account.commands),
        "networks": None if account.networks is None else list(map(str, account.networks)),
        "takes_digest": account.takes_digest,
        "created_at": account.created_at,
    }
