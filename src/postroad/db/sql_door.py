"""How OA systems reach the embedded database: as one role, by socket, and by TCP if that is opened.

Pure: from settings to the lines PostgreSQL reads. What the role may do is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from postroad.config import Settings
from postroad.db.binaries import ClusterFailed

PORT = 5432  # names the socket file; by TCP the operator's port, which then names the file as well


class BadDoor(ClusterFailed):
    """`oa.sql_listen` is not an address PostgreSQL can listen on."""


@dataclass(frozen=True, slots=True)
class SqlDoor:
    """Who may come besides the house itself, and where. `host` None is no TCP, "" every address.

    The certificate (PEM) is shown by PostgreSQL builds that can speak TLS.
    """

    role: str = "postroad_oa"
    host: str | None = None
    port: int = PORT
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def listen_addresses(self) -> str:
        """PostgreSQL's setting of that name."""
        return "" if self.host is None else self.host or "*"

    @property
    def mark(self) -> str:
        """A line by which a running cluster is known to have this very door."""
        return f"# door: {self.role} {self.listen_addresses or '-'} {self.port}\n"

    def hba(self, database: str) -> str:
        """The lines of pg_hba.conf: this role into this database with its password, nobody else."""
        # Quoted, names are never keywords such as "all".
        lines = [f'local "{database}" "{self.role}" scram-sha-256']
        if self.host is not None:
            lines.append(f'host "{database}" "{self.role}" all scram-sha-256')  # with TLS or without
        return "".join(f"{line}\n" for line in lines)


def sql_door(settings: Settings) -> SqlDoor:
    """The door that the settings ask for. Raises `BadDoor`."""
    text = settings.oa.sql_listen
    certificate = settings.tls.certificate
    if not text:
        return SqlDoor(settings.oa.sql_role)
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= 65535:
        raise BadDoor(f"oa.sql_listen = {text!r} is not of the form host:port")
    host = host.removeprefix("[").removesuffix("]")
    if any(letter in host for letter in "', \"\\\n"):
        raise BadDoor(f"oa.sql_listen = {text!r} names more than one host")
    if certificate is None:
        certificate = settings.data_dir / "tls" / "self-signed.pem"
    return SqlDoor(
        settings.oa.sql_role,
        "" if host == "*" else host,
        int(port),
        certificate,
        settings.tls.private_key or certificate,
    )
