"""`postroad app-password …`"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument, address_of
from postroad.cli.output import Answer, Grid
from postroad.directory.identity.application_passwords import ApplicationPassword

app = App(name="app-password", help="Passwords for one device or program each; good for SMTP, IMAP and POP3.")


@app.command
async def add(
    address: str,
    label: Annotated[str, Parameter(help="What it is for, such as the telephone's name.")],
    /,
    *,
    desk: DeskArgument,
) -> Answer:
    """Make one and show it, this once."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        made, token = await directory.application_passwords.add(parsed, label)
    return Answer(
        {"application_password": {**fields(made), "password": token}},
        [desk.say("app-password-added", label=made.label), token],
    )


@app.command(name="list")
async def list_passwords(address: str, /, *, desk: DeskArgument) -> Answer:
    """List those of an account."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        found = await directory.application_passwords.list(parsed)
    grid = Grid(
        ("id", "label", "last used", "created"),
        [(one.id, one.label, one.last_used_at, one.created_at) for one in found],
    )
    return Answer({"application_passwords": [fields(one) for one in found]}, [grid])


@app.command
async def remove(address: str, id: int, /, *, desk: DeskArgument) -> Answer:
    """Remove one, by its number."""
    parsed = address_of(address)
    async with desk.directory() as directory:
        await directory.application_passwords.remove(parsed, id)
    return Answer({"removed": id}, [desk.say("app-password-removed", id=id)])


def fields(password: ApplicationPassword) -> dict[str, object]:
    """Return what may be seen of one as JSON has it."""
    return {
        "id": password.id,
        "label": password.label,
        "created_at": password.created_at,
        "last_used_at": password.last_used_at,
    }
