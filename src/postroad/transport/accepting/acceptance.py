"""Taking mail: who may send what to whom, and then one durable write for all of it.

The SMTP listeners' acceptor. Refusals are `SmtpReply` with the words the client shall read; whatever is not
the client's fault is a 4xx. RFC 5321 3.3 and 6.1, RFC 6409 (submission), RFC 6532, RFC 3463 (status codes).
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

import structlog

from postroad.config import OwnDomains
from postroad.db.group_commit import CommitFailed, GroupCommit
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.addresses.resolver import LocalAccount, NotLocal, Resolution, UnknownLocal
from postroad.mailstore.errors import BlobsFull, BlobsUnavailable
from postroad.mailstore.folders import Role
from postroad.message.address import Address, BadAddress, canonical_domain
from postroad.message.headers import Mailbox, header_section
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, Notify, Principal, SessionInfo
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting import mending
from postroad.transport.accepting.foreign import WARNING, claimed_authors, without_forged
from postroad.transport.accepting.list_mail import list_copy
from postroad.transport.accepting.plan import DraftEntry, Plan, PlanWriter
from postroad.transport.accepting.planning import Filing, Planner, RoutedMail
from postroad.transport.accepting.routing import Local, Refused, Router, Routing, Sending
from postroad.transport.accepting.trace import (
    MAX_RECEIVED,
    begins_with_field,
    count_received,
    marks,
    received,
    received_locally,
)
from postroad.transport.queue.mail_ids import mail_id_text

Network = IPv4Network | IPv6Network

MAX_CLIENTS = 10_000  # remembered addresses, about 1 MB

log = structlog.get_logger("postroad.transport.accepting.acceptance")


class Directory(Protocol):
    """What is asked of the directory here (`directory.Resolver`)."""

    async def resolve(self, address: Address) -> Resolution:
        """Say what an address means."""
        ...

    async def may_send_as(self, account_id: int, address: Address) -> bool:
        """Whether an account may use an address as its own."""
        ...


class Room(Protocol):
    """What is asked about quotas (`mailstore.Quota`)."""

    async def exceeded(self, account_id: int, extra_bytes: int = 0) -> bool:
        """Whether the account has no room for so much more."""
        ...


class Load(Protocol):
    """What strangers' mail makes of lists (`directory.ListLoad`)."""

    async def may_take(self, list_id: int, copies: int) -> bool:
        """Whether the list may make so many copies more of mail from outside."""
        ...


class NoticePlans(Protocol):
    """Telling senders what became of their mail (`notices.py`)."""

    async def add_refused(
        self,
        plan: Plan,
        envelope: Envelope,
        account_id: int | None,
        content: bytes,
        refused: Sequence[Refused],
    ) -> None:
        """Add the notice of recipients refused after others of the same mail were taken."""
        ...

    async def add_successes(
        self,
        plan: Plan,
        envelope: Envelope,
        account_id: int | None,
        content: bytes,
        delivered: Sequence[EnvelopeRecipient],
        expanded: Sequence[EnvelopeRecipient],
    ) -> None:
        """Add the notices that NOTIFY=SUCCESS asked for."""
        ...


class RecipientsRefused(Exception):
    """Some recipients of a mail that goes to all or to nobody cannot have it."""

    def __init__(self, refused: Sequence[Refused]) -> None:
        super().__init__("; ".join(str(each.reply) for each in refused[:10]))
        self.refused = tuple(refused)


