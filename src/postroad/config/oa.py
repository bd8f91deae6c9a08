"""`[oa]`: What OA systems use."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from postroad.config.section import MEBIBYTE, Section

_HOST = re.compile(r"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")


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
    # On whose pages forms and links may sign somebody on in place of somebody else without a question;
    # `redirect_hosts` are meant as well.
    sign_on_hosts: tuple[str, ...] = ()
    md5_login: bool = True  # login.asp also takes the MD5 of a password
    integrations: tuple[Integration, ...] = Field((), max_length=50)  # who may sign tickets for /sso
    sql_listen: str = ""  # "host:port" of the embedded database for the OA's role; "" = its socket only
    sql_role: str = Field("postroad_oa", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    sql_connections: int = Field(20, gt=0)
    sql_statement_seconds: int = Field(30, gt=0)
    sql_memory_bytes: int = Field(256 * MEBIBYTE, gt=0)  # one session, embedded database
    sql_rows_bytes: int = Field(10 * 1024 * MEBIBYTE, gt=0)  # of `websent` and `websentattach` together
    timezone: str = ""  # of dates in the tables, such as "Asia/Shanghai"; "" = the server's
    websent_days: int = Field(30, gt=0)  # how long rows are kept once they are done

    @field_validator("redirect_hosts", "sign_on_hosts")
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
