"""The bulk-mail API at its addresses: signing in, and the way from a call to its answer.

Every call that was signed in and whose script exists is answered with 200, refused or not, since real clients
read no other body (A.4 of our page).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import IO
from zoneinfo import ZoneInfo

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from postroad.bridges.edm.account import AccountScript
from postroad.bridges.edm.addresses import AddressCalls
from postroad.bridges.edm.answers import Answer, json_error, result
from postroad.bridges.edm.bs import BsScript
from postroad.bridges.edm.call import Call, Handler, Script
from postroad.bridges.edm.failexport import FailExportScripts
from postroad.bridges.edm.mloperate import MlOperateScript
from postroad.bridges.edm.parameters import Parameters, read_body, read_pairs, receive, received
from postroad.bridges.edm.refusals import Refusal, refusal_of
from postroad.bridges.edm.signing_in import CHALLENGE, CheckPassword, read_credentials
from postroad.bridges.edm.statistic import StatisticScripts
from postroad.bridges.edm.task import TaskScript
from postroad.bridges.edm.template import TemplateScript
from postroad.bridges.edm.track import TrackScripts
from postroad.campaigns.customers import Customer
from postroad.campaigns.errors import CampaignError, NotFound
from postroad.campaigns.service import Campaigns
from postroad.config import Edm
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import SignInBusy, SignInRefused, TooManyFailures, WeakPassword
from postroad.directory.passwords import TooBusyToHash

CURRENT = "/mm-ms/apinew/"
OLDER = ("/mm-ms/api/", "/api/")
CALL_SECONDS = 600.0  # receiving 64 MB over a slow line included
LARGE_BODY = 256 * 1024  # parsed in a thread
_METHODS = ("GET", "HEAD", "POST")

log = structlog.get_logger("postroad.bridges.edm")


class EdmApi:
    """Answers the calls."""

    def __init__(
        self,
        campaigns: Campaigns,
        check_password: CheckPassword,
        settings: Edm,
        clock: Callable[[], datetime],
        client: Callable[[Request], str],
    ) -> None:
        self._customers = campaigns.customers
        self._check_password = check_password
        self._settings = settings
        self._clock = clock
        self._client = client
        self._zone = ZoneInfo(settings.timezone)
        self._scripts = _scripts(campaigns, settings)

    def routes(self) -> list[BaseRoute]:
        """The current address and the older ones."""
        # An ASGI application as an endpoint gets every method; Starlette's own answer to others is no XML.
        return [Route(f"{place}{{script}}", _Endpoint(self, place)) for place in (CURRENT, *OLDER)]

    async def serve(self, scope: Scope, receive: Receive, send: Send, place: str) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        # Whatever stands in the query may be a password: nothing behind this line sees it in the scope.
        query, scope["query_string"] = scope["query_string"], b""
        try:
            with suppress(ClientDisconnect):
                async with asyncio.timeout(CALL_SECONDS):
                    answer = await self._answer(request, query, place)
                await _send(send, answer, with_body=request.method != "HEAD")
        except TimeoutError:
            await _send(send, result("system_error", "请求超时"), with_body=True)

    async def _answer(self, request: Request, query: bytes, place: str) -> Answer:
        script = self._scripts.get(request.path_params["script"])
        if script is None:
            return Answer(result("not_exist", "接口不存在").body, status=404)
        if request.method not in _METHODS:
            headers = {"allow": ", ".join(_METHODS)}
            return Answer(result("param_error", "请求方法不正确").body, status=405, headers=headers)
        parameters = Parameters({})
        try:
            parameters = Parameters(read_pairs(query))
            customer = await self._sign_in(request, parameters, place)
            if isinstance(customer, Answer):
                return customer
            return await self._call(request, script, parameters, customer)
        except Refusal as refusal:
            return _refused(refusal, parameters)

    async def _sign_in(self, request: Request, parameters: Parameters, place: str) -> Customer | Answer:
        """The customer who calls, or the answer that sends it away."""
        takes_query = place != CURRENT or self._settings.query_credentials
        found = read_credentials(request.headers.get("authorization"), parameters, takes_query=takes_query)
        refused = result("auth_error", "用户名或密码错误").body
        if found is None:
            return Answer(refused, status=401, headers=CHALLENGE)
        try:
            customer_id = await self._check_password(found.username, found.password, self._client(request))
            return await self._customers.get(customer_id)
        except (SignInBusy, TooManyFailures) as error:
            status = 503 if isinstance(error, SignInBusy) else 429
            body = result("auth_error", "登录失败次数过多，请稍后再试").body
            return Answer(body, status=status, headers={"retry-after": str(error.retry_after)})
        except (SignInRefused, NotFound):
            return Answer(refused, status=401, headers=CHALLENGE)
        except DatabaseUnavailable:
            return Answer(result("system_error", "系统繁忙，请稍后再试").body, status=503)

    async def _call(
        self, request: Request, script: Script, parameters: Parameters, customer: Customer
    ) -> Answer:
        do = parameters.only_in_query("do") or ""
        handler = script.get("") or script.get(do)
        if handler is None:
            raise Refusal("unknown_do", f"未知操作 {do[:50]}")
        if request.method == "HEAD" and not handler.reads:
            headers = {"allow": "GET, POST"}
            return Answer(result("param_error", "请求方法不正确").body, status=405, headers=headers)
        with received() as file:
            if request.method == "POST":
                parameters = await self._with_body(request, parameters, file)
            today = self._clock().astimezone(self._zone).date()
            return await _run(handler, Call(customer, parameters, self._zone, today))

    async def _with_body(self, request: Request, parameters: Parameters, file: IO[bytes]) -> Parameters:
        size = await receive(request.stream(), file, self._settings.max_request_bytes)
        kind = Headers(scope=request.scope).get("content-type", "")
        if size > LARGE_BODY:
            body, files = await asyncio.to_thread(read_body, file, size, kind)
        else:
            body, files = read_body(file, size, kind)
        return Parameters(parameters.query, body, files)


class _Endpoint:
    """One of the addresses."""

    def __init__(self, api: EdmApi, place: str) -> None:
        self._api = api
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api.serve(scope, receive, send, self._place)


async def _run(handler: Handler, call: Call) -> Answer:
    try:
        if handler.writes:
            call.check_may_write()
        return await handler.run(call)
    except (CampaignError, WeakPassword) as error:
        return _refused(refusal_of(error), call.parameters)
    except Refusal as refusal:
        return _refused(refusal, call.parameters)
    except (DatabaseUnavailable, TooBusyToHash) as error:
        log.warning("edm_call_postponed", customer=call.customer.id, reason=str(error))
        return _refused(Refusal("system_error", "系统繁忙，请稍后再试"), call.parameters)
    except Exception:  # the client gets an answer that it can read; the log has the story
        log.exception("edm_call_failed", customer=call.customer.id)
        return _refused(Refusal("system_error", "系统错误"), call.parameters)


def _refused(refusal: Refusal, parameters: Parameters) -> Answer:
    if parameters.get("out_type") == "json":
        return json_error(refusal.status, refusal.data)
    return result(refusal.status, refusal.data)


def _scripts(campaigns: Campaigns, settings: Edm) -> Mapping[str, Script]:
    """The twelve scripts of A.1."""
    statistics = StatisticScripts(campaigns.statistics)
    failures = FailExportScripts(campaigns.statistics)
    tracking = TrackScripts(campaigns.tracking)
    lists = MlOperateScript(campaigns.lists, campaigns.contacts, campaigns.subscriptions)
    addresses = AddressCalls(
        campaigns.lists, campaigns.contacts, campaigns.imports, settings.max_import_bytes
    )
    return {
        "account.php": AccountScript(campaigns.credits).calls(),
        "task.php": TaskScript(campaigns.tasks, campaigns.limits, settings.add_task_per_hour).calls(),
        "statistic.php": statistics.statistic(),
        "failexport.php": failures.addresses(),
        "failexportall.php": failures.everything(),
        "stask.php": statistics.stask(),
        "deduction.php": statistics.deduction(),
        "track.php": tracking.track(),
        "trackexport.php": tracking.export(),
        "mloperate.php": {**lists.calls(), **addresses.calls()},
        "template.php": TemplateScript(campaigns.templates).calls(),
        "bs.php": BsScript(campaigns.customers, campaigns.domains, campaigns.mailboxes).calls(),
    }


async def _send(send: Send, answer: Answer, *, with_body: bool) -> None:
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"cache-control", b"no-store"),
        *((name.encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    if isinstance(answer.body, bytes):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body if with_body else b""})
        return
    if with_body:
        async for piece in answer.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
