"""Who really gets a mail: aliases and lists followed to accounts here and addresses elsewhere.

Asks the directory a level at a time, all addresses at once; holds no SQL. A person gets one copy however many
ways lead there. RFC 5321 3.9 (aliases and lists), RFC 3461 5.2.7 (what becomes of DSN requests on the way).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from postroad.directory.addresses.resolver import (
    AliasTargets,
    ListTarget,
    LocalAccount,
    NotLocal,
    Resolution,
)
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import EnvelopeRecipient, Notify
from postroad.protocols.smtp.replies import SmtpReply
from postroad.transport.accepting.collecting import Collects, CollectsNothing

MAX_DEPTH = (
    20  # aliases and lists in a row; Postfix's virtual_alias_recursion_limit is 1000, nobody needs ten
)
MAX_EXPANDED = 50_000  # addresses one mail may turn into: a list of all people of a large company
# Mail to `list+bounces@` and `list+owner@` goes to the owners: never to the members, and never refused a
# null sender.
OWNER_TAGS = ("bounces", "owner")


class Directory(Protocol):
    """What routing asks of the directory (`directory.Resolver`)."""

    async def resolve_many(self, addresses: Sequence[Address]) -> dict[str, Resolution]:
        """Say what each address means, by key."""
        ...

    async def list_members(self, list_id: int) -> tuple[Address, ...]:
        """Return the members of a list."""
        ...

    async def list_owners(self, list_id: int) -> tuple[Address, ...]:
        """Return those members who own the list."""
        ...

    async def may_post(self, target: ListTarget, sender: Address | None, account_id: int | None) -> bool:
        """Whether a mail of this sender may go to the list."""
        ...


@dataclass(frozen=True, slots=True)
class Local:
    """A copy for an account here.

    `recipient` is what the envelope said; it may be an alias of the account.
    """

    account: LocalAccount
    recipient: EnvelopeRecipient


@dataclass(frozen=True, slots=True)
class Remote:
    """A copy for an address elsewhere.

    `passed` are our own addresses it was forwarded by, the first first.
    """

    recipient: EnvelopeRecipient
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient of the envelope that nothing came of, and what its sender is told."""

    recipient: EnvelopeRecipient
    reply: SmtpReply


@dataclass(slots=True)
class Post:
    """A mail that goes on to a list's members as a mail of the list."""

    target: ListTarget
    recipient: EnvelopeRecipient
    locals: list[Local] = field(default_factory=list)
    remotes: list[Remote] = field(default_factory=list)


@dataclass(slots=True)
class Routing:
    """Where one mail goes. `expanded` are recipients with several targets, for "expanded" notices."""

    locals: list[Local] = field(default_factory=list)
    remotes: list[Remote] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    expanded: list[EnvelopeRecipient] = field(default_factory=list)
    collected: list[EnvelopeRecipient] = field(default_factory=list)  # by a room above


@dataclass(frozen=True, slots=True)
class Sending:
    """Who sends, as far as routing must know.

    `marks` are the addresses the mail has passed already (Delivered-To). `is_impostor`: a stranger gives an
    address of ours as the sender, which proves nothing to a list of members.
    """

    sender: Address | None
    account_id: int | None
    may_relay: bool
    marks: frozenset[str] = frozenset()
    is_impostor: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """One address on its way: `origin` is the envelope's recipient, `path` the keys passed before."""

    address: Address
    origin: EnvelopeRecipient
    path: tuple[str, ...]


class Router:
    """Follows addresses to where they end."""

    def __init__(self, directory: Directory, above: Collects | None = None) -> None:
        """`above` is asked first which addresses are its own; what leads there on a detour is not."""
        self._directory = directory
        self._above = above or CollectsNothing()

    async def collects(self, address: Address) -> bool:
        """Whether mail to this address is handed on to a room above. Raises `DatabaseUnavailable`."""
        return await self._above.collects(address)

    async def route(self, recipients: Sequence[EnvelopeRecipient], sending: Sending) -> Routing:
        """Return where the recipients lead. Raises `DatabaseUnavailable`; refusals are part of the answer."""
        routing = Routing()
        routing.collected = [each for each in recipients if await self.collects(each.address)]
        if routing.collected:
            recipients = [each for each in recipients if each not in routing.collected]
            if not recipients:
                return routing
        known = await self._directory.resolve_many([each.address for each in recipients])
        if len(recipients) == 1:  # nearly every mail: nothing to follow, nothing to tell apart
            (only,) = recipients
            meaning = known[only.address.key]
            if isinstance(meaning, LocalAccount) and not meaning.is_disabled:
                routing.locals.append(Local(meaning, only))
                return routing
            if isinstance(meaning, NotLocal) and sending.may_relay:
                routing.remotes.append(Remote(only))
                return routing
        walk = _Walk(self._directory, sending, routing)
        await walk.go([_Step(each.address, each, ()) for each in recipients], known)
        return routing


