"""Problems as answers (RFC 9457): every error of the services, translated here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import ValidationError
from starlette.responses import Response

from postroad.api.words import PROBLEMS, Language, say, say_field
from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import AccountDisabled, DirectoryError, SignInRefused
from postroad.directory.identity.calls import KeyInUse, KeyReused
from postroad.directory.passwords import TooBusyToHash
from postroad.mailstore import errors as store
from postroad.message.address import BadAddress
from postroad.message.compose import BadDraft
from postroad.transport.accepting.submission import NotSent

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20  # fields told at once
RETRY_SECONDS = 3

_STORE: Mapping[type[Exception], str] = {
    store.NoSuchFolder: "no-such-folder",
    store.NoSuchMessage: "no-such-message",
    store.BadFolderName: "bad-folder-name",
    store.FolderExists: "folder-exists",
    store.FolderProtected: "folder-protected",
    store.TooManyFolders: "too-many-folders",
    store.BadKeyword: "bad-keyword",
    store.BadQuery: "bad-query",
    store.QuotaExceeded: "mailbox-full",
}
_AWAY = (DatabaseUnavailable, store.BlobsUnavailable, TooBusyToHash)


class Problem(Exception):
    """Something is wrong with a call. `code` is a word of `words.py`."""

    def __init__(
        self,
        code: str,
        facts: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.facts = dict(facts or {})
        self.headers = dict(headers or {})
        self.errors = errors  # where, and the validator's word for what

    @property
    def status(self) -> int:
        """The status it is answered with."""
        return PROBLEMS[self.code][0]


def problem_of(error: Exception) -> Problem | None:
    """Translate an error of a service; None for one that is a mistake of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, _AWAY):
        return Problem("away", headers={"retry-after": str(RETRY_SECONDS)})
    if isinstance(error, TimeoutError):
        return Problem("late", headers={"retry-after": str(RETRY_SECONDS)})
    if isinstance(error, NotSent):
        return _not_sent(error)
    if isinstance(error, (BadAddress, BadDraft)):
        return Problem("bad-value", {"field": "address", **_reason(error)})
    if isinstance(error, KeyReused):
        return Problem("key-reused")
    if isinstance(error, KeyInUse):
        seconds = error.retry_after
        return Problem("key-in-use", {"seconds": seconds}, headers={"retry-after": str(seconds)})
    if isinstance(error, AccountDisabled):
        return Problem("account-disabled")
    if isinstance(error, DirectoryError) and not isinstance(error, SignInRefused) and error.code in PROBLEMS:
        return Problem(error.code, error.facts)
    for kind in type(error).__mro__:
        if kind in _STORE:
            return Problem(_STORE[kind], _reason(error))
    return None


def invalid(error: ValidationError, where: str) -> Problem:
    """The problem of values that are not as the description says."""
    errors = [
        (".".join((where, *map(str, one["loc"])))[:200], one["type"])
        for one in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    ]
    return Problem("invalid", errors=errors)


def problem_response(problem: Problem, language: Language) -> Response:
    """Write a problem down."""
    status, title, detail = say(problem.code, language, problem.facts)
    body: dict[str, Any] = {
        "type": f"urn:postroad:problem:{problem.code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": problem.code,
    }
    if problem.errors:
        body["errors"] = [
            {"where": where, "code": word, "message": say_field(word, language)}
            for where, word in problem.errors
        ]
    headers = {**problem.headers, "content-language": "zh-CN" if language == "zh" else "en"}
    encoded = msgspec.json.encode(body)
    return Response(encoded, status, {**headers, "content-type": MEDIA_TYPE})


def _reason(error: Exception) -> dict[str, object]:
    return {"reason": str(error)}


def _not_sent(error: NotSent) -> Problem:
    reason = error.reply.text.splitlines()[0] if error.reply.text else str(error.reply.code)
    if error.refused:
        reason = f"{error.refused[0].recipient.address}: {reason}"
    if error.reply.is_temporary and not error.refused:
        return Problem("away", headers={"retry-after": str(RETRY_SECONDS)})
    return Problem("not-sent", {"reason": reason})
