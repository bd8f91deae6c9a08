"""All settings: one typed tree, from `postroad.toml` and `POSTROAD_*` variables (`POSTROAD_LISTEN__HTTP=…`).

Every key has a default and says its unit. Nothing else in the house reads the environment or a settings file.
"""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from postroad.config.api import Api
from postroad.config.audit import AuditLog
from postroad.config.campaigns import CampaignSending
from postroad.config.delivery import Delivery
from postroad.config.edm import Edm
from postroad.config.imap import Imap
from postroad.config.listen import Listen
from postroad.config.log import Log
from postroad.config.oa import Oa
from postroad.config.pop3 import Pop3
from postroad.config.shaping import MAX_RULES, ShapingRule, are_apart
from postroad.config.sign_in import SignInLimits
from postroad.config.smtp import Smtp
from postroad.config.storage import Storage
from postroad.config.tls import Tls
from postroad.config.web import Web


class Settings(BaseSettings):
    """The whole tree. Read it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix="POSTROAD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Path("data")
    hostname: str = Field(default_factory=socket.getfqdn)
    database: str = "embedded"
    blobs: str = ""  # a directory or "s3://…"; empty = data_dir/blobs
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    drain_seconds: int = Field(25, gt=0)  # below the 30 s that most supervisors wait before SIGKILL
    listen: Listen = Listen()
    tls: Tls = Tls()
    smtp: Smtp = Smtp()
    imap: Imap = Imap()
    pop3: Pop3 = Pop3()
    delivery: Delivery = Delivery()
    shaping: Annotated[tuple[ShapingRule, ...], Field(max_length=MAX_RULES), AfterValidator(are_apart)] = ()
    storage: Storage = Storage()
    sign_in: SignInLimits = SignInLimits()
    audit: AuditLog = AuditLog()
    web: Web = Web()
    oa: Oa = Oa()
    edm: Edm = Edm()
    api: Api = Api()
    campaigns: CampaignSending = CampaignSending()
    log: Log = Log()

    @property
    def blob_location(self) -> str:
        """The blob store's directory or `s3://` address."""
        return self.blobs or str(self.data_dir / "blobs")


class BadSettings(Exception):
    """The settings cannot be used; the message says which key and why."""


def load(file: Path | None = None) -> Settings:
    """Read `file` (default: `postroad.toml` here when there is one) and the environment over it.

    A relative `data_dir` in a file is meant from that file's directory. Raises `BadSettings`.
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

    try:
        settings = FileSettings(**from_file)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise BadSettings(f"{chosen if from_file else 'settings'}: {problems}") from error
    base = chosen.resolve().parent if from_file else Path.cwd()
    data_dir = settings.data_dir if settings.data_dir.is_absolute() else base / settings.data_dir
    return Settings.model_construct(**{**dict(settings), "data_dir": data_dir})
