"""The API put together: every part on its services, the table of operations, and the routes beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroad.api.changing import ChangingCalls
from postroad.api.description import describe
from postroad.api.directory import DirectoryCalls
from postroad.api.events import ChangeFeed, EventCalls
from postroad.api.folders import FolderCalls
from postroad.api.operations import Operation
from postroad.api.own import OwnCalls
from postroad.api.reading import ReadingCalls
from postroad.api.service import BASE, Api
from postroad.api.signing_in import SigningIn
from postroad.api.writing import WritingCalls
from postroad.config import Api as Limits
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.identity.administration import Administration
from postroad.directory.identity.calls import AnsweredCalls, CallRates
from postroad.directory.identity.integrations import Integrations
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.identity.tokens import Tokens
from postroad.mailstore.append import Append
from postroad.mailstore.correspondents import Correspondents
from postroad.mailstore.entries import Entries
from postroad.mailstore.folders import Folders
from postroad.mailstore.messages import Messages
from postroad.mailstore.parts import MessageParts
from postroad.mailstore.quota import Quota
from postroad.mailstore.search import Search
from postroad.mailstore.statistics import MailStatistics
from postroad.transport.accepting.submission import Submission


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the API calls."""

    accounts: Accounts
    sign_in: SignIn
    tokens: Tokens
    integrations: Integrations
    rates: CallRates
    answered: AnsweredCalls
    administration: Administration
    folders: Folders
    entries: Entries
    messages: Messages
    append: Append
    quota: Quota
    search: Search
    changes: ChangeFeed
    people: Correspondents
    statistics: MailStatistics
    submission: Submission


class JsonApi:
    """The routes. Call `stop` when the process begins to drain: it ends the live streams."""

    def __init__(
        self,
        services: ApiServices,
        limits: Limits,
        max_upload_bytes: int,
        clock: Callable[[], datetime],
        client: Callable[[Request], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = EventCalls(
            services.folders,
            services.entries,
            services.changes,
            services.tokens,
            limits,
            monotonic,
        )
        parts = (
            FolderCalls(
                services.folders,
                services.entries,
                services.search,
                services.quota,
                services.people,
                services.statistics,
            ),
            ReadingCalls(services.entries, services.messages, MessageParts(services.messages)),
            ChangingCalls(services.folders, services.entries),
            WritingCalls(
                services.folders,
                services.entries,
                services.messages,
                services.append,
                services.submission,
                max_upload_bytes,
                clock,
            ),
            self._events,
            OwnCalls(services.accounts),
            DirectoryCalls(services.administration, services.statistics),
        )
        self.operations: Sequence[Operation] = [one for part in parts for one in part.operations()]
        self._signing_in = SigningIn(services.sign_in, services.tokens, services.integrations, client)
        self._api = Api(
            self.operations,
            services.tokens,
            services.rates,
            services.answered,
            client,
            max_upload_bytes,
        )
        self._description = msgspec.json.encode(describe(self.operations))

    def routes(self) -> list[BaseRoute]:
        """All of them, the most general last."""
        return [
            *self._signing_in.routes(),
            Route(BASE + "/openapi.json", self.description, methods=["GET"]),
            *self._api.routes(),
        ]

    async def description(self, request: Request) -> Response:
        """The OpenAPI description, for everybody."""
        return Response(
            self._description, media_type="application/json", headers={"cache-control": "max-age=300"}
        )

    def stop(self) -> None:
        """End the live streams."""
        self._events.stop()
