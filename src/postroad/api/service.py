"""The API at its addresses, and the way from a request to its answer.

Signed in, allowed, counted, read, checked, done, answered: in this order, so that nothing is learnt by who
may not, and nothing large is read for them.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qsl

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from postroad.api.operations import LARGEST_ID, NUMBERS, Account, Answer, Call, Operation
from postroad.api.problems import Problem, invalid, problem_of, problem_response
from postroad.api.words import Language, language_of
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.identity.calls import AnsweredCalls, Begun, Caller, CallRates, KeptAnswer
from postroad.directory.identity.tokens import Bearer, Tokens
from postroad.directory.principals import Kind
from postroad.message.address import Address, BadAddress

BASE = "/api/v1"
WORK_SECONDS = 60.0  # of one call, once it has come in
RECEIVING_SECONDS = 600.0  # a mail of the largest size over a slow line
SMALL_BODY = 1024 * 1024  # a thousand addresses, ten times over
LARGE_BODY = 128 * 1024  # read in a thread
LARGE_BODIES = 4  # of the largest size, received at once by a worker; more are told to come again
BUSY_SECONDS = 10
MAX_KEY = 255  # characters of an idempotency key
MAX_QUERY = 8000
ACCOUNT_HEADER = "postroad-account"
DOCUMENTATION_POLICY = "default-src 'none'; frame-ancestors 'none'"
_NUMBER = re.compile(rf"{{({'|'.join(sorted(NUMBERS))})}}")
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")
_CHALLENGE = 'Bearer realm="postroad"'

log = structlog.get_logger("postroad.api")


class Api:
    """Answers calls. `operations` is the whole table; `beside` are routes that need no token."""

    def __init__(
        self,
        operations: Sequence[Operation],
        tokens: Tokens,
        rates: CallRates,
        answered: AnsweredCalls,
        client: Callable[[Request], str],
        max_upload_bytes: int,
    ) -> None:
        self.operations = tuple(operations)
        self._tokens = tokens
        self._rates = rates
        self._answered = answered
        self._client = client
        # Base64 takes four bytes for three, and its lines may be broken.
        self._large_body = max_upload_bytes * 3 // 2 + 8 * SMALL_BODY
        self._in_hand = 0  # bytes of bodies that are being received

    def routes(self) -> list[BaseRoute]:
        """One route a path; what lies beside them under the base is a problem, not a page."""
        by_path: dict[str, dict[str, Operation]] = {}
        for one in self.operations:
            by_path.setdefault(one.path, {})[one.method] = one
        routes: list[BaseRoute] = [
            Route(BASE + _NUMBER.sub(r"{\1:int}", path), _Endpoint(self, by_method))
            for path, by_method in by_path.items()
        ]
        return [*routes, Route(BASE + "/{rest:path}", _Endpoint(self, {})), Route(BASE, _Endpoint(self, {}))]

    async def answer(self, request: Request, by_method: Mapping[str, Operation]) -> Response:
        """Answer one request, whatever happens."""
        language = language_of(request.headers.get("accept-language", ""), None)
        method = "GET" if request.method == "HEAD" else request.method
        counted: dict[str, str] = {}
        try:
            operation = by_method.get(method)
            if operation is None:
                if not by_method:
                    raise Problem("not-found")
                raise Problem("wrong-method", headers={"allow": ", ".join(sorted(by_method))})
            call = await self._signed_in(request, operation)
            language = call.language
            await self._count(call, counted)
            call = await self._read(request, operation, call)
            answer = await self._done(request, operation, call)
            response = _response(request, operation, answer)
        except ClientDisconnect:
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                log.exception("api_call_failed", path=request.url.path, method=request.method)
                problem = Problem("failed")
            elif isinstance(error, DatabaseUnavailable):
                log.warning("api_store_unavailable", path=request.url.path, reason=str(error))
            response = problem_response(problem, language)
        for name, value in counted.items():
            response.headers[name] = value
        response.headers["vary"] = "accept-language, authorization, postroad-account"
        response.headers.setdefault("content-security-policy", DOCUMENTATION_POLICY)
        return response

    # -- who calls

    async def _signed_in(self, request: Request, operation: Operation) -> Call:
        """Who calls, for which account, and whether they may. Raises `Problem`."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Problem("not-signed-in", headers={"www-authenticate": _CHALLENGE})
        bearer = await self._tokens.find(text.strip())
        if bearer is None:
            challenge = f'{_CHALLENGE}, error="invalid_token"'
            raise Problem("not-signed-in", headers={"www-authenticate": challenge})
        language = language_of(request.headers.get("accept-language", ""), bearer.language)
        if operation.scope is not None and operation.scope not in bearer.scopes:
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{operation.scope}"'
            raise Problem(
                "missing-scope", {"scope": operation.scope}, headers={"www-authenticate": challenge}
            )
        account = await self._account(request, operation, bearer)
        path = {name: str(value) for name, value in request.path_params.items()}
        for name, value in path.items():
            is_number = name in NUMBERS
            if "\0" in value or (is_number and not _is_id(value)):
                raise Problem("not-found")
        return Call(bearer, account, path, None, None, language, self._client(request), dict(request.headers))

    async def _account(self, request: Request, operation: Operation, bearer: Bearer) -> Account | None:
        if not operation.of_account:
            return None
        wanted = request.headers.get(ACCOUNT_HEADER)
        try:
            address = None if wanted is None else Address.parse(_utf8(wanted).strip())
        except BadAddress as error:
            raise Problem("bad-address", {"address": str(wanted)}) from error
        if bearer.principal.kind is Kind.ACCOUNT:
            if address is not None and address.key != bearer.address.key:
                raise Problem("not-allowed", {"where": address.domain})
            return Account(bearer.principal.id, bearer.address, bearer.display_name)
        if bearer.principal.kind is not Kind.INTEGRATION:
            raise Problem("no-mailbox")
        if address is None:
            raise Problem("account-needed")
        found = await self._tokens.account_for(bearer.principal, address)
        return Account(found.account_id, found.address, found.display_name)

    async def _count(self, call: Call, headers: dict[str, str]) -> None:
        counted = await self._rates.count(_caller(call))
        # draft-ietf-httpapi-ratelimit-headers: the policy, and what is left of it.
        headers["ratelimit-policy"] = f'"minute";q={self._rates.limit};w=60'
        headers["ratelimit"] = f'"minute";r={max(counted.left, 0)};t={counted.seconds}'
        if counted.left < 0:
            raise Problem(
                "too-many-calls",
                {"seconds": counted.seconds},
                headers={"retry-after": str(counted.seconds)},
            )

    # -- what is asked

    async def _read(self, request: Request, operation: Operation, call: Call) -> Call:
        query, body = None, None
        raw = request.scope["query_string"]
        if len(raw) > MAX_QUERY:
            raise Problem("too-large")
        try:
            pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100, errors="strict")
        except ValueError as error:
            raise Problem("bad-request") from error
        given: dict[str, str] = {}
        for name, value in pairs:
            if name in given or "\0" in value:
                raise Problem("bad-request")
            given[name] = value
        if operation.query is not None:
            try:
                query = operation.query.model_validate(given)
            except ValidationError as error:
                raise invalid(error, "query") from error
        elif given:
            raise Problem(
                "invalid", errors=[(f"query.{name}"[:200], "extra_forbidden") for name in given][:20]
            )
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.match(key):
            raise Problem("bad-value", {"field": "Idempotency-Key", "reason": f"1 to {MAX_KEY} ASCII signs"})
        if operation.body is not None:
            body = await self._body(request, operation, operation.body)
        return replace(call, query=query, body=body, key=key if operation.creates else None)

    async def _body(self, request: Request, operation: Operation, model: type[BaseModel]) -> BaseModel:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise Problem("not-json")
        limit = self._large_body if operation.is_large else SMALL_BODY
        with suppress(ValueError):
            if int(request.headers.get("content-length", "0")) > limit:
                raise Problem("too-large")
        received = bytearray()
        try:
            async with asyncio.timeout(RECEIVING_SECONDS):
                async for piece in request.stream():
                    received += piece
                    self._in_hand += len(piece)
                    if len(received) > limit:
                        raise Problem("too-large")
                    if len(received) > SMALL_BODY and self._in_hand > LARGE_BODIES * self._large_body:
                        raise Problem("away", headers={"retry-after": str(BUSY_SECONDS)})
            content = bytes(received)
            value = await self._understood(model, content)
        finally:
            self._in_hand -= len(received)
        if "password" in model.model_fields:
            # What is kept to know the request again must be of no use to who guesses passwords.
            content = value.model_dump_json(exclude={"password"}).encode()
        request.scope["postroad.body_hash"] = hashlib.sha256(content).digest()
        return value

    async def _understood(self, model: type[BaseModel], content: bytes) -> BaseModel:
        try:
            if len(content) > LARGE_BODY:
                return await asyncio.to_thread(model.model_validate_json, content)
            return model.model_validate_json(content)
        except ValidationError as error:
            if any(one["type"] == "json_invalid" for one in error.errors(include_url=False)):
                raise Problem("bad-json") from error
            raise invalid(error, "body") from error

    # -- doing it

    async def _done(self, request: Request, operation: Operation, call: Call) -> Answer:
        if call.key is None:
            async with asyncio.timeout(WORK_SECONDS):
                return await operation.handler(call)
        caller = _caller(call)
        asked = b"\0".join(
            (request.method.encode(), request.url.path.encode(), request.scope.get("postroad.body_hash", b""))
        )
        begun = await self._answered.begin(caller, call.key, asked)
        if isinstance(begun, KeptAnswer):
            return Answer(
                status=begun.status,
                location=begun.location,
                content=begun.body,
                headers={"idempotent-replayed": "true"},
            )
        return await self._done_once(operation, replace(call, repeats=begun.is_repeated), caller, begun)

    async def _done_once(self, operation: Operation, call: Call, caller: Caller, begun: Begun) -> Answer:
        assert call.key is not None
        try:
            async with asyncio.timeout(WORK_SECONDS):
                answer = await operation.handler(call)
        except Exception as error:
            problem = problem_of(error)
            # A refusal did nothing. Of an outage it is not known what it left behind.
            is_refusal = problem is not None and problem.status < 500 and not begun.is_repeated
            with suppress(DatabaseUnavailable):
                if is_refusal:
                    await self._answered.give_up(caller, call.key)
                else:
                    await self._answered.leave_open(caller, call.key)
            raise
        except BaseException:  # the client went away, or the process ends
            with suppress(DatabaseUnavailable):
                await asyncio.shield(self._answered.leave_open(caller, call.key))
            raise
        kept = KeptAnswer(answer.status or operation.status, answer.location, _encoded(answer))
        with suppress(DatabaseUnavailable):  # done all the same; a repeated call looks what it left behind
            await self._answered.keep(caller, call.key, kept)
        return answer


