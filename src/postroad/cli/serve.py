"""`postroad serve`: the server in the foreground, with the demo company on request."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from postroad.cli.arguments import DeskArgument
from postroad.cli.desk import Desk
from postroad.cli.output import print_text


def serve(
    *,
    demo: Annotated[
        bool, Parameter(help="Make demo accounts with mail first, and print how to sign in.", negative=())
    ] = False,
    desk: DeskArgument,
) -> int:
    """Run the server until SIGTERM or Ctrl-C."""
    from postroad.server import serve as serve_settings

    if demo:
        return _serve_demo(desk)
    return serve_settings(desk.settings)


def _serve_demo(desk: Desk) -> int:
    from postroad.demo.prepare import introduction, prepare
    from postroad.server import logs
    from postroad.server import serve as serve_settings

    settings = desk.settings
    logs.configure(settings.log, process="demo")
    cluster = desk.cluster()
    if cluster is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        dsn = settings.database
    else:
        # Held until the end, so that the database is started once and not for the demo and the server each.
        dsn = cluster.ensure_running()
    try:
        accounts = asyncio.run(prepare(settings, dsn))
        print_text(introduction(settings, accounts))
        return serve_settings(settings)
    finally:
        if cluster is not None:
            cluster.leave()