class Acceptance:
    """Judges envelopes and takes mail for all sessions of a worker."""

    def __init__(
        self,
        *,
        directory: Directory,
        router: Router,
        quota: Room,
        planner: Planner,
        notices: NoticePlans,
        writer: PlanWriter,
        group: GroupCommit[Plan],
        hostname: str,
        relay_networks: Sequence[Network],
        clock: Callable[[], datetime],
        forwarder_networks: Sequence[Network] = (),
        own_domains: OwnDomains = "mark",
        list_load: Load,
    ) -> None:
        """`relay_networks` may send to anywhere without signing in.

        `own_domains` says what becomes of mail from outside that carries an address of ours as its sender;
        from `forwarder_networks` (and from `relay_networks`) it is taken as any other.
        """
        self._directory = directory
        self._router = router
        self._quota = quota
        self._planner = planner
        self._notices = notices
        self._writer = writer
        self._group = group
        self._hostname = hostname
        self._relay_networks = tuple(relay_networks)
        self._clock = clock
        self._near: dict[str, bool] = {}  # client addresses that were looked for in the networks
        self._forwarder_networks = tuple(forwarder_networks)
        self._own_domains = own_domains
        self._list_load = list_load

    # Judging

    async def sender(self, envelope: Envelope, session: SessionInfo) -> None:
        """Judge MAIL. Raises `SmtpReply`.

        An account sends as itself; the null sender is for its notices of reading (RFC 8098 3).
        """
        if session.principal is None or envelope.mail_from is None:
            return
        await self._check_own(session.principal, envelope.mail_from, "send mail as")

    async def recipient(self, envelope: Envelope, recipient: EnvelopeRecipient, session: SessionInfo) -> None:
        """Judge one RCPT.

        Raises `SmtpReply`: 550 5.1.1 unknown, 5.2.1 closed, 5.7.1 no relaying, 5.7.2 list; 452 4.2.2 full.
        """
        try:
            if await self._router.collects(recipient.address):
                return
            meaning = await self._directory.resolve(recipient.address)
            if isinstance(meaning, LocalAccount) and not meaning.is_disabled:
                if await self._is_full(meaning, envelope.size_bytes or 0):
                    raise _full(recipient)
                return
            may_relay = self._may_relay(session)
            if isinstance(meaning, NotLocal) and may_relay:
                return
            if isinstance(meaning, UnknownLocal):
                raise SmtpReply(550, "5.1.1", f"{recipient.address} is not known here")
            account_id = None if session.principal is None else session.principal.account_id
            routing = await self._router.route(
                [recipient], Sending(envelope.mail_from, account_id, may_relay)
            )
        except DatabaseUnavailable as error:
            raise _unavailable(error) from error
        if routing.refused:
            raise routing.refused[0].reply
        if routing.locals and not routing.remotes and not routing.posts:
            for local in routing.locals:
                if not await self._is_full(local.account, envelope.size_bytes or 0):
                    return
            raise _full(recipient)

    async def _check_own(self, principal: Principal, address: Address, what: str) -> None:
        try:
            if await self._directory.may_send_as(principal.account_id, address):
                return
        except DatabaseUnavailable as error:
            raise _unavailable(error) from error
        raise SmtpReply(553, "5.7.1", f"{principal.address} may not {what} {address}")

    async def _is_full(self, account: LocalAccount, size_bytes: int) -> bool:
        if account.quota_bytes is None:
            return False
        return await self._quota.exceeded(account.account_id, size_bytes)

    def _may_relay(self, session: SessionInfo) -> bool:
        if session.principal is not None:
            return True
        return bool(self._relay_networks) and self._is_near(session.client_address)

    def _is_near(self, client_address: str) -> bool:
        known = self._near.get(client_address)
        if known is None:
            if len(self._near) >= MAX_CLIENTS:
                self._near.clear()
            known = self._near[client_address] = _is_in(client_address, self._relay_networks)
        return known

    # Taking

    async def accept(self, envelope: Envelope, content: bytes, session: SessionInfo) -> str:
        """Take the mail for all its recipients, durably, and return its id in the queue.

        Returning means committed. Raises `SmtpReply`; what is not the client's fault is a 4xx.
        """
        principal = session.principal
        may_relay = self._may_relay(session)
        authors: Sequence[Mailbox] = ()
        if may_relay:
            content, authors = self._prepare(content, envelope, principal)
        elif content and not (begins_with_field(content) or content.startswith(b"\r\n")):
            content = b"\r\n" + content  # a body without a header: what we put in front must not swallow it
        content = without_forged(content, self._hostname)
        with _as_replies():
            is_impostor = not may_relay and await self._claims_ours(envelope, content, session)
            if is_impostor and self._own_domains == "refuse":
                raise SmtpReply(550, "5.7.1", "sign in to send mail with an address of this server")
            if principal is not None:
                await self._check_authors(authors, principal)
            routing = await self._route(envelope, content, principal, may_relay, is_impostor)
            if routing.refused and len(routing.refused) == len(envelope.recipients):
                raise routing.refused[0].reply
            mail = RoutedMail(
                body=content,
                sender=envelope.mail_from,
                received=lambda name: (
                    received(session, envelope, self._hostname, name, self._clock())
                    + (WARNING if is_impostor else b"")
                ),
                locals=routing.locals,
                local_role=Role.JUNK if is_impostor else Role.INBOX,
                remotes=routing.remotes,
                collected=routing.collected,
                sign_as=_domain_of(authors),
                account_id=None if principal is None else principal.account_id,
                return_content=envelope.ret,
                envelope_id=envelope.envelope_id,
                is_smtputf8=envelope.smtputf8,
            )
            return mail_id_text(await self._take(mail, envelope, routing))

    async def take_for_ours(self, envelope: Envelope, content: bytes) -> str:
        """Take a mail that this server made for people of its own; returns its id. All recipients or none.

        Nobody's word is doubted and nothing is signed anew. Raises `SmtpReply`.
        """
        with _as_replies():
            routing = await self._route(envelope, content, None, may_relay=False)
            if routing.refused:
                raise routing.refused[0].reply
            mail = RoutedMail(
                body=content,
                sender=envelope.mail_from,
                received=lambda name: received_locally(self._hostname, "LOCAL", name, self._clock()),
                locals=routing.locals,
                remotes=routing.remotes,
                sign_as=None,
                account_id=None,
                is_smtputf8=envelope.smtputf8,
            )
            return mail_id_text(await self._take(mail, envelope, routing))

    async def _claims_ours(self, envelope: Envelope, content: bytes, session: SessionInfo) -> bool:
        """Whether a stranger gives an address of one of our domains as the sender or an author."""
        if self._own_domains == "accept" or _is_in(session.client_address, self._forwarder_networks):
            return False
        claimed = claimed_authors(mending.authors(content))
        if envelope.mail_from is not None:
            claimed.append(envelope.mail_from)
        for address in claimed:
            if not isinstance(await self._directory.resolve(address), NotLocal):
                return True
        return False

    async def take_from_account(
        self,
        envelope: Envelope,
        content: bytes,
        account: Principal,
        filed: Sequence[Filing] = (),
        replaced: Sequence[DraftEntry] = (),
    ) -> int:
        """Take a mail that an account wrote in this house; returns its id. All recipients or none.

        Raises `RecipientsRefused`, and `SmtpReply` for everything else.
        """
        plan = Plan()
        try:
            with _as_replies():
                mail_id = await self.plan_from_account(plan, envelope, content, account, filed, replaced)
                await self._group.commit(plan)
        finally:
            self._writer.abandon(plan)  # nothing is left of it after a commit
        return mail_id

    async def plan_from_account(
        self,
        plan: Plan,
        envelope: Envelope,
        content: bytes,
        account: Principal,
        filed: Sequence[Filing] = (),
        replaced: Sequence[DraftEntry] = (),
        *,
        bounces: bool = False,
        protocol: str = "HTTP",
    ) -> int:
        """Add to a plan what taking this mail writes; returns its id. Nothing is written yet.

        With `bounces` recipients that cannot have it are told to the sender by a notice, as long as one can.
        `protocol` is the word in Received for how it came. Raises what `take_from_account` does.
        """
        if envelope.mail_from is not None:
            await self._check_own(account, envelope.mail_from, "send mail as")
        content, authors = self._prepare(content, envelope, account)
        with _as_replies():
            await self._check_authors(authors, account)
            routing = await self._route(envelope, content, account, may_relay=True)
            if routing.refused and not (bounces and len(routing.refused) < len(envelope.recipients)):
                raise RecipientsRefused(routing.refused)
            mail = RoutedMail(
                body=content,
                sender=envelope.mail_from,
                received=lambda name: received_locally(self._hostname, protocol, name, self._clock()),
                locals=routing.locals,
                remotes=routing.remotes,
                collected=routing.collected,
                sign_as=_domain_of(authors),
                account_id=account.account_id,
                is_smtputf8=envelope.smtputf8,
                filed=filed,
                replaced=replaced,
            )
            return await self._plan(plan, mail, envelope, routing)

    async def _route(
        self,
        envelope: Envelope,
        content: bytes,
        principal: Principal | None,
        may_relay: bool,
        is_impostor: bool = False,
    ) -> Routing:
        header = header_section(content)
        if count_received(header) > MAX_RECEIVED:
            raise SmtpReply(554, "5.4.6", "the mail has passed too many hosts: it goes round in a circle")
        account_id = None if principal is None else principal.account_id
        routing = await self._router.route(
            envelope.recipients,
            Sending(envelope.mail_from, account_id, may_relay, marks(header), is_impostor),
        )
        await self._drop_full(routing, len(content))
        for post in () if may_relay else routing.posts:
            copies = len(post.locals) + len(post.remotes)
            if not await self._list_load.may_take(post.target.list_id, copies):
                # For the whole mail: its sender comes again, while a notice would go to whoever it names.
                raise SmtpReply(
                    450, "4.7.1", f"the list {post.target.address} has had too much mail; try later"
                )
        return routing

    async def _take(self, mail: RoutedMail, envelope: Envelope, routing: Routing) -> int:
        plan = Plan()
        try:
            mail_id = await self._plan(plan, mail, envelope, routing)
            await self._group.commit(plan)
        finally:
            self._writer.abandon(plan)  # nothing is left of it after a commit
        return mail_id

    async def _plan(self, plan: Plan, mail: RoutedMail, envelope: Envelope, routing: Routing) -> int:
        """Add a routed mail to a plan, with its list copies and notices; returns its id."""
        mail_id: int | None = None
        if mail.locals or mail.remotes or mail.filed or mail.collected or not routing.posts:
            mail_id = await self._planner.add(plan, mail)
        for post in routing.posts:
            copied = await self._planner.add(plan, list_copy(mail, post))
            mail_id = mail_id if mail_id is not None else copied
        if routing.refused:
            await self._notices.add_refused(plan, envelope, mail.account_id, mail.body, routing.refused)
        delivered = [local.recipient for local in routing.locals if _asks_success(local.recipient)]
        delivered += [post.recipient for post in routing.posts if _asks_success(post.recipient)]
        if delivered or routing.expanded:
            await self._notices.add_successes(
                plan, envelope, mail.account_id, mail.body, delivered, routing.expanded
            )
        assert mail_id is not None
        return mail_id

    def _prepare(
        self, content: bytes, envelope: Envelope, principal: Principal | None
    ) -> tuple[bytes, Sequence[Mailbox]]:
        """Mend what a submission lacks; returns the content and who it says has written it."""
        author = envelope.mail_from or (None if principal is None else principal.address)
        unique = secrets.token_hex(12)
        prepared = mending.prepare(content, author, self._hostname, unique, self._clock())
        fields = mending.authors(prepared)
        if len(fields) > 1:
            raise SmtpReply(550, "5.6.0", "the mail has more than one From field")
        return prepared, fields[0] if fields else ()

    async def _check_authors(self, authors: Sequence[Mailbox], principal: Principal) -> None:
        for author in authors:
            try:
                address = Address.parse(author.address_text)
            except BadAddress:
                raise SmtpReply(550, "5.6.0", "the From field holds something that is no address") from None
            await self._check_own(principal, address, "write mail From")

    async def _drop_full(self, routing: Routing, size_bytes: int) -> None:
        kept: list[Local] = []
        for local in routing.locals:
            if await self._is_full(local.account, size_bytes):
                routing.refused.append(Refused(local.recipient, _full(local.recipient)))
            else:
                kept.append(local)
        if len(kept) != len(routing.locals):
            routing.locals[:] = kept


