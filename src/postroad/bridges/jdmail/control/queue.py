"""Commands about the queue (section 6.6): frozen mail is what an operator holds (`postroad queue hold`).

A row is one recipient of one mail: `level1` is 0, `level2` the recipient's number in it, `msgid` the mail's
id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC

from postroad.bridges.jdmail.control.house import Asked, House, Row, paged
from postroad.listeners.ctrl import Answer, Done, Rows, TextLines
from postroad.mailstore.errors import MailStoreError
from postroad.protocols.ctrl.patterns import pattern
from postroad.protocols.ctrl.replies import Code, CtrlFailure
from postroad.transport.queue.mail_ids import mail_id_of
from postroad.transport.queue.queued_mails import NoSuchQueuedMail, QueuedRow, Selection

PAGE = 1000
HELD = Selection(is_held=True)
MAX_ID = 2**63


async def frozlist(house: House, asked: Asked) -> Answer:
    """Held recipients, nine fields each."""
    _check_whole_server(asked)

    async def rows() -> AsyncIterator[Row]:
        async for each in _rows(house, HELD):
            yield (
                each.name,
                "0",
                str(each.number),
                f"<{each.sender}>",
                f"<{each.recipient}>",
                f"{each.queued_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                str(each.size_bytes),
                str(each.attempts),
                "froz",
            )

    return Rows(paged(rows()))


async def frozsubmit(house: House, asked: Asked) -> Answer:
    """Back to the queue, to be tried at once."""
    row = await _held(house, asked)
    if row is None:
        raise CtrlFailure(Code.CANNOT_MOVE)
    await house.queued_mails.retry(_only(row))
    return Done()


async def frozdel(house: House, asked: Asked) -> Answer:
    """Gone from the queue; also one that is not there."""
    row = await _held(house, asked)
    if row is not None:
        await house.queued_mails.drop(_only(row))
    return Done()


async def frozgetlog(house: House, asked: Asked) -> Answer:
    """What came of the last attempt."""
    row = await _held(house, asked)
    if row is None:
        raise CtrlFailure(Code.NO_SUCH_FILE)
    lines = [f"queued {row.queued_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}, {row.attempts} attempts"]
    if row.last_attempt_at is not None:
        said = " ".join(
            str(part) for part in (row.last_remote, row.last_code, row.last_status, row.last_text) if part
        )
        lines.append(f"tried {row.last_attempt_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} {said}")
    return TextLines([" ".join(line.split()).encode("utf-8", "replace") for line in lines])


async def frozgetmsg(house: House, asked: Asked) -> Answer:
    """The mail itself."""
    row = await _held(house, asked)
    if row is None:
        raise CtrlFailure(Code.NO_SUCH_FILE)
    try:
        content = await house.queued_mails.content(row.id)
    except (NoSuchQueuedMail, MailStoreError) as error:
        raise CtrlFailure(Code.NO_SUCH_FILE) from error
    lines = content.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
    return TextLines(lines)


async def etrn(house: House, asked: Asked) -> Answer:
    """Try now what waits for recipients, or domains, that match."""
    _check_whole_server(asked)
    waiting = Selection(is_held=False)
    patterns = [pattern(text) for text in asked.arguments]
    for each in patterns:
        if each.literal is not None:
            where = each.literal if "@" in each.literal else f"@{each.literal}"
            await house.queued_mails.retry(replace(waiting, recipient=where))
    wild = [each for each in patterns if each.literal is None]
    if wild:
        async for row in _rows(house, waiting):
            domain = row.recipient.rpartition("@")[2]
            if any(each.matches(row.recipient) or each.matches(domain) for each in wild):
                await house.queued_mails.retry(replace(_only(row), is_held=False))
    return Done()


def _check_whole_server(asked: Asked) -> None:
    # To whoever administers single domains these are no commands.
    if not asked.rights.everything:
        raise CtrlFailure(Code.SYNTAX)


def _only(row: QueuedRow) -> Selection:
    return Selection(id=row.id, recipient=row.recipient)


async def _rows(house: House, which: Selection) -> AsyncIterator[QueuedRow]:
    after = (0, -1)
    while True:
        rows = await house.queued_mails.list(which, after, PAGE)
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = (rows[-1].id, rows[-1].number)


async def _held(house: House, asked: Asked) -> QueuedRow | None:
    _check_whole_server(asked)
    _, number, name = asked.arguments
    try:
        mail_id = mail_id_of(name)
    except ValueError:
        return None
    if not 0 < mail_id < MAX_ID:
        return None
    async for row in _rows(house, replace(HELD, id=mail_id)):
        if str(row.number) == number:
            return row
    return None
