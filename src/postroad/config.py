"""All settings: one typed tree, from `postroad.toml` and `POSTROAD_*` variables (`POSTROAD_LISTEN__HTTP=…`).

Every key has a default and says its unit. Nothing else in the house reads the environment or a settings file.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

MEBIBYTE = 1024 * 1024
_HOST = re.compile(r"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class Section(BaseModel):
    """A table of the settings file: unknown keys are refused, so that a typing mistake is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(Section):
    """Where each door opens: `"host:port"`, `""` for off."""

    smtp: str = "127.0.0.1:2525"
    submission: str = "127.0.0.1:2587"
    submissions: str = "127.0.0.1:2465"
    imap: str = "127.0.0.1:2143"
    imaps: str = "127.0.0.1:2993"
    pop3: str = "127.0.0.1:2110"
    pop3s: str = "127.0.0.1:2995"
    http: str = "127.0.0.1:8025"
    https: str = "127.0.0.1:8443"
    ctrl: str = "127.0.0.1:6017"
    ctrls: str = "127.0.0.1:6018"


class Tls(Section):
    """The certificate shown at every door; without one a self-signed one is made in `data_dir/tls`."""

    certificate: Path | None = None
    private_key: Path | None = None


class Smtp(Section):
    """How mail is taken in."""

    max_size_bytes: int = Field(50 * MEBIBYTE, gt=0)
    max_recipients: int = Field(1000, ge=100)  # RFC 5321 4.5.3.1.8: at least 100
    max_connections: int = Field(2000, gt=0)  # a worker
    max_connections_per_address: int = Field(50, gt=0)
    idle_seconds: int = Field(300, gt=0)  # RFC 5321 4.5.3.2.7: at least 5 minutes
    session_seconds: int = Field(3600, gt=0)
    accept_deadline_seconds: int = Field(60, gt=0)
    plain_auth_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    relay_networks: tuple[IPv4Network | IPv6Network, ...] = ()  # may relay without signing in
    # Clients without a limit of connections per address.
    unlimited_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK


class Delivery(Section):
    """How mail leaves."""

    relay: str = ""  # smart host "host:port"; empty = MX
    relay_username: str = ""
    relay_password: str = Field("", repr=False)
    mx_port: int = 25
    resolver: str = ""  # "host:port"; empty = the system's
    max_connections_per_destination: int = Field(10, gt=0)
    max_messages_per_connection: int = Field(1000, gt=0)
    max_concurrent: int = Field(200, gt=0)  # connections a worker
    lease_seconds: int = Field(600, gt=0)
    lifetime_seconds: int = Field(5 * 86400, gt=0)  # RFC 5321 4.5.4.1: 4 to 5 days
    delay_notice_seconds: int = Field(4 * 3600, gt=0)
    tls: Literal["opportunistic", "off"] = "opportunistic"


class Storage(Section):
    """Where the bytes of mails rest."""

    inline_bytes: int = Field(64 * 1024, ge=0)  # larger bodies go to the blob store
    durability: Literal["flushed", "written"] = "flushed"  # "written": a power cut loses the last half second


class SignInLimits(Section):
    """Brute-force limits, counted over all doors together."""

    account_failures: int = Field(10, gt=0)
    client_failures: int = Field(50, gt=0)
    window_seconds: int = Field(900, gt=0)
    block_seconds: int = Field(900, gt=0)


class Web(Section):
    """The pages."""

    session_seconds: int = Field(14 * 86400, gt=0)
    max_upload_bytes: int = Field(35 * MEBIBYTE, gt=0)  # all attachments of one mail
    metrics_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK  # who may read /metrics
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # whose X-Forwarded-For is believed


class Integration(Section):
    """A program that signs people in with tickets of its own at `/sso`."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    secret: str = Field(min_length=32, repr=False)  # RFC 7518 3.2: as long as the hash
    domains: tuple[str, ...] = Field(min_length=1)  # whose accounts it may sign in; "*" = all

    @field_validator("domains")
    @classmethod
    def _lower(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(domain.lower() for domain in domains)


class Oa(Section):
    """What OA systems use: sign-on from their pages, and SQL access of a role of their own."""

    redirect_hosts: tuple[str, ...] = ()  # whose absolute addresses password.asp may lead to
    md5_login: bool = True  # login.asp also takes the MD5 of a password
    integrations: tuple[Integration, ...] = Field((), max_length=50)  # who may sign tickets for /sso
    sql_listen: str = ""  # "host:port" of the embedded database for the OA's role; "" = its socket only
    sql_role: str = Field("postroad_oa", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    sql_connections: int = Field(20, gt=0)
    sql_statement_seconds: int = Field(30, gt=0)
    timezone: str = ""  # of dates in the tables, such as "Asia/Shanghai"; "" = the server's
    websent_days: int = Field(30, gt=0)  # how long rows are kept once they are done

    @field_validator("redirect_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.match(host):
                raise ValueError(f"{host!r} is no host: write it like oa.example.com or oa.example.com:8080")
        return tuple(host.lower() for host in hosts)

    @field_validator("integrations")
    @classmethod
    def _apart(cls, integrations: tuple[Integration, ...]) -> tuple[Integration, ...]:
        for field in ("name", "secret"):
            if len({getattr(each, field) for each in integrations}) != len(integrations):
                raise ValueError(f"two integrations have the same {field}")
        return integrations


class Log(Section):
    """One line an event, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


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
    delivery: Delivery = Delivery()
    storage: Storage = Storage()
    sign_in: SignInLimits = SignInLimits()
    web: Web = Web()
    oa: Oa = Oa()
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
