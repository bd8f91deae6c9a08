"""Tokens for who signs in: the token endpoint of OAuth 2 (RFC 6749 3.2) and revocation (RFC 7009).

`client_credentials` is for integrations, `password` for accounts (by their password or an application
password, which gives mail only) and administrators. Errors are OAuth's own, in English: programs read them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from postroad.api.service import BASE
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import (
    DirectoryError,
    SignInBusy,
    SignInRefused,
    TooManyFailures,
)
from postroad.directory.identity.integrations import Integrations
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.identity.tokens import (
    ALL_SCOPES,
    LIFETIME,
    MAIL_SCOPES,
    Scope,
    Tokens,
)
from postroad.directory.principals import Kind, Principal

MAX_BODY = 16 * 1024
_HEADERS = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749 5.1


class OAuthError(Exception):
    """An error response (RFC 6749 5.2)."""

    def __init__(
        self, error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.headers = dict(headers or {})


class SigningIn:
    """The two endpoints."""

    def __init__(
        self,
        sign_in: SignIn,
        tokens: Tokens,
        integrations: Integrations,
        client: Callable[[Request], str],
    ) -> None:
        self._sign_in = sign_in
        self._tokens = tokens
        self._integrations = integrations
        self._client = client

    def routes(self) -> list[BaseRoute]:
        """Where they are."""
        return [
            Route(BASE + "/token", self.token, methods=["POST"]),
            Route(BASE + "/token/revoke", self.revoke, methods=["POST"]),
        ]

    async def token(self, request: Request) -> Response:
        """Give a token."""
        try:
            return await self._token(request)
        except OAuthError as error:
            return _refused(error)

    async def revoke(self, request: Request) -> Response:
        """End a token; whoever shows it may. One that is none is no error (RFC 7009 2.2)."""
        try:
            fields = await _fields(request)
            bearer = await self._tokens.find(fields.get("token", ""))
            if bearer is not None:
                await self._tokens.revoke(bearer.token_id)
        except OAuthError as error:
            return _refused(error)
        except DatabaseUnavailable:
            return _refused(_AWAY)
        return JSONResponse({}, headers=_HEADERS)

    async def _token(self, request: Request) -> Response:
        fields = await _fields(request)
        grant = fields.get("grant_type")
        if grant not in ("client_credentials", "password"):
            raise OAuthError("unsupported_grant_type", "client_credentials or password")
        try:
            if grant == "client_credentials":
                principal, allowed = await self._integration(request, fields)
            else:
                principal, allowed = await self._person(request, fields)
            # Who asks for nothing gets mail: few programs of people administer.
            usual = allowed & MAIL_SCOPES if principal.kind is Kind.ACCOUNT else allowed
            scopes = _wanted(fields.get("scope", ""), allowed, usual)
            text = await self._tokens.issue(principal, scopes)
        except DatabaseUnavailable as error:
            raise _AWAY from error
        except TooManyFailures as error:
            status = 503 if isinstance(error, SignInBusy) else 429
            raise OAuthError(
                "temporarily_unavailable", str(error), status, {"retry-after": str(error.retry_after)}
            ) from error
        except (SignInRefused, DirectoryError) as error:
            is_client = grant == "client_credentials"
            raise OAuthError(
                "invalid_client" if is_client else "invalid_grant",
                "the name or the secret is wrong" if is_client else str(error),
                401 if is_client else 400,
                {"www-authenticate": 'Basic realm="postroad"'} if is_client else None,
            ) from error
        return JSONResponse(
            {
                "access_token": text,
                "token_type": "Bearer",
                "expires_in": int(LIFETIME.total_seconds()),
                "scope": " ".join(sorted(scopes)),
            },
            headers=_HEADERS,
        )

    async def _integration(
        self, request: Request, fields: Mapping[str, str]
    ) -> tuple[Principal, frozenset[Scope]]:
        name, secret = fields.get("client_id", ""), fields.get("client_secret", "")
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with suppress(ValueError, binascii.Error):
                given = base64.b64decode(value.strip(), validate=True).decode()
                # RFC 6749 2.3.1: both were percent-encoded first.
                name, secret = map(unquote_plus, given.partition(":")[::2])
        principal = await self._sign_in.check(
            name, secret, self._client(request), "json-api", kinds=(Kind.INTEGRATION,)
        )
        return principal, frozenset((await self._integrations.get(principal.name)).scopes)

    async def _person(
        self, request: Request, fields: Mapping[str, str]
    ) -> tuple[Principal, frozenset[Scope]]:
        principal = await self._sign_in.check(
            fields.get("username", ""),
            fields.get("password", ""),
            self._client(request),
            "json-api",
            kinds=(Kind.ACCOUNT, Kind.ADMINISTRATOR),
        )
        if principal.kind is Kind.ADMINISTRATOR:
            return principal, ALL_SCOPES - MAIL_SCOPES
        # An application password is for one device: what it could change of the account would outlive it.
        return principal, MAIL_SCOPES if principal.application_password_id is not None else ALL_SCOPES


_AWAY = OAuthError("temporarily_unavailable", "try again shortly", 503, {"retry-after": "3"})


def _wanted(text: str, allowed: frozenset[Scope], usual: frozenset[Scope]) -> frozenset[Scope]:
    """The scopes asked for; without any, the usual ones."""
    words = text.split()
    if not words:
        return usual
    known = {scope.value: scope for scope in allowed}
    if any(word not in known for word in words):
        raise OAuthError("invalid_scope", f"some of {' '.join(sorted(allowed))}")
    return frozenset(known[word] for word in words)


async def _fields(request: Request) -> dict[str, str]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "send a form, as application/x-www-form-urlencoded")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                raise OAuthError("invalid_request", "the form is too large", 413)
    except ClientDisconnect as error:
        raise OAuthError("invalid_request", "the form was cut off") from error
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError as error:
        raise OAuthError("invalid_request", "the form is malformed") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise OAuthError("invalid_request", "a field stands twice")  # RFC 6749 3.2
    return fields


def _refused(error: OAuthError) -> Response:
    body = {"error": error.error, "error_description": error.description}
    return JSONResponse(body, error.status, {**_HEADERS, **error.headers})
