"""Mails that an OA system wrote and that wait for a manager: the page that lists them, its two buttons.

What waits, and what yes and no do, is somebody else's matter: `Approvals` says what is asked of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.message.address import Address
from postroad.message.html_text import html_to_text
from postroad.web.mail.surroundings import Surroundings
from postroad.web.shell.forms import Form
from postroad.web.shell.visits import Visit, Visits

MAX_MAIL_ID = 16
MAX_REASON = 500
MAX_TEXT = 2000  # characters of a mail that are shown
RESULTS = ("approved", "rejected", "gone")


class WaitingMail(Protocol):
    """A mail that waits, as its writer gave it."""

    @property
    def mail_id(self) -> str:
        """Its name."""
        ...

    @property
    def account(self) -> str:
        """Who sends it."""
        ...

    @property
    def recipients(self) -> str:
        """Everybody it goes to."""
        ...

    @property
    def subject(self) -> str:
        """Its subject."""
        ...

    @property
    def body(self) -> str:
        """Its text, or HTML, perhaps cut."""
        ...

    @property
    def is_html(self) -> bool:
        """What the body is."""
        ...

    @property
    def files(self) -> Sequence[str]:
        """The names of its attachments."""
        ...

    @property
    def send_time(self) -> str:
        """When it is to be sent, empty for at once."""
        ...


class Approvals(Protocol):
    """What is asked about mails that wait."""

    async def waiting(self, manager: Address) -> Sequence[WaitingMail]:
        """What waits for an account."""
        ...

    async def approve(self, manager: Address, mail_id: str) -> bool:
        """Let a mail go; False when it does not wait for this account any more."""
        ...

    async def reject(self, manager: Address, mail_id: str, reason: str) -> bool:
        """Refuse a mail; False when it does not wait for this account any more."""
        ...


class NothingWaits:
    """For a house without OA systems."""

    async def waiting(self, _manager: Address) -> Sequence[WaitingMail]:
        """Nothing."""
        return ()

    async def approve(self, _manager: Address, _mail_id: str) -> bool:
        """Never."""
        return False

    async def reject(self, _manager: Address, _mail_id: str, _reason: str) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, slots=True)
class WaitingCard:
    """What the page shows of a mail."""

    mail_id: str
    account: str
    recipients: str
    subject: str
    text: str
    is_cut: bool
    files: Sequence[str]
    send_time: str


class ApprovalPages:
    """The page."""

    def __init__(self, visits: Visits, surroundings: Surroundings, approvals: Approvals) -> None:
        self._visits = visits
        self._surroundings = surroundings
        self._approvals = approvals

    def routes(self) -> list[BaseRoute]:
        """The list, yes, no."""
        return [
            Route("/mail/approvals", self._visits.reading(self.page), methods=["GET"]),
            Route("/mail/approvals/approve", self._visits.changing(self.approve), methods=["POST"]),
            Route("/mail/approvals/reject", self._visits.changing(self.reject), methods=["POST"]),
        ]

    async def page(self, visit: Visit) -> Response:
        """Everything that waits for who is signed in."""
        around = await self._surroundings.around(visit.account_id)
        waiting = await self._approvals.waiting(visit.session.address)
        result = visit.request.query_params.get("result", "")
        values = {
            **await self._surroundings.whole(visit, around, None),
            "waiting": [_card(mail) for mail in waiting],
            "result": result if result in RESULTS else "",
            "here": "/mail/approvals",
        }
        return self._visits.page("approvals.html", visit.dates, values)

    async def approve(self, visit: Visit, form: Form) -> Response:
        """Let one go."""
        is_done = await self._approvals.approve(visit.session.address, form.get("mail", MAX_MAIL_ID))
        return _back("approved" if is_done else "gone")

    async def reject(self, visit: Visit, form: Form) -> Response:
        """Refuse one; its account reads the reason."""
        mail_id, reason = form.get("mail", MAX_MAIL_ID), form.get("reason", MAX_REASON)
        is_done = await self._approvals.reject(visit.session.address, mail_id, reason)
        return _back("rejected" if is_done else "gone")


def _back(result: str) -> Response:
    return RedirectResponse(f"/mail/approvals?result={result}", 303)


def _card(mail: WaitingMail) -> WaitingCard:
    text = (html_to_text(mail.body) if mail.is_html else mail.body).strip()
    return WaitingCard(
        mail.mail_id,
        mail.account,
        mail.recipients,
        mail.subject,
        text[:MAX_TEXT],
        len(text) > MAX_TEXT,
        mail.files,
        mail.send_time,
    )
