"""The demo before a server starts: the services it is put in by, and what is printed about it.

Builds just the parts it needs on a database of its own connection; nobody listens for changes yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from postroad.config import Settings
from postroad.db.migrate import migrate
from postroad.db.pool import Database
from postroad.demo.seed import Demo, DemoAccount, House
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.mailstore.append import Append
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import FolderChanged
from postroad.mailstore.folders import Folders, ensure_defaults_in
from postroad.mailstore.messages import Messages


class _NobodyListens:
    """A sink of changes before any server runs; a server that does run on this database looks for itself."""

    def announce(self, changes: Iterable[FolderChanged]) -> None:
        """Forget them."""


async def prepare(settings: Settings, dsn: str) -> list[DemoAccount]:
    """Bring the database up to date, make what is missing of the demo, and return who can sign in.

    Raises `DatabaseUnavailable`, and what `migrate` raises.
    """
    await migrate(dsn)
    hashing = PasswordHashing()
    try:
        async with Database(dsn, max_size=2) as database:
            accounts = Accounts(database, Outbox(), hashing, ensure_defaults_in)
            messages = Messages(database, Blobs(settings.blob_location), settings.storage.inline_bytes)
            house = House(
                domains=Domains(database, accounts, _now),
                accounts=accounts,
                aliases=Aliases(database),
                lists=DistributionLists(database),
                folders=Folders(database, _NobodyListens()),
                append=Append(database, messages, _NobodyListens(), _now),
                clock=_now,
            )
            return await Demo(house, settings.data_dir).seed()
    finally:
        hashing.close()


def _now() -> datetime:
    return datetime.now(UTC)


def introduction(settings: Settings, accounts: Sequence[DemoAccount]) -> str:
    """What a person needs to look around: addresses and passwords, in English and Chinese."""
    doors = [
        ("Webmail 网页邮箱", f"http://{settings.listen.http}/mail" if settings.listen.http else ""),
        ("Webmail, TLS", f"https://{settings.listen.https}/mail" if settings.listen.https else ""),
        ("SMTP", settings.listen.smtp),
        ("Submission 提交", settings.listen.submission),
        ("Submission, TLS", settings.listen.submissions),
        ("IMAP", settings.listen.imap),
        ("IMAP, TLS", settings.listen.imaps),
        ("POP3", settings.listen.pop3),
        ("POP3, TLS", settings.listen.pop3s),
    ]
    lines = ["", "  Postroad 驿路 · demo 演示", ""]
    lines += [f"  {_padded(name, 20)} {where}" for name, where in doors if where]
    lines += ["", "  Demo accounts and passwords 演示账号与密码:", ""]
    lines += [
        f"  {_padded(account.name, 20)} {account.address:<36} {account.password}" for account in accounts
    ]
    return "\n".join([*lines, ""])


def _padded(text: str, width: int) -> str:
    """`text` filled up to `width` columns of a terminal, where Chinese letters take two."""
    taken = sum(2 if "\u2e80" <= letter <= "\uffef" else 1 for letter in text)
    return text + " " * max(0, width - taken)
