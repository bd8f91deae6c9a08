"""`postroad database upgrade`: the embedded database to another major version of PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument
from postroad.cli.desk import quiet_logs
from postroad.cli.output import Answer
from postroad.cli.progress import progress_bar
from postroad.db.sql_door import sql_door
from postroad.db.upgrade import upgrade as upgrade_cluster
from postroad.server.backup import server_kept_out

app = App(name="database", help="The embedded database.")


class NotEmbedded(Exception):
    """The database is not ours to upgrade."""

    code = "database-not-embedded"


@app.command
async def upgrade(
    *,
    old_binaries: Annotated[
        Path | None,
        Parameter(help="The directory with the old `postgres`; by default where the system keeps it."),
    ] = None,
    desk: DeskArgument,
) -> Answer:
    """Carry the embedded database over to the PostgreSQL that is installed now; the server must not run."""
    settings = desk.settings
    if settings.database != "embedded":
        raise NotEmbedded
    quiet_logs()
    with server_kept_out(settings.data_dir), progress_bar(is_json=desk.options.is_json) as show:
        done = await upgrade_cluster(
            settings.data_dir, sql_door(settings), old_binaries, lambda step: show(step, 0, 0)
        )
    facts = {"old": done.old_version, "new": done.new_version, "kept": done.kept}
    return Answer({"upgraded": facts}, [desk.say("database-upgraded", **facts)])
