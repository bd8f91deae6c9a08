"""Where a command works: its settings, the database, the services, and the words for what goes wrong.

A command never asks whether the server runs: the embedded database is shared by whoever needs it, and
started when nobody has it. What is opened here is closed here.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from postroad.cli.words import Language, explain, say

if TYPE_CHECKING:
    from postroad.campaigns.service import Campaigns
    from postroad.config import Settings
    from postroad.db.cluster import Cluster
    from postroad.db.pool import Database
    from postroad.directory.addresses.accounts import Accounts
    from postroad.directory.addresses.aliases import Aliases
    from postroad.directory.addresses.domains import Domains
    from postroad.directory.addresses.lists import DistributionLists
    from postroad.directory.identity.administrators import Administrators
    from postroad.directory.identity.application_passwords import ApplicationPasswords
    from postroad.directory.identity.audit import Actor, Audit
    from postroad.directory.identity.control_accounts import ControlAccounts
    from postroad.directory.identity.integrations import Integrations
    from postroad.directory.identity.tokens import Tokens

MAX_LINE = 4096  # of what is read as one line from standard input


@dataclass(frozen=True, slots=True)
class Options:
    """What every command takes."""

    config: Path | None
    is_json: bool
    is_sure: bool
    language: Language


class Failed(Exception):
    """A command could not do its work; `code` is a word of the catalogue."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown: what is wrong, and what to do."""

    code: str
    message: str
    hint: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Directory:
    """The services of the directory."""

    database: Database
    domains: Domains
    accounts: Accounts
    aliases: Aliases
    lists: DistributionLists
    application_passwords: ApplicationPasswords
    administrators: Administrators
    control_accounts: ControlAccounts
    tokens: Tokens
    integrations: Integrations
    audit: Audit


@dataclass(frozen=True, slots=True)
class Deed:
    """What a command is about to change, for the audit log."""

    action: str
    subject: str
    facts: Mapping[str, object]


