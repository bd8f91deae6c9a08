"""The road to a database on another machine: encrypted, and to the one that is meant (libpq's `sslmode`)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from postroad.cli.checks.finding import Finding

# What every mail and password hash crosses; less than this encrypts at most, for whoever answers (asyncpg's
# default, `prefer`, is content with plain text).
WANTED = "verify-full"


def check_dsn(dsn: str, environment: Mapping[str, str]) -> list[Finding]:
    """Look at the settings' `database`; nothing to say of the embedded one."""
    if "://" not in dsn:
        return []
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    hosts = [*_hosts(parts.netloc.rpartition("@")[2]), *query.get("host", [])]
    away = [host for host in hosts if not _is_here(host)]
    if not away:
        return []
    mode = query.get("sslmode", [environment.get("PGSSLMODE", "")])[-1].lower()
    facts = {"host": ", ".join(away), "mode": mode or "prefer"}
    if mode == WANTED:
        return [Finding("database", "tls", "ok", "database-verified", facts)]
    return [Finding("database", "tls", "warn", "database-not-verified", facts)]


def _hosts(netloc: str) -> list[str]:
    """The hosts of `host:port,[v6]:port,%2Fa%2Fsocket`."""
    hosts = []
    for each in netloc.split(","):
        text = unquote(each)
        host = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
        if host:
            hosts.append(host)
    return hosts


def _is_here(host: str) -> bool:
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
