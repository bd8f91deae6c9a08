"""Logs: one line an event with its fields, on standard error; nothing secret ever reaches the line.

The standard library's logging (uvicorn, asyncio) goes the same way.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from postroad.config import Log

REDACTED = "[redacted]"
DEEPEST = 6  # levels of nested fields that are looked through; deeper ones are replaced as a whole

# A field of this name is never shown, whatever it holds.
_SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase)?(?!ed|es|ing)|pwd|secret|token|authori[sz]ation|cookie|credential|"
    r"private_?key|api_?key|csrf|signature|^old$|^new_?pw$",
    re.IGNORECASE,
)
# Inside other text: what follows such a name in a query string, header, JSON or a settings file.
_SECRET_TEXT = (
    (
        re.compile(
            r"""((?:pass(?:word|wd)?|pwd|secret|token|old|api_?key|csrf|sid|sign)["']?\s*[=:]\s*)"""
            r"""("[^"]*"|'[^']*'|[^\s&;,"'<>]+)""",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(r"((?:proxy-)?authorization|(?:set-)?cookie)(\W{1,4})[^\r\n]+", re.IGNORECASE),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(r"\b((?:basic|bearer)\s+)[\w+/=.~-]{4,}", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\b(AUTH\s+(?:PLAIN|LOGIN)\s+)\S+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@", re.IGNORECASE), rf"\1{REDACTED}@"),
)


def redact_text(text: str) -> str:
    """Replace what looks like a secret inside a text."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _redact(value: object, depth: int = 0) -> object:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return redact_text(bytes(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, bool | int | float | None):
        return value
    if depth >= DEEPEST:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            str(key): REDACTED if _SECRET_NAME.search(str(key)) else _redact(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact(item, depth + 1) for item in value]
    return redact_text(str(value))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that every line passes last before it is written."""
    return {
        key: REDACTED if key != "event" and _SECRET_NAME.search(key) else _redact(value)
        for key, value in event.items()
    }


class _StandardError:
    """Standard error as it is when a line is written: whoever replaces it later gets the lines too."""

    def write(self, text: str) -> int:
        """Write one line."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Pass on what is held back."""
        sys.stderr.flush()


def configure(settings: Log, **fields: object) -> None:
    """Set up all logging of this process; `fields` (such as worker=2) stand in every line."""

    def add_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # text: local variables could hold secrets
        redact,
    ]
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, renderer],
        )
    )
    # uvicorn warns of every request of a scanner that is no HTTP.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
