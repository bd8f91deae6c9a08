"""`postroad backup` and `postroad restore`: the whole installation into one place and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from postroad.cli.arguments import DeskArgument
from postroad.cli.output import Answer, size_text
from postroad.cli.progress import Show, progress_bar
from postroad.db.migrate import migrate
from postroad.server.backup import Manifest, OnProgress, Progress, read_manifest
from postroad.server.backup import backup as write_backup
from postroad.server.backup import restore as read_backup


async def backup(
    target: Annotated[Path, Parameter(help="A new directory, or one file where the name ends in .tar.")],
    /,
    *,
    desk: DeskArgument,
) -> Answer:
    """Write database, blobs, certificate and settings to one place; beside a running server, too."""
    async with desk.dsn() as dsn:
        await migrate(dsn)
        with progress_bar(is_json=desk.options.is_json) as show:
            manifest = await write_backup(
                desk.settings, dsn, target, desk.clock(), _told(show), desk.settings_file
            )
    return Answer(
        {"backup": {"path": target, **fields(manifest)}},
        [
            desk.say("backed-up", path=target, blobs=manifest.blobs, size=size_text(manifest.blob_bytes)),
            *(
                [desk.say("blobs-missing", count=len(manifest.missing_blobs))]
                if manifest.missing_blobs
                else []
            ),
        ],
        is_failure=bool(manifest.missing_blobs),
    )


async def restore(
    source: Annotated[Path, Parameter(help="What `postroad backup` wrote.")],
    /,
    *,
    force: Annotated[
        bool, Parameter(negative=(), help="Replace what is in the database and the blob store now.")
    ] = False,
    desk: DeskArgument,
) -> Answer:
    """Read a backup back into an empty installation; the server must not run."""
    manifest = read_manifest(source)
    if force:
        desk.confirm("ask-restore", path=source, made_at=f"{manifest.made_at:%Y-%m-%d %H:%M}")
    async with desk.dsn() as dsn:
        with progress_bar(is_json=desk.options.is_json) as show:
            manifest = await read_backup(desk.settings, dsn, source, _told(show), replaces=force)
    return Answer(
        {"restored": {"path": source, **fields(manifest)}},
        [desk.say("restored", made_at=f"{manifest.made_at:%Y-%m-%d %H:%M}", blobs=manifest.blobs)],
    )


def fields(manifest: Manifest) -> dict[str, object]:
    """Return a backup's manifest as JSON has it."""
    return {
        "made_at": manifest.made_at,
        "postroad": manifest.postroad,
        "schema": manifest.schema,
        "blobs": manifest.blobs,
        "blob_bytes": manifest.blob_bytes,
        "missing_blobs": manifest.missing_blobs,
    }


def _told(show: Show) -> OnProgress:
    def tell(progress: Progress) -> None:
        show(progress.stage, progress.done, progress.total or 0)

    return tell