def _is_in(client_address: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


@contextmanager
def _as_replies() -> Iterator[None]:
    """Say in SMTP's words what kept a mail from being taken."""
    try:
        yield
    except (SmtpReply, RecipientsRefused):
        raise
    except BlobsFull as error:
        raise SmtpReply(452, "4.3.1", "there is no room for this mail at the moment") from error
    except (DatabaseUnavailable, CommitFailed, BlobsUnavailable) as error:
        raise _unavailable(error) from error
    except Exception as error:
        log.exception("mail_not_taken")
        raise SmtpReply(451, "4.3.0", "the mail could not be stored, try again later") from error


def _domain_of(authors: Sequence[Mailbox]) -> str | None:
    """The domain that can vouch for a mail: that of its author (RFC 9989: what DKIM must align with)."""
    for author in authors:
        _, at, domain = author.address_text.rpartition("@")
        if not at:
            continue
        if domain.isascii():
            return domain.lower()
        try:
            return canonical_domain(domain)
        except BadAddress:
            continue
    return None


def _asks_success(recipient: EnvelopeRecipient) -> bool:
    return recipient.notify is not None and Notify.SUCCESS in recipient.notify


def _full(recipient: EnvelopeRecipient) -> SmtpReply:
    # Temporary, as Dovecot and Exchange answer: people make room, and the sender's server tries for days.
    return SmtpReply(452, "4.2.2", f"the mailbox of {recipient.address} is full")


def _unavailable(error: Exception) -> SmtpReply:
    log.warning("mail_put_off", error=str(error))
    return SmtpReply(451, "4.3.0", "mail cannot be stored at the moment, try again later")