class _Walk:
    def __init__(self, directory: Directory, sending: Sending, routing: Routing) -> None:
        self._directory = directory
        self._sending = sending
        self._routing = routing
        self._accounts: set[int] = set()
        self._addresses: set[str] = set()
        self._lists: set[int] = set()
        self._reached: set[str] = set()  # keys of envelope recipients that something came of
        self._refusals: dict[str, Refused] = {}
        self._asked: set[str] = set()
        self._expanded = 0

    async def go(self, steps: list[_Step], known: dict[str, Resolution]) -> None:
        self._asked = {step.address.key for step in steps}
        posts = await self._follow(steps, known, self._routing.locals, self._routing.remotes)
        # Lists last: whoever is also addressed in person gets the mail itself, not the list's copy.
        done = 0
        while done < len(posts):
            post, members = posts[done]
            done += 1
            steps = [
                _Step(member, EnvelopeRecipient(member), (post.target.address.key,)) for member in members
            ]
            known = await self._directory.resolve_many(members)
            posts.extend(await self._follow(steps, known, post.locals, post.remotes))
            self._routing.posts.append(post)
        # What fails behind a list is no matter of whoever wrote to it (RFC 5321 3.9.2).
        self._routing.refused.extend(
            refused
            for key, refused in self._refusals.items()
            if key in self._asked and key not in self._reached
        )

    async def _follow(
        self,
        steps: list[_Step],
        known: dict[str, Resolution],
        local: list[Local],
        remote: list[Remote],
    ) -> list[tuple[Post, Sequence[Address]]]:
        posts: list[tuple[Post, Sequence[Address]]] = []
        depth = 0
        while steps:
            following: list[_Step] = []
            for step in steps:
                meaning = known[step.address.key]
                if isinstance(meaning, LocalAccount):
                    self._account(step, meaning, local)
                elif isinstance(meaning, NotLocal):
                    self._elsewhere(step, remote)
                elif isinstance(meaning, AliasTargets):
                    following.extend(self._targets(step, meaning.addresses))
                elif isinstance(meaning, ListTarget):
                    if _owner_mail(step.address, meaning):
                        owners = await self._directory.list_owners(meaning.list_id)
                        if owners:
                            following.extend(self._targets(step, owners))
                        else:
                            self._reach(step)  # nobody reads it: taken, and let go
                    else:
                        posts.extend(await self._post(step, meaning))
                else:
                    self._refuse(step, SmtpReply(550, "5.1.1", f"{_shown(step)} is not known here"))
            depth += 1
            if following and depth >= MAX_DEPTH:
                for step in following:
                    self._refuse(step, SmtpReply(554, "5.4.6", f"{_shown(step)} is forwarded too often"))
                break
            steps = following
            known = await self._directory.resolve_many([step.address for step in steps]) if steps else {}
        return posts

    def _account(self, step: _Step, account: LocalAccount, local: list[Local]) -> None:
        if account.is_disabled:
            self._refuse(step, SmtpReply(550, "5.2.1", f"the mailbox of {_shown(step)} is closed"))
            return
        self._reach(step)
        if account.account_id not in self._accounts:
            self._accounts.add(account.account_id)
            local.append(Local(account, step.origin))

    def _elsewhere(self, step: _Step, remote: list[Remote]) -> None:
        if not step.path and not self._sending.may_relay:
            self._refuse(step, SmtpReply(550, "5.7.1", f"relaying to {_shown(step)} is not allowed"))
            return
        self._reach(step)
        if step.address.key not in self._addresses:
            self._addresses.add(step.address.key)
            remote.append(Remote(replace(step.origin, address=step.address), step.path))

    def _targets(self, step: _Step, targets: Sequence[Address]) -> Iterable[_Step]:
        key = step.address.key
        self._expanded += len(targets)
        if key in step.path or key in self._sending.marks:
            self._refuse(step, SmtpReply(554, "5.4.6", f"mail for {_shown(step)} goes round in a circle"))
            return ()
        if self._expanded > MAX_EXPANDED:
            self._refuse(step, SmtpReply(452, "4.5.3", f"{_shown(step)} leads to too many addresses"))
            return ()
        origin = step.origin
        if len(targets) > 1 and origin.notify is not None and Notify.SUCCESS in origin.notify:
            # RFC 3461 5.2.7.3: one "expanded" notice instead of a success from every target.
            self._routing.expanded.append(origin)
            rest = origin.notify & ~Notify.SUCCESS
            origin = replace(origin, notify=rest or Notify.NEVER)
        path = (*step.path, key)
        return [_Step(target, origin, path) for target in targets]

    async def _post(self, step: _Step, target: ListTarget) -> list[tuple[Post, Sequence[Address]]]:
        if target.address.key in step.path or target.address.key in self._sending.marks:
            self._refuse(step, SmtpReply(554, "5.4.6", f"mail for {_shown(step)} goes round in a circle"))
            return []
        # A bounce or an automatic answer is not for everybody (RFC 3834 2, RFC 5321 4.5.5).
        is_first = not step.path
        sender = self._sending.sender
        proven = None if self._sending.is_impostor else sender
        if sender is None or (
            is_first and not await self._directory.may_post(target, proven, self._sending.account_id)
        ):
            self._refuse(
                step, SmtpReply(550, "5.7.2", f"this sender may not write to the list {_shown(step)}")
            )
            return []
        self._reach(step)
        if target.list_id in self._lists:
            return []
        members = await self._directory.list_members(target.list_id)
        self._expanded += len(members)
        if self._expanded > MAX_EXPANDED:
            self._refuse(step, SmtpReply(452, "4.5.3", f"{_shown(step)} leads to too many addresses"))
            return []
        self._lists.add(target.list_id)
        return [(Post(target, step.origin), members)]

    def _reach(self, step: _Step) -> None:
        self._reached.add(step.origin.address.key)

    def _refuse(self, step: _Step, reply: SmtpReply) -> None:
        key = step.origin.address.key
        if key not in self._refusals:
            self._refusals[key] = Refused(step.origin, reply)


def _shown(step: _Step) -> str:
    """The address as its sender wrote it: an alias's targets are nobody's business outside."""
    return str(step.origin.address)


def _owner_mail(address: Address, target: ListTarget) -> bool:
    base, plus, tag = address.local_part.partition("+")
    return bool(plus) and tag.lower() in OWNER_TAGS and base.lower() == target.address.key.partition("@")[0]
