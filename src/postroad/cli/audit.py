"""`postroad audit …`"""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument, Limit
from postroad.cli.output import Answer, Grid
from postroad.directory.identity.audit import AuditEntry

app = App(name="audit", help="The log of who changed what.")


@app.command(name="list")
async def list_entries(
    *,
    subject: Annotated[str | None, Parameter(help="What it was done to, such as an address.")] = None,
    actor: Annotated[str | None, Parameter(help="Who did it.")] = None,
    action: Annotated[
        str | None, Parameter(help="Such as account.add; `account.` means all of them.")
    ] = None,
    before: Annotated[int | None, Parameter(help="Begin below this id: `next` of the page before.")] = None,
    limit: Limit = 100,
    desk: DeskArgument,
) -> Answer:
    """List what was done, newest first."""
    async with desk.directory() as directory:
        found = await directory.audit.list(
            subject=subject, actor=actor, action=action, before=before, limit=limit
        )
    more = found[-1].id if len(found) >= max(1, min(limit, 1000)) else None
    grid = Grid(
        ("time", "who", "from", "action", "object", "facts"),
        [
            (
                one.happened_at,
                one.actor.name,
                one.actor.client,
                one.action,
                one.subject,
                json.dumps(one.facts, ensure_ascii=False) if one.facts else "",
            )
            for one in found
        ],
    )
    return Answer({"entries": [fields(one) for one in found], "next": more}, [grid])


def fields(entry: AuditEntry) -> dict[str, object]:
    """Return an entry as JSON has it."""
    return {
        "id": entry.id,
        "happened_at": entry.happened_at,
        "kind": entry.actor.kind,
        "actor_id": entry.actor.id,
        "actor": entry.actor.name,
        "client": entry.actor.client,
        "action": entry.action,
        "subject": entry.subject,
        "facts": entry.facts,
    }
