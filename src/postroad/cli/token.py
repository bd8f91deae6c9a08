"""`postroad token …` and `postroad integration …`: who may use the JSON API."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument
from postroad.cli.output import Answer, Grid
from postroad.directory.identity.integrations import Integration
from postroad.directory.identity.tokens import Token
from postroad.directory.principals import Kind

app = App(name="token", help="Tokens of the JSON API, for programs of an account or an administrator.")
integrations = App(name="integration", help="Programs that act for the accounts of their domains.")

Scopes = Annotated[
    list[str],
    Parameter(
        name="--scope",
        negative=(),
        help="mail:read, mail:write, mail:send, directory:read or directory:write; several times.",
    ),
]
Domains = Annotated[
    list[str] | None, Parameter(name="--domain", negative=(), help="For this domain; several times.")
]
WholeServer = Annotated[bool, Parameter(name="--whole-server", negative=(), help="For every domain.")]


@app.command
async def add(name: str, label: str, /, *, scope: Scopes, desk: DeskArgument) -> Answer:
    """Make one for an account (by its address) or an administrator (by name), and show it, this once."""
    async with desk.directory() as directory:
        made, text = await directory.tokens.add(_kind(name), name, label, scope)
    return Answer(
        {"token": {**fields(made), "token": text}}, [desk.say("token-added", label=made.label), text]
    )


@app.command(name="list")
async def list_tokens(name: str, /, *, desk: DeskArgument) -> Answer:
    """List those of somebody."""
    async with desk.directory() as directory:
        found = await directory.tokens.list(_kind(name), name)
    grid = Grid(
        ("id", "label", "scopes", "last used", "created"),
        [(one.id, one.label, " ".join(one.scopes), one.last_used_at, one.created_at) for one in found],
    )
    return Answer({"tokens": [fields(one) for one in found]}, [grid])


@app.command
async def remove(name: str, id: int, /, *, desk: DeskArgument) -> Answer:
    """Remove one, by its number."""
    async with desk.directory() as directory:
        await directory.tokens.remove(_kind(name), name, id)
    return Answer({"removed": id}, [desk.say("token-removed", id=id)])


@integrations.command(name="add")
async def add_integration(
    name: str,
    /,
    *,
    scope: Scopes,
    domain: Domains = None,
    whole_server: WholeServer = False,
    desk: DeskArgument,
) -> Answer:
    """Make one and show its secret, this once: OAuth 2 client credentials."""
    async with desk.directory() as directory:
        made, secret = await directory.integrations.add(
            name, desk.actor, domains=domain or [], scopes=scope, of_server=whole_server
        )
    return Answer(
        {"integration": {**integration_fields(made), "secret": secret}},
        [desk.say("integration-added", name=made.name), secret],
    )


@integrations.command(name="list")
async def list_integrations(*, desk: DeskArgument) -> Answer:
    """List them by name."""
    async with desk.directory() as directory:
        found = await directory.integrations.list()
    grid = Grid(
        ("name", "domains", "scopes", "created"),
        [
            (
                one.name,
                desk.say("whole server") if one.is_of_server else ", ".join(one.domains),
                " ".join(one.scopes),
                one.created_at,
            )
            for one in found
        ],
    )
    return Answer({"integrations": [integration_fields(one) for one in found]}, [grid])


@integrations.command
async def secret(name: str, /, *, desk: DeskArgument) -> Answer:
    """Make a new secret and show it, this once; the old one is void."""
    async with desk.directory() as directory:
        text = await directory.integrations.renew_secret(name, desk.actor)
    return Answer({"integration": name, "secret": text}, [desk.say("integration-secret", name=name), text])


@integrations.command(name="remove")
async def remove_integration(name: str, /, *, desk: DeskArgument) -> Answer:
    """Remove one with its tokens."""
    async with desk.directory() as directory:
        await directory.integrations.remove(name, desk.actor)
    return Answer({"removed": name}, [desk.say("integration-removed", name=name)])


def fields(token: Token) -> dict[str, object]:
    """Return what may be seen of a token as JSON has it."""
    return {
        "id": token.id,
        "label": token.label,
        "scopes": list(token.scopes),
        "created_at": token.created_at,
        "last_used_at": token.last_used_at,
    }


def integration_fields(integration: Integration) -> dict[str, object]:
    """Return an integration as JSON has it."""
    return {
        "name": integration.name,
        "id": integration.id,
        "is_of_server": integration.is_of_server,
        "domains": list(integration.domains),
        "scopes": list(integration.scopes),
        "created_at": integration.created_at,
    }


def _kind(name: str) -> Kind:
    return Kind.ACCOUNT if "@" in name else Kind.ADMINISTRATOR
