"""The work behind `websent`: claims rows, makes mails of them, commits these with the rows' new status.

Runs in every worker of every server. Nothing is decided here about who may send what to whom: the services
are asked, and their refusals written into the row and told to its account.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from postroad.bridges.oa import websent
from postroad.bridges.oa.attachments import BadFile, DatFiles, is_attach_id, is_mail_id
from postroad.bridges.oa.dates import write_date
from postroad.bridges.oa.refusals import About, Reader, Refusal, recipients_notice, refusal_notice
from postroad.bridges.oa.websent import DONE, IN_HAND, REFUSED, Attached, Outcome
from postroad.bridges.oa.writing import SentRow, Written, send_time, write_mail
from postroad.db.group_commit import CommitFailed
from postroad.db.notify import Listener
from postroad.db.pool import Connection, Database, DatabaseUnavailable
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.resolver import LocalAccount, Resolver
from postroad.directory.errors import UnknownAccount
from postroad.message.address import Address, BadAddress
from postroad.message.compose import Attachment, BadDraft, compose
from postroad.protocols.smtp.envelope import Principal
from postroad.transport.accepting.joining import Joining
from postroad.transport.accepting.plan import Plan
from postroad.transport.accepting.submission import NotSent

BATCH = (
    50  # rows a transaction: a flush costs the same for one as for all; more only makes the last ones late
)
BATCH_BYTES = 8 * 1024 * 1024  # as transport's group commit
AT_ONCE = 3  # rounds of a worker: while one writes and one flushes, the next is made
MAX_ATTACHMENTS = 200
POLL_SECONDS = 5.0  # should an announcement be lost
RETRY_SECONDS = 1.0
LATER = timedelta(seconds=5)  # for what cannot be done just now: the store was away for a moment
CAREFUL_ROUNDS = 20  # one by one, after a batch that could not be written
PROTOCOL = "SQL"  # in Received

log = structlog.get_logger("postroad.bridges.oa")


@dataclass(frozen=True, slots=True)
class House:
    """The services this work calls, and what it must know of the house."""

    database: Database
    resolver: Resolver
    accounts: Accounts
    joining: Joining
    files: DatFiles
    hostname: str
    zone: ZoneInfo
    max_size_bytes: int
    clock: Callable[[], datetime]


class Outgoing:
    """Sends what stands in `websent`."""

    def __init__(self, house: House, listener: Listener | None) -> None:
        self._house = house
        self._listener = listener
        self._wake = asyncio.Event()
        self._careful = 0

    async def run(self) -> None:
        """Send rows as they come, until cancelled."""
        if self._listener is not None:
            self._listener.add(websent.CHANNEL, self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._keep_sending())
        finally:
            if self._listener is not None:
                self._listener.remove(websent.CHANNEL, self._hear)

    def _hear(self, _payload: str | None) -> None:
        self._wake.set()

    async def _keep_sending(self) -> None:
        while True:
            try:
                # Cleared before the look: what comes meanwhile wakes us again.
                self._wake.clear()
                while await self.send_batch():
                    pass
                pause = await self._pause()
            except (DatabaseUnavailable, CommitFailed) as error:
                log.warning("websent_put_off", reason=str(error))
                pause = RETRY_SECONDS
            except Exception:
                log.exception("websent_batch_failed")
                self._careful = CAREFUL_ROUNDS
                pause = RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _pause(self) -> float:
        async with self._house.database.connection() as connection:
            due = await websent.next_due_in(connection)
        if due is None:
            return POLL_SECONDS
        # Not zero: a row that is due may just be in another worker's hands.
        return min(POLL_SECONDS, max(0.2, (due - self._house.clock()).total_seconds()))

    async def send_batch(self) -> int:
        """Send what can be had at once; returns how many rows were settled.

        Raises `CommitFailed` and `DatabaseUnavailable`, when the rows are as they were.
        """
        is_careful = self._careful > 0
        self._careful = max(0, self._careful - 1)
        settled: list[Outcome] = []
        claimed: list[str] = []

        async def work(connection: Connection, plans: list[Plan]) -> None:
            settled.clear()
            claimed.clear()
            now = self._house.clock()
            claims = await websent.claim_in(connection, 1 if is_careful else BATCH, now)
            whole: list[str] = []
            weight = 0
            for claim in claims:
                if claimed and weight + claim.weight > BATCH_BYTES:
                    break  # the rest is let go, for the next round or another worker
                claimed.append(claim.mail_id)
                if claim.weight > self._house.max_size_bytes:
                    row = await websent.read_head_in(connection, claim.mail_id)
                    settled.append(await self._refuse(row, _too_large(), plans))
                else:
                    whole.append(claim.mail_id)
                    weight += claim.weight
            rows = await websent.read_in(connection, whole) if whole else []
            settled.extend([await self._send(connection, row, now, plans) for row in rows])
            if settled:
                await websent.settle_in(connection, settled, write_date(now, self._house.zone), now)

        try:
            await self._house.joining.commit(work)
        except (CommitFailed, DatabaseUnavailable):
            raise
        except Exception:
            if not is_careful or not claimed:
                raise
            log.exception("websent_row_failed", mail_id=claimed[0])
            await self._set_aside(claimed[0])
        return len(settled)

    async def _set_aside(self, mail_id: str) -> None:
        """Refuse the one row that cannot be written, for a reason nobody thought of."""
        now = self._house.clock()
        outcome = Outcome(mail_id, REFUSED, "the mail could not be made; see the server's log")
        async with self._house.database.transaction() as connection:
            await websent.settle_in(connection, [outcome], write_date(now, self._house.zone), now)

    # -- one row

    async def _send(self, connection: Connection, row: SentRow, now: datetime, plans: list[Plan]) -> Outcome:
        plan = Plan()
        try:
            due_at = send_time(row, self._house.zone)
            if row.needs_approval:
                return Outcome(row.mail_id, IN_HAND)
            if due_at is not None and due_at > now:
                return Outcome(row.mail_id, IN_HAND, due_at=due_at)
            account = await self._account(row)
            await self._plan(connection, plan, row, account)
        except Refusal as refusal:
            self._house.joining.abandon(plan)
            return await self._refuse(row, refusal, plans)
        except NotSent as error:
            self._house.joining.abandon(plan)
            if 400 <= error.reply.code < 500 and not error.refused:
                return Outcome(row.mail_id, IN_HAND, str(error.reply), now + LATER)
            said = "; ".join(str(each.reply) for each in error.refused[:10]) or str(error.reply)
            return await self._refuse(row, Refusal(said, f"邮件被拒绝：{said}"), plans)
        except BaseException:
            self._house.joining.abandon(plan)
            raise
        plans.append(plan)
        return Outcome(row.mail_id, DONE)

    async def _plan(self, connection: Connection, plan: Plan, row: SentRow, account: LocalAccount) -> None:
        house = self._house
        files = await self._files(connection, row) if row.has_attachments else []
        written = write_mail(row, account.address, files, house.zone)
        content = self._compose(row, written)
        if row.is_draft:
            await house.joining.plan_draft(plan, account.account_id, content)
        else:
            await house.joining.plan_mail(
                plan,
                Principal(account.account_id, account.address),
                content,
                written.recipients,
                saves_to_sent=row.saves_to_sent,
                protocol=PROTOCOL,
            )
        if written.bad_recipients and not row.is_draft:
            notice = recipients_notice(
                _about(row),
                written.bad_recipients,
                await self._reader(account),
                hostname=house.hostname,
                now=house.clock(),
                message_id=self._unique(),
            )
            await house.joining.plan_notice(plan, account, notice)

    def _compose(self, row: SentRow, written: Written) -> bytes:
        dated = (written.dated or self._house.clock()).astimezone(self._house.zone)
        try:
            content = compose(written.draft, now=dated, message_id=self._unique(), with_bcc=row.is_draft)
        except (BadAddress, BadDraft) as error:
            raise Refusal(str(error), f"邮件内容有误：{error}") from error
        if len(content) > self._house.max_size_bytes:
            raise _too_large()
        return content

    async def _account(self, row: SentRow) -> LocalAccount:
        found = await self._find(row.account)
        if found is None:
            raise Refusal(f"unknown account: {row.account}", f"帐号不存在：{row.account}")
        if found.is_disabled:
            raise Refusal(f"the account {row.account} is disabled", f"帐号已停用：{row.account}")
        return found

    async def _find(self, text: str) -> LocalAccount | None:
        try:
            meaning = await self._house.resolver.resolve(Address.parse(text.strip()))
        except BadAddress:
            return None
        return meaning if isinstance(meaning, LocalAccount) else None

    async def _files(self, connection: Connection, row: SentRow) -> list[Attachment]:
        attached = await websent.attached_in(connection, row.mail_id, MAX_ATTACHMENTS + 1)
        if not attached:
            raise Refusal(
                "attachmentflag says that there are attachments, websentattach has none",
                "attachmentflag 表示有附件，但 websentattach 中没有记录",
            )
        if len(attached) > MAX_ATTACHMENTS:
            raise Refusal(f"more than {MAX_ATTACHMENTS} attachments", f"附件超过 {MAX_ATTACHMENTS} 个")
        room = self._house.max_size_bytes
        files: list[Attachment] = []
        for each in attached:
            content = await self._content(connection, row.mail_id, each, room)
            if each.size is not None and each.size != len(content):
                raise Refusal(
                    f"attachment {each.attach_id} has {len(content)} bytes, AttachSize says {each.size}",
                    f"附件 {each.attach_id} 实际 {len(content)} 字节，AttachSize 为 {each.size}",
                )
            room -= len(content)
            files.append(Attachment(each.name or f"{each.attach_id}.dat", each.content_type, content))
        return files

    async def _content(self, connection: Connection, mail_id: str, each: Attached, room: int) -> bytes:
        if each.has_content:
            if each.content_size > room:
                raise _too_large()
            return await websent.attached_content_in(connection, mail_id, each.attach_id)
        if not is_mail_id(mail_id) or not is_attach_id(each.attach_id):
            raise Refusal(
                "an attachment's MailId is 1 to 16 letters and digits, its AttachId 1 to 4 digits",
                "附件的 MailId 须为 1 至 16 位字母数字，AttachId 须为 1 至 4 位数字",
            )
        try:
            return await asyncio.to_thread(self._house.files.read, mail_id, each.attach_id, room)
        except BadFile as error:
            raise Refusal(f"attachment missing: {error}", f"附件缺失：{error}") from error

    # -- telling

    async def _refuse(self, row: SentRow, refusal: Refusal, plans: list[Plan]) -> Outcome:
        await self.plan_refusal(row, refusal, plans)
        log.info("websent_refused", mail_id=row.mail_id, reason=refusal.english)
        return Outcome(row.mail_id, REFUSED, refusal.english)

    async def plan_refusal(self, row: SentRow, refusal: Refusal, plans: list[Plan]) -> None:
        """Plan the notice of a refusal, if there is an account to read it."""
        account = await self._find(row.account)
        if account is None:
            return
        notice = refusal_notice(
            _about(row),
            refusal,
            await self._reader(account),
            hostname=self._house.hostname,
            now=self._house.clock(),
            message_id=self._unique(),
        )
        plan = Plan()
        plans.append(plan)
        await self._house.joining.plan_notice(plan, account, notice)

    async def _reader(self, account: LocalAccount) -> Reader:
        try:
            language = (await self._house.accounts.get(account.account_id)).language
        except UnknownAccount:
            language = None
        return Reader(str(account.address), language)

    def _unique(self) -> str:
        return f"{secrets.token_hex(12)}@{self._house.hostname}"


def _about(row: SentRow) -> About:
    return About(row.mail_id, row.subject, row.recipients)


def _too_large() -> Refusal:
    return Refusal("the mail is larger than smtp.max_size_bytes allows", "邮件超过允许的大小")
