"""What is asked of a task: valid from birth, whoever asks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from postroad.campaigns.errors import BadInput
from postroad.campaigns.tasks.states import WISHES, State
from postroad.message.address import Address, BadAddress, canonical_domain

MAX_TEMPLATES = 50
MAX_LISTS = 100
MAX_RANGE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: every mailbox, those of a domain, or one address."""

    kind: Literal["all", "domain", "address"]
    name: str = ""  # the domain or the address

    @classmethod
    def read(cls, account: str, domain: str) -> Sender:
        """Read the two parameters of 6.2. Raises `BadInput`."""
        if account.lower() == "all":
            if domain.lower() in ("", "all"):
                return cls("all")
            try:
                return cls("domain", canonical_domain(domain))
            except BadAddress as error:
                raise BadInput("send_domain", str(error)) from error
        # A name before the @ and its domain apart: samples of 5.1 have both ways.
        address = account if "@" in account or not domain else f"{account}@{domain}"
        try:
            return cls("address", Address.parse(address).key)
        except BadAddress as error:
            raise BadInput("send_account", str(error)) from error


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What is to be changed; None stays. A task that is made needs the first four."""

    template_ids: Sequence[int] | None = None
    list_ids: Sequence[int] | None = None
    sender: Sender | None = None
    sender_name: str | None = None
    range_start: int | None = None
    range_end: int | None = None
    wish: State | None = None
    send_at: datetime | None = None
    has_unsubscribe: bool | None = None
    track: int | None = None
    track_domain: str | None = None
    reply_to: str | None = None

    def __post_init__(self) -> None:
        _bounded("tpl_id", self.template_ids, MAX_TEMPLATES)
        _bounded("maillist_id", self.list_ids, MAX_LISTS)
        if self.range_start is not None and not 1 <= self.range_start <= MAX_RANGE:
            raise BadInput("send_qty_start", "a number from 1")
        if self.range_end is not None and not 0 <= self.range_end <= MAX_RANGE:
            raise BadInput("send_qty", "a number from 0")
        if self.wish is not None and self.wish not in WISHES | {State.PAUSED, State.CANCELLED}:
            raise BadInput("status", "1, -1 or 2")
        if self.track is not None and self.track not in (0, 1, 2):
            raise BadInput("track_status", "0, 1 or 2")
        if self.sender_name is not None and (
            len(self.sender_name) > 200 or not self.sender_name.replace("\t", " ").isprintable()
        ):
            raise BadInput("send_fullname", "at most 200 printable characters")
        if self.reply_to:
            try:
                Address.parse(self.reply_to)
            except BadAddress as error:
                raise BadInput("send_replyto", str(error)) from error
        if self.track_domain:
            try:
                canonical_domain(self.track_domain)
            except BadAddress as error:
                raise BadInput("track_domain", str(error)) from error


def check_range(start: int, end: int) -> None:
    """Raise `BadInput` for a range that ends before it begins."""
    if end and end < start:
        raise BadInput("send_qty", "below send_qty_start")


def _bounded(field: str, ids: Sequence[int] | None, limit: int) -> None:
    if ids is not None and not 1 <= len(ids) <= limit:
        raise BadInput(field, f"1 to {limit} ids")