class _Endpoint:
    """One of the addresses. An ASGI application as an endpoint gets every method."""

    def __init__(self, api: Api, by_method: Mapping[str, Operation]) -> None:
        self._api = api
        self._by_method = by_method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            response = await self._api.answer(Request(scope, receive), self._by_method)
            await response(scope, receive, send)


PlainHandler = Callable[[Request], Awaitable[Response]]


def _response(request: Request, operation: Operation, answer: Answer) -> Response:
    status = answer.status or operation.status
    headers = dict(answer.headers)
    if answer.location is not None:
        headers["location"] = answer.location
    if answer.etag is not None:
        headers["etag"] = answer.etag
        headers.setdefault("cache-control", "private, no-cache")
        if request.method in ("GET", "HEAD") and is_known(request.headers.get("if-none-match"), answer.etag):
            return Response(b"", 304, headers)
    if answer.stream is not None:
        if request.method == "HEAD":  # what has no end is not begun for nobody
            return Response(b"", status, {**headers, "content-type": answer.media_type})
        return StreamingResponse(answer.stream, status, headers, media_type=answer.media_type)
    content = _encoded(answer)
    if status == 204:
        return Response(b"", 204, headers)
    return Response(content, status, {**headers, "content-type": answer.media_type})


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether who asks has it already (RFC 9110 13.1.2)."""
    if if_none_match is None:
        return False
    known = [each.strip().removeprefix("W/") for each in if_none_match[:4000].split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A plain JSON answer, for the few routes that need no token."""
    return JSONResponse(value, status, dict(headers or {}))


def _encoded(answer: Answer) -> bytes:
    if answer.content is not None:
        return answer.content
    return b"" if answer.value is None else answer.value.model_dump_json(by_alias=True).encode()


def _caller(call: Call) -> Caller:
    principal = call.bearer.principal
    is_for_itself = principal.kind is Kind.ACCOUNT or call.account_or_none is None
    return Caller(principal, 0 if is_for_itself else call.account.id)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= LARGEST_ID


def _utf8(header: str) -> str:
    """A header's value as UTF-8, which Starlette read as Latin-1."""
    return header.encode("latin-1", "replace").decode("utf-8", "replace")


__all__ = ["ACCOUNT_HEADER", "BASE", "Api", "Language", "is_known", "json_response"]
