"""All settings: one typed tree, from `postroad.toml` and `POSTROAD_*` variables (`POSTROAD_LISTEN__HTTP=…`).

Every key has a default and says its unit. Nothing else in the house reads the environment or a settings file.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from postroad.config.api import Api
from postroad.config.audit import AuditLog
from postroad.config.campaigns import CampaignSending
from postroad.config.ctrl import Ctrl
from postroad.config.delivery import Delivery
from postroad.config.edm import Edm
from postroad.config.imap import Imap
from postroad.config.listen import Listen
from postroad.config.log import Log
from postroad.config.notifications import Notifications
from postroad.config.oa import Oa
from postroad.config.pop3 import Pop3
from postroad.config.section import MEBIBYTE
from postroad.config.shaping import MAX_RULES, ShapingRule, are_apart
from postroad.config.sign_in import SignInLimits
from postroad.config.smtp import Smtp
from postroad.config.storage import Storage
from postroad.config.tls import Tls
from postroad.config.web import Web

_PREFIX = "POSTROAD_"


class Settings(BaseSettings):
    """The whole tree. Read it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path("data")
    hostname: str = Field(default_factory=socket.getfqdn)
    database: str = "embedded"
    blobs: str = ""  # a directory or "s3://…"; empty = data_dir/blobs
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    # Half mails, literals of IMAP, forms, mails on their way to slow readers: all together, a worker.
    content_bytes: int = Field(256 * MEBIBYTE, ge=64 * MEBIBYTE)
    drain_seconds: int = Field(25, gt=0)  # below the 30 s that most supervisors wait before SIGKILL
    listen: Listen = Listen()
    tls: Tls = Tls()
    smtp: Smtp = Smtp()
    imap: Imap = Imap()
    pop3: Pop3 = Pop3()
    ctrl: Ctrl = Ctrl()
    delivery: Delivery = Delivery()
    shaping: Annotated[tuple[ShapingRule, ...], Field(max_length=MAX_RULES), AfterValidator(are_apart)] = ()
    storage: Storage = Storage()
    sign_in: SignInLimits = SignInLimits()
    audit: AuditLog = AuditLog()
    web: Web = Web()
    oa: Oa = Oa()
    edm: Edm = Edm()
    notifications: Notifications = Notifications()
    api: Api = Api()
    campaigns: CampaignSending = CampaignSending()
    log: Log = Log()

    @field_validator("hostname")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _HOSTNAME.match(name):
            raise ValueError(f'{name!r} is no host name: write "mail.example.com"')
        return name

    @field_validator("database")
    @classmethod
    def _is_a_database(cls, text: str) -> str:
        if text != "embedded" and not text.startswith(("postgresql://", "postgres://")):
            raise ValueError('must be "embedded" or an address like "postgresql://user:password@host/name"')
        return text

    @field_validator("blobs")
    @classmethod
    def _is_a_place(cls, text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if separator and (scheme != "s3" or not rest.strip("/")):
            raise ValueError(f'{text!r} is no place for blobs: write a directory, or "s3://bucket/prefix"')
        return text

    @property
    def blob_location(self) -> str:
        """The blob store's directory or `s3://` address."""
        return self.blobs or str(self.data_dir / "blobs")


_HOSTNAME = re.compile(r"[^\x00-\x20\x7f/@:]{1,253}\Z")


class BadSettings(Exception):
    """The settings cannot be used; the message says which key and why."""


def load(file: Path | None = None) -> Settings:
    """Read `file` (default: `postroad.toml` here when there is one) and the environment over it.

    Relative paths in a file are meant from that file's directory. Raises `BadSettings`.
    """
    chosen = file if file is not None else Path("postroad.toml")
    if file is not None and not file.is_file():
        raise BadSettings(f"the settings file {file} does not exist")
    from_file: dict[str, Any] = {}
    if chosen.is_file():
        try:
            from_file = tomllib.loads(chosen.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadSettings(f"{chosen}: {error}") from error

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, init_settings

    _check_variables(os.environ)
    try:
        settings = FileSettings(**from_file)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(step) for step in problem['loc'])}: {_words(problem)}"
            for problem in error.errors()
        )
        raise BadSettings(f"{chosen if from_file else 'settings'}: {problems}") from error
    base = chosen.resolve().parent if from_file else Path.cwd()
    tls, delivery = settings.tls, settings.delivery
    found = {
        **dict(settings),
        "data_dir": base / settings.data_dir,
        "blobs": settings.blobs
        if "://" in settings.blobs or not settings.blobs
        else str(base / settings.blobs),
        "tls": tls.model_copy(
            update={"certificate": _from(base, tls.certificate), "private_key": _from(base, tls.private_key)}
        ),
        "delivery": delivery.model_copy(update={"relay_ca": _from(base, delivery.relay_ca)}),
    }
    return Settings.model_construct(**found)


def _from(base: Path, path: Path | None) -> Path | None:
    return None if path is None else base / path  # an absolute one stays what it is


def _words(problem: ErrorDetails) -> str:
    """What is wrong with one key, without pydantic's own beginning."""
    if problem["type"] == "extra_forbidden":
        return "there is no such setting"
    return problem["msg"].removeprefix("Value error, ")


def _check_variables(environment: Mapping[str, str]) -> None:
    """Find a mistyped `POSTROAD_*`; the library passes over what it does not know. Raises `BadSettings`."""
    for variable in environment:
        if not variable.upper().startswith(_PREFIX):
            continue
        key, nested, _ = variable[len(_PREFIX) :].lower().partition("__")
        if key in Settings.model_fields:
            continue
        close = get_close_matches(key, Settings.model_fields, 1)
        if nested or close:
            meant = f", perhaps {_PREFIX}{close[0].upper()}" if close else ""
            raise BadSettings(f"{variable}: there is no such setting{meant}")
