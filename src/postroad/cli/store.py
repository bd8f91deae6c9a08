"""`postroad verify`: the mail store held against its promises."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from postroad.cli.arguments import DeskArgument
from postroad.cli.output import Answer
from postroad.cli.progress import progress_bar
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.verify import repair_counters
from postroad.mailstore.verify import verify as problems_of

MAX_SHOWN = 1000  # problems; more are counted


async def verify(
    *,
    repair: Annotated[
        bool, Parameter(negative=(), help="Compute folders' counters anew where they are wrong.")
    ] = False,
    desk: DeskArgument,
) -> Answer:
    """Check the whole store against its promises; beside a running server, too."""
    shown: list[dict[str, str]] = []
    count = repaired = 0
    async with desk.database() as database:
        if repair:
            repaired = await repair_counters(database)
        with progress_bar(is_json=desk.options.is_json) as show:
            blobs = Blobs(desk.settings.blob_location)
            async for problem in problems_of(
                database, blobs, lambda progress: show(progress.step, progress.done, progress.total)
            ):
                count += 1
                if len(shown) < MAX_SHOWN:
                    shown.append({"kind": problem.kind, "text": problem.text})
    lines = [f"{problem['kind']}: {problem['text']}" for problem in shown]
    if repaired:
        lines.append(desk.say("verify-repaired", count=repaired))
    lines.append(desk.say("verify-problems" if count else "verify-sound", count=count))
    return Answer(
        {"problem_count": count, "problems": shown, "repaired": repaired}, lines, is_failure=count > 0
    )
