"""`postroad notify …`: who is told of new mail, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from cyclopts import App, Parameter

from postroad.cli.arguments import DeskArgument, Limit
from postroad.cli.desk import Desk
from postroad.cli.output import Answer, Grid
from postroad.db.pool import Database
from postroad.directory.identity.audit import record_in
from postroad.dns.lookups import Lookups
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.messages import Messages
from postroad.notifications.lines import Lines
from postroad.notifications.log import NotificationLog
from postroad.notifications.receivers import Receiver, Receivers, Standing
from postroad.notifications.telling import Failed, Telling
from postroad.notifications.ways import open_ways

app = App(name="notify", help="Who is told of new mail: webhooks and directories.")

OfDomain = Annotated[str | None, Parameter(name="--domain", help="Of the mail of this domain only.")]
OfAccount = Annotated[str | None, Parameter(name="--account", help="Of the mail of this account only.")]


@app.command(name="add-webhook")
async def add_webhook(
    url: str, /, *, domain: OfDomain = None, account: OfAccount = None, desk: DeskArgument
) -> Answer:
    """Have a URL called for every new mail; shows the secret of its signatures."""
    async with desk.database() as database:
        made = await Receivers(database).add_webhook(url, domain, account)
        await _note(database, desk, "notify.add-webhook", made)
    return Answer(
        {"receiver": fields(made), "secret": made.secrets[0]},
        [
            desk.say("receiver-added", id=made.id, target=made.target),
            desk.say("receiver-secret"),
            made.secrets[0],
        ],
    )


@app.command(name="add-files")
async def add_files(
    directory: str,
    /,
    *,
    domain: OfDomain = None,
    account: OfAccount = None,
    form: Annotated[Literal["json", "xml"], Parameter(name="--format", help="Of the files.")] = "json",
    with_mail: Annotated[
        bool, Parameter(negative=(), help="Write the mail itself beside it (.eml).")
    ] = False,
    desk: DeskArgument,
) -> Answer:
    """Have a file written into a directory of the server for every new mail."""
    async with desk.database() as database:
        made = await Receivers(database).add_files(directory, domain, account, form=form, with_raw=with_mail)
        await _note(database, desk, "notify.add-files", made)
    return Answer({"receiver": fields(made)}, [desk.say("receiver-added", id=made.id, target=made.target)])


@app.command(name="list")
async def list_receivers(*, desk: DeskArgument) -> Answer:
    """List receivers with what waits for each and what was wrong last."""
    async with desk.database() as database:
        receivers = Receivers(database)
        found = [(each, await receivers.standing(each.id)) for each in await receivers.list()]
    grid = Grid(
        ("id", "kind", "target", "mail of", "state", "waiting", "since", "last error"),
        [
            (
                one.id,
                one.kind,
                one.target,
                one.account or one.domain or desk.say("everybody"),
                desk.say("paused" if one.is_paused else "failing" if standing.failing_accounts else "well"),
                standing.waiting,
                standing.oldest,
                standing.last_error,
            )
            for one, standing in found
        ],
    )
    return Answer(
        {"receivers": [{**fields(one), **standing_fields(standing)} for one, standing in found]}, [grid]
    )


@app.command
async def test(receiver_id: int, /, *, desk: DeskArgument) -> Answer:
    """Try a receiver now, without any mail."""
    async with desk.database() as database:
        receivers = Receivers(database)
        receiver = await receivers.get(receiver_id)
        async with _telling(database, desk) as telling:
            try:
                said, is_good = await telling.ping(receiver), True
            except Failed as failure:
                said, is_good = str(failure), False
    word = "receiver-answers" if is_good else "receiver-fails"
    return Answer({"id": receiver_id, "said": said}, [desk.say(word, id=receiver_id, said=said)], not is_good)


@app.command
async def log(
    receiver_id: int, /, *, before: int | None = None, limit: Limit = 100, desk: DeskArgument
) -> Answer:
    """Show what came of the last attempts, newest first."""
    async with desk.database() as database:
        await Receivers(database).get(receiver_id)
        kept = NotificationLog(database, timedelta(days=desk.settings.notifications.log_days))
        found = await kept.list(receiver_id, before, limit)
    grid = Grid(
        ("id", "when", "account", "mail", "outcome", "answer"),
        [
            (each.id, each.happened_at, each.account, each.event_id, each.outcome, each.detail)
            for each in found
        ],
    )
    attempts = [
        {
            "id": each.id,
            "happened_at": each.happened_at,
            "account": each.account,
            "event": each.event_id,
            "outcome": each.outcome,
            "detail": each.detail,
        }
        for each in found
    ]
    return Answer({"attempts": attempts}, [grid])


@app.command
async def replay(
    receiver_id: int,
    /,
    *,
    hours: Annotated[float, Parameter(help="Of the mail that came in so many hours; up to 72.")] = 24.0,
    desk: DeskArgument,
) -> Answer:
    """Tell a receiver again of mail that has come."""
    async with desk.database() as database:
        receiver = await Receivers(database).get(receiver_id)
        waiting = await Lines(database).replay(receiver_id, timedelta(hours=min(max(hours, 0.0), 24.0 * 30)))
        await _note(database, desk, "notify.replay", receiver)
    return Answer(
        {"id": receiver_id, "waiting": waiting}, [desk.say("receiver-replays", id=receiver_id, count=waiting)]
    )


@app.command
async def rotate(receiver_id: int, /, *, desk: DeskArgument) -> Answer:
    """Give a webhook another secret; the old one signs beside it for a day."""
    async with desk.database() as database:
        changed = await Receivers(database).rotate(receiver_id)
        await _note(database, desk, "notify.rotate", changed)
    return Answer(
        {"id": receiver_id, "secret": changed.secrets[0]}, [desk.say("receiver-secret"), changed.secrets[0]]
    )


@app.command
async def pause(receiver_id: int, /, *, desk: DeskArgument) -> Answer:
    """Tell it nothing for now; what comes waits."""
    return await _set_paused(receiver_id, desk, is_paused=True)


@app.command
async def resume(receiver_id: int, /, *, desk: DeskArgument) -> Answer:
    """Tell it again, what has waited first."""
    return await _set_paused(receiver_id, desk, is_paused=False)


@app.command
async def remove(receiver_id: int, /, *, desk: DeskArgument) -> Answer:
    """Remove a receiver, with what waits for it and its log."""
    async with desk.database() as database:
        receivers = Receivers(database)
        receiver = await receivers.get(receiver_id)
        desk.confirm("confirm-remove-receiver", target=receiver.target)
        await receivers.remove(receiver_id)
        await _note(database, desk, "notify.remove", receiver)
    return Answer({"removed": receiver_id}, [desk.say("receiver-removed", id=receiver_id)])


def fields(receiver: Receiver) -> dict[str, object]:
    """Return a receiver as JSON has it; its secrets are shown when they are made and never again."""
    return {
        "id": receiver.id,
        "kind": receiver.kind,
        "target": receiver.target,
        "domain": receiver.domain,
        "account": receiver.account,
        "format": receiver.form,
        "with_mail": receiver.with_raw,
        "is_paused": receiver.is_paused,
        "created_at": receiver.created_at,
    }


def standing_fields(standing: Standing) -> dict[str, object]:
    """Return how it goes as JSON has it."""
    return {
        "waiting": standing.waiting,
        "waiting_since": standing.oldest,
        "failing_accounts": standing.failing_accounts,
        "last_error": standing.last_error,
    }


async def _set_paused(receiver_id: int, desk: Desk, *, is_paused: bool) -> Answer:
    async with desk.database() as database:
        receivers = Receivers(database)
        await receivers.set_paused(receiver_id, is_paused)
        action = "notify.pause" if is_paused else "notify.resume"
        await _note(database, desk, action, await receivers.get(receiver_id))
    word = "receiver-paused" if is_paused else "receiver-resumed"
    return Answer({"id": receiver_id, "is_paused": is_paused}, [desk.say(word, id=receiver_id)])


@asynccontextmanager
async def _telling(database: Database, desk: Desk) -> AsyncIterator[Telling]:
    settings = desk.settings
    lookups = Lookups(settings.delivery.resolver)
    try:
        messages = Messages(database, Blobs(settings.blob_location), settings.storage.inline_bytes)
        ways = open_ways(settings.notifications, lookups, messages, desk.clock)
        yield Telling(database, Lines(database), Receivers(database), ways, settings.notifications)
    finally:
        await lookups.close()


async def _note(database: Database, desk: Desk, action: str, receiver: Receiver) -> None:
    """Write to the audit log, without what may be secret in a URL."""
    target = receiver.target
    if receiver.kind == "webhook":
        parts = urlsplit(target)
        target = f"{parts.scheme}://{parts.netloc}{parts.path}"
    async with database.transaction() as connection:
        await record_in(connection, desk.actor, action, str(receiver.id), target=target)