class Desk:
    """What a command has in reach."""

    def __init__(self, options: Options, deed: Deed | None = None) -> None:
        self.options = options
        self._deed = deed
        self._giver = ""  # who gave the command, before it became somebody else

    @property
    def language(self) -> Language:
        """The language of messages."""
        return self.options.language

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises `BadSettings`."""
        from postroad.config import load

        return load(self.options.config)

    def act_as_owner(self, *, is_server: bool) -> None:
        """Become who has the data directory, when root gives the command. Raises `NotTheOwner`."""
        import os

        from postroad.db.ownership import COMMANDS_KEEP, SERVER_KEEPS, act_as_owner, check_programs

        settings = self.settings
        self._giver = _login_name()
        if os.geteuid() != 0 and settings.database != "embedded":
            return  # somebody else's directory is not needed for a command
        act_as_owner(settings.data_dir, SERVER_KEEPS if is_server else COMMANDS_KEEP, children_too=is_server)
        if is_server:
            check_programs()

    @property
    def settings_file(self) -> Path | None:
        """The file that the settings come from, if there is one."""
        file = self.options.config or Path("postroad.toml")
        return file if file.is_file() else None

    def say(self, word: str, **facts: object) -> str:
        """Return a text of the catalogue."""
        return say(word, self.language, **facts)

    def clock(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def cluster(self) -> Cluster | None:
        """The embedded cluster, not yet in use; None when the database is somewhere else."""
        if self.settings.database != "embedded":
            return None
        from postroad.db.cluster import Cluster
        from postroad.db.sql_door import sql_door

        return Cluster(self.settings.data_dir, door=sql_door(self.settings))

    @asynccontextmanager
    async def dsn(self) -> AsyncIterator[str]:
        """Keep the database running and give its DSN."""
        import asyncio

        quiet_logs()
        cluster = self.cluster()
        if cluster is None:
            yield self.settings.database
            return
        try:
            yield await asyncio.to_thread(cluster.ensure_running)
        finally:
            await asyncio.to_thread(cluster.leave)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Open the database, brought up to this release's schema."""
        from postroad.db.migrate import migrate
        from postroad.db.pool import Database

        async with self.dsn() as dsn:
            await migrate(dsn)
            async with Database(dsn, max_size=4) as database:
                yield database
                await self._note(database)

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[Directory]:
        """Open the services of the directory."""
        from postroad.directory.addresses.accounts import Accounts
        from postroad.directory.addresses.aliases import Aliases
        from postroad.directory.addresses.domains import Domains
        from postroad.directory.addresses.lists import DistributionLists
        from postroad.directory.identity.administrators import Administrators
        from postroad.directory.identity.application_passwords import ApplicationPasswords
        from postroad.directory.identity.audit import Audit
        from postroad.directory.identity.control_accounts import ControlAccounts
        from postroad.directory.identity.integrations import Integrations
        from postroad.directory.identity.tokens import Tokens
        from postroad.directory.passwords import PasswordHashing
        from postroad.events.outbox import Outbox
        from postroad.mailstore.folders import ensure_defaults_in

        async with self.database() as database:
            hashing = PasswordHashing()
            try:
                accounts = Accounts(database, Outbox(), hashing, ensure_defaults_in)
                yield Directory(
                    database,
                    Domains(database, accounts, self.clock),
                    accounts,
                    Aliases(database),
                    DistributionLists(database),
                    ApplicationPasswords(database),
                    Administrators(database, hashing),
                    ControlAccounts(database, hashing),
                    Tokens(database),
                    Integrations(database, hashing),
                    Audit(database, timedelta(days=self.settings.audit.days)),
                )
            finally:
                hashing.close()

    @property
    def actor(self) -> Actor:
        """Who gives the command, for the audit log."""
        from postroad.directory.identity.audit import OPERATOR, Actor

        return Actor(OPERATOR, None, self._giver or _login_name())

    async def _note(self, database: Database) -> None:
        """Write the deed, which is done, to the audit log."""
        deed, self._deed = self._deed, None
        if deed is None:
            return
        import structlog

        from postroad.db.pool import DatabaseUnavailable
        from postroad.directory.identity.audit import record_in

        try:
            async with database.transaction() as connection:
                await record_in(connection, self.actor, deed.action, deed.subject, **deed.facts)
        except DatabaseUnavailable as error:  # done all the same: the command must not say otherwise
            structlog.get_logger("postroad.cli").warning("audit-not-written", reason=str(error))

    @asynccontextmanager
    async def campaigns(self) -> AsyncIterator[Campaigns]:
        """Open the services of the campaign platform."""
        from postroad.campaigns.sending.halting import Halting
        from postroad.campaigns.service import open_campaigns
        from postroad.db.notify import Announcer
        from postroad.directory.passwords import PasswordHashing
        from postroad.dns.lookups import Lookups

        async with self.database() as database, Announcer(database) as announcer:
            hashing, lookups = PasswordHashing(), Lookups(self.settings.delivery.resolver)
            orders = Halting(database, announcer)
            try:
                yield open_campaigns(
                    database, hashing, lookups, self.settings.edm, self.settings.hostname, orders
                )
            finally:
                await lookups.close()
                hashing.close()

    def confirm(self, question: str, **facts: object) -> None:
        """Ask a person before something is lost; a program is not asked. Raises `Failed`."""
        if self.options.is_sure or self.options.is_json or not sys.stdin.isatty():
            return
        sys.stderr.write(self.say(question, **facts) + " [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "是"):
            raise Failed("not-confirmed")

    def password(self, *, from_stdin: bool) -> str:
        """Read a password: one line of standard input, or asked twice at a terminal. Raises `Failed`."""
        if from_stdin:
            line = sys.stdin.readline(MAX_LINE).rstrip("\r\n")
            if not line:
                raise Failed("no-password-on-stdin")
            return line
        if not sys.stdin.isatty():
            raise Failed("password-needed")
        from getpass import getpass

        first = getpass(self.say("ask-password"))
        if getpass(self.say("ask-password-again")) != first:
            raise Failed("passwords-differ")
        return first

    def explain(self, error: Exception) -> Failure | None:
        """Put an expected error into words; None for one that is a mistake of ours."""
        if isinstance(error, Failed):
            return Failure(error.code, *explain(error.code, "", self.language, error.facts), error.facts)
        code, facts = _code_of(error)
        if code is None:
            return None
        return Failure(code, *explain(code, str(error), self.language, facts), facts)


def _code_of(error: Exception) -> tuple[str | None, Mapping[str, object]]:
    """Name an error without importing the room that it comes from: whoever raised it has done so."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and type(error).__module__.startswith("postroad."):
        return code, getattr(error, "facts", {})
    for kind in type(error).__mro__:
        known = ERRORS.get(f"{kind.__module__}.{kind.__qualname__}")
        if known is not None:
            return known, {}
    return None, {}


ERRORS = {
    "postroad.config.settings.BadSettings": "bad-settings",
    "postroad.campaigns.contacts.files.reading.UnreadableFile": "unreadable-file",
    "postroad.db.ownership.NotTheOwner": "not-the-owner",
    "postroad.db.binaries.ClusterFailed": "database-not-started",
    "postroad.db.binaries.ClusterDiskFull": "disk-full",
    "postroad.db.dump.DumpFailed": "dump-failed",
    "postroad.server.archive.BadArchive": "bad-archive",
    "postroad.server.backup.NotEmpty": "not-empty",
    "postroad.server.backup.ServerRuns": "server-runs",
    "postroad.db.migrate.SchemaTooNew": "schema-too-new",
    "postroad.db.migrate.SchemaChanged": "schema-changed",
    "postroad.db.migrate.MigrationFailed": "migration-failed",
    "postroad.db.pooler.PoolerInTheWay": "pooler-in-the-way",
    "postroad.db.pool.DatabaseUnavailable": "database-unavailable",
    "postroad.mailstore.errors.BlobMissing": "blob-missing",
    "postroad.mailstore.errors.BlobsFull": "disk-full",
    "postroad.mailstore.errors.BlobsUnavailable": "blobs-unavailable",
    "postroad.mailstore.errors.MailStoreError": "store-refused",
    "postroad.mailstore.importing.NothingToImport": "nothing-to-import",
    "postroad.transport.queue.queued_mails.NoSuchQueuedMail": "no-such-queued-mail",
    "postroad.message.address.BadAddress": "bad-address",
    "builtins.OSError": "file-trouble",
}


def _login_name() -> str:
    import getpass
    import os

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"


def quiet_logs() -> None:
    """Send what the rooms log, warnings and worse, to standard error: the answer has the other."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
