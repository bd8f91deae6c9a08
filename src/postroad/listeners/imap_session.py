"""One IMAP session: commands in, answers out, and what every command shares.

What commands do is in the `imap_…` files beside this one; each is a coroutine that gets the session and the
command, says its untagged lines, and returns the text of its OK. No SQL and no business rule here. RFC 9051.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from postroad.db.pool import DatabaseUnavailable
from postroad.directory.principals import Principal
from postroad.listeners.access_metrics import AccessDoorMetrics
from postroad.listeners.access_sign_in import AccessSignIn
from postroad.listeners.budget import ContentBudget
from postroad.listeners.connection import Connection, Draining, Farewell, Gone, Silent
from postroad.listeners.limits import Network, is_within
from postroad.listeners.tls import ServerTls
from postroad.mailstore import errors
from postroad.mailstore.append import Append
from postroad.mailstore.breath import Breath
from postroad.mailstore.changes import Changes
from postroad.mailstore.entries import Entries
from postroad.mailstore.exact_search import ExactSearch
from postroad.mailstore.folders import Folders
from postroad.mailstore.quota import Quota
from postroad.mailstore.views import EntryState, News, Opened, Views
from postroad.protocols.imap import wire
from postroad.protocols.imap.capabilities import capabilities
from postroad.protocols.imap.commands import Command, Refused, parse_command
from postroad.protocols.imap.errors import ImapBad, ImapNo, ImapRefusal
from postroad.protocols.imap.framing import Continue, Framing, RawCommand, TooLarge
from postroad.protocols.imap.sequences import written
from postroad.protocols.imap.states import BY_NUMBER, COMMANDS, NUMBERING, State
from postroad.protocols.imap.view import View

SIGN_IN_SECONDS = 60.0  # silence of somebody who is nobody yet; Dovecot login_idle_timeout has 3 minutes
LOOK_SECONDS = 1.0  # a busy client is told of others' changes at least so often
FLUSHED_BYTES = 64 * 1024  # of an answer gathered before it is written
MAX_ERRORS = 50  # BADs in a row, of somebody signed in; a program gone wrong, not a person
MAX_ERRORS_OF_NOBODY = 10
MAX_SIGN_INS = 5  # guesses a connection; the limits over connections are the directory's


@dataclass(frozen=True, slots=True)
class MailServices:
    """The services of the mail store that IMAP speaks for."""

    folders: Folders
    entries: Entries
    append: Append
    quota: Quota
    views: Views
    search: ExactSearch
    changes: Changes


@dataclass(frozen=True, slots=True)
class ImapDoor:
    """What all sessions of one door share. `plain_auth_networks`: passwords are taken there without TLS."""

    hostname: str
    version: str
    plain_auth_networks: Sequence[Network]
    sign_in: AccessSignIn
    store: MailServices
    budget: ContentBudget
    metrics: AccessDoorMetrics
    tls: ServerTls | None
    largest_mail: int
    idle_seconds: float
    sign_in_seconds: float = SIGN_IN_SECONDS


class Selected:
    """The folder in hand: the client's picture of it, and up to where that was told."""

    __slots__ = (
        "folder_id", "is_read_only", "keywords", "looked_at", "mod_sequence", "name", "pending", "uid_next",
        "uid_validity", "view",
    )  # fmt: skip

    def __init__(self, opened: Opened, is_read_only: bool) -> None:
        self.folder_id = opened.folder_id
        self.name = opened.name
        self.uid_validity = opened.uid_validity
        self.is_read_only = is_read_only
        self.view = View(opened.uids)
        self.mod_sequence = opened.mod_sequence
        self.uid_next = opened.uid_next
        self.keywords = set(opened.keywords)
        self.pending: set[int] = set()  # gone from the store, not yet told
        self.looked_at = 0.0


@dataclass(slots=True)
class Features:
    """What the client has asked for; each stays until the session ends (RFC 9051 6.3.1)."""

    is_rev2: bool = False
    is_utf8: bool = False
    is_condstore: bool = False
    is_qresync: bool = False
    is_uidonly: bool = False
    enabled: set[str] = field(default_factory=set)


class ImapSession:
    """One session, from the greeting to the end."""

    def __init__(
        self,
        door: ImapDoor,
        connection: Connection,
        handlers: Mapping[str, Handler],
        clock: Callable[[], float],
    ) -> None:
        """`handlers` says which coroutine serves which command; `clock` counts seconds."""
        self.door = door
        self._handlers = handlers
        self.connection = connection
        self.log = structlog.get_logger("imap")
        self.state = State.NOBODY
        self.features = Features()
        self.principal: Principal | None = None
        self.selected: Selected | None = None
        self.sign_ins = 0
        self._clock = clock
        self._framing = Framing(door.largest_mail)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._share = door.budget.share(connection.client, connection)
        self._unwatch: Callable[[], None] | None = None
        self.breath = Breath()
        self._errors = 0
        self.compresses = False  # once this command's answer is out

    # -- what commands use

    @property
    def account_id(self) -> int:
        """Who is signed in."""
        assert self.principal is not None
        return self.principal.account_id

    def has_ended(self) -> bool:
        """Whether the session is over once everything is sent."""
        return self.state is State.ENDED

    @property
    def is_utf8(self) -> bool:
        """Whether names and strings may be UTF-8."""
        return self.features.is_utf8 or self.features.is_rev2

    @property
    def takes_passwords(self) -> bool:
        """Whether a password may travel here."""
        return self.connection.is_tls or is_within(self.connection.client, self.door.plain_auth_networks)

    def folder(self) -> Selected:
        """The selected folder."""
        assert self.selected is not None
        return self.selected

    def capabilities(self) -> list[str]:
        """What is announced now."""
        return capabilities(
            is_signed_in=self.principal is not None,
            offers_starttls=self.door.tls is not None and not self.connection.is_tls,
            takes_passwords=self.takes_passwords,
            append_limit=self.door.largest_mail,
        )

    def say(self, text: str) -> None:
        """Write a line."""
        self.write(f"{text}\r\n".encode())

    def write(self, data: bytes) -> None:
        """Write bytes, with the next ones."""
        self._out.append(data)
        self._out_bytes += len(data)

    async def pace(self) -> None:
        """Between the pieces of a long answer: send what is gathered, wait for a client that is behind, and
        let others be served.
        """
        await self.breath()
        if self._out_bytes >= FLUSHED_BYTES:
            self.flush()
            await self.connection.drained()

    def flush(self) -> None:
        """Send what is gathered."""
        if self._out:
            self.connection.write(b"".join(self._out))
            self._out.clear()
            self._out_bytes = 0

    async def read_line(self, limit: int, seconds: float) -> bytes:
        """Return a line that is no command. Raises `Gone`, `Silent`, `Draining`."""
        while (line := self._framing.take_line(limit)) is None:
            self.flush()
            self._framing.feed(await self.connection.read(seconds))
        return line

    def take_waiting(self) -> None:
        """Hand what the connection has to the framing."""
        if self.connection.has_unread:
            self._framing.feed(self.connection.take())

    def take_line(self, limit: int) -> bytes | None:
        """A line that is there already."""
        return self._framing.take_line(limit)

    def forget_input(self) -> None:
        """TLS begins: nothing said before it counts."""
        self._framing.clear()

    def unselect(self) -> None:
        """No folder is in hand any more."""
        if self.selected is not None:
            self.selected = None
            self.state = State.SIGNED_IN

    def signed_in(self, principal: Principal) -> None:
        """Somebody is known. Raises `ImapNo` when the account has too many connections."""
        if not self.connection.settle(principal.principal_id):
            raise ImapNo("Too many connections of this account", "LIMIT")
        self.principal = principal
        self._unwatch = self.door.sign_in.watch(principal, self.connection.dismiss)
        self.state = State.SIGNED_IN
        self._framing.is_signed_in = True
        self.log.info("imap.signed-in", account=str(principal.address), client=self.connection.client)

    # -- the loop

    async def run(self) -> None:
        """Serve until either side ends it."""
        self.say(f"* OK [CAPABILITY {' '.join(self.capabilities())}] {self.door.hostname} ready")
        try:
            while self.state is not State.ENDED:
                framed = self._framing.next()
                self._hold(self._framing.held)
                match framed:
                    case None:
                        await self._listen()
                    case Continue():
                        self.say("+ Go on")
                        self.flush()
                    case TooLarge():
                        self._refuse_large(framed)
                    case RawCommand():
                        self._hold(self._framing.held + sum(map(len, framed.pieces)))
                        await self._answer(framed)
                # Neither what waits unread nor a command that asks nobody makes this task wait by itself.
                await self.breath()
            self.flush()
        except Gone:
            return
        except Silent:
            self.door.metrics.timed_out.inc()
            self._end("Nothing was heard for too long")
        except Draining as reason:
            self._end(str(reason), _FAREWELL_CODES[reason.farewell])
        finally:
            self._share.hold(0)
            if self._unwatch is not None:
                self._unwatch()

    async def _listen(self) -> None:
        self.flush()
        await self.connection.drained()
        if self._framing.is_mid_command:
            self.connection.acknowledge()
        patience = self.door.sign_in_seconds if self.principal is None else self.door.idle_seconds
        self._framing.feed(await self.connection.read(patience))

    def _end(self, text: str, code: str = "") -> None:
        self.state = State.ENDED
        self.say(f"* BYE {f'[{code}] ' if code else ''}{text}")
        self.flush()

    def _hold(self, held: int) -> None:
        if not self._share.hold(held):
            self._share.hold(0)
            raise Draining(Farewell.TOO_MUCH)

    def _refuse_large(self, refused: TooLarge) -> None:
        self.say(f"{refused.tag} BAD [{refused.code}] {refused.text}")
        self._count_error()
        if refused.is_fatal:
            self._end("That cannot be skipped")

    async def _answer(self, raw: RawCommand) -> None:
        known = COMMANDS[self.state]
        if self.features.is_uidonly:
            known -= NUMBERING
        try:
            command = parse_command(raw, known, is_utf8=self.is_utf8)
        except Refused as refused:
            why: ImapRefusal = refused.why
            if self.features.is_uidonly and refused.verb in NUMBERING:
                why = ImapBad("Numbers are not used any more", "UIDREQUIRED")  # RFC 9586 3
            self.write(why.line(refused.tag))
            self.door.metrics.answered(refused.verb or "unknown", why.status.lower())
            self._count_error()
            return
        self._errors = 0
        outcome = "ok"
        try:
            answer = await self._handlers[command.verb](self, command)
            await self._tell_news(command)
            if answer is not None:
                self.say(f"{command.tag} OK {answer}")
        except ImapRefusal as refusal:
            outcome = refusal.status.lower()
            self.write(refusal.line(command.tag))
        except errors.MailStoreError as refusal:
            outcome = "no"
            self.write(_refusal_of(refusal).line(command.tag))
        except DatabaseUnavailable:
            outcome = "no"
            self.write(ImapNo("The mails cannot be reached now", "UNAVAILABLE").line(command.tag))
        except (Gone, Silent, Draining):
            raise
        except Exception:
            # A mistake of ours ends a command, not a session; and never without a word.
            outcome = "no"
            self.log.exception("imap.failed", command=command.verb, client=self.connection.client)
            self.door.metrics.failures.inc()
            self.write(ImapNo("Something went wrong here", "SERVERBUG").line(command.tag))
        self.door.metrics.answered(command.verb, outcome)
        if self.connection.farewell is not None and self.state is not State.ENDED:
            raise Draining(self.connection.farewell)
        if self._out_bytes >= FLUSHED_BYTES or self.state is State.ENDED:
            self.flush()
            await self.connection.drained()
        if self.compresses and not self.connection.is_compressed:
            self.flush()
            self.connection.start_compression()

    def _count_error(self) -> None:
        self._errors += 1
        if self._errors >= (MAX_ERRORS if self.principal is not None else MAX_ERRORS_OF_NOBODY):
            self._end("Too many errors")

    # -- what others changed

    async def _tell_news(self, command: Command) -> None:
        """Before the tagged answer: tell what happened to the folder meanwhile."""
        selected = self.selected
        if selected is None or command.verb in _SILENT:
            return
        is_quick = command.verb in _QUICK
        if is_quick and self._clock() - selected.looked_at < LOOK_SECONDS:
            return
        await self.look(allows_expunge=command.verb not in BY_NUMBER)

    async def look(self, *, allows_expunge: bool) -> None:
        """Find out what changed in the folder, and tell it. Nothing is lost when this is cancelled."""
        selected = self.folder()
        selected.looked_at = self._clock()
        views = self.door.store.views
        now = await views.mod_sequence(self.account_id, selected.folder_id)
        news: News | None = None
        if now is None:
            self._end("The folder has been deleted")
            return
        if now > selected.mod_sequence:
            news = await views.news(self.account_id, selected.folder_id, selected.mod_sequence)
            vanished: Sequence[int] | None = news.vanished
            if vanished is None:
                there = set((await views.open(self.account_id, selected.folder_id)).uids)
                vanished = [uid for uid in selected.view.uids if uid not in there]
            if news.uid_validity != selected.uid_validity:
                self._end("The folder is another one now")
                return
            selected.pending.update(uid for uid in vanished if selected.view.sequence(uid) is not None)
        if allows_expunge and selected.pending:
            self.tell_expunged(selected.pending)
            selected.pending = set()
        if news is not None:
            self._tell_changed(selected, news)

    def tell_expunged(self, uids: set[int]) -> None:
        """Take mails out of the client's picture, and say so."""
        selected = self.folder()
        known = sorted(uid for uid in uids if selected.view.sequence(uid) is not None)
        numbers = selected.view.remove(known)
        if not known:
            return
        if self.features.is_qresync or self.features.is_uidonly:
            self.say(f"* VANISHED {written(known)}")  # RFC 7162 3.2.10
        else:
            self.write("".join(f"* {number} EXPUNGE\r\n" for number in numbers).encode())

    def _tell_changed(self, selected: Selected, news: News) -> None:
        fresh = [each.uid for each in news.changed if each.uid > selected.view.last_uid]
        known = [
            each
            for each in news.changed
            if each.uid <= selected.view.last_uid and each.uid not in selected.pending
        ]
        if fresh:
            selected.view.add(fresh)
            self.say(f"* {len(selected.view)} EXISTS")
        selected.uid_next = news.uid_next
        selected.mod_sequence = news.mod_sequence
        self.tell_flags(known)

    def tell_flags(self, states: Sequence[EntryState]) -> None:
        """Tell flags of mails that the client knows."""
        self.tell_keywords(word for each in states for word in each.keywords)
        for each in states:
            self.tell_state(each)

    def tell_state(self, each: EntryState, *, with_flags: bool = True, with_uid: bool = False) -> None:
        """Tell a mail's flags, and its mod-sequence to who asked for such."""
        number = self.folder().view.sequence(each.uid)
        if number is None:
            return
        features = self.features
        items = []
        if (with_uid or features.is_condstore or features.is_rev2) and not features.is_uidonly:
            items.append(f"UID {each.uid}")
        if with_flags:
            items.append(f"FLAGS {wire.flags(each.flags, each.keywords)}")
        if features.is_condstore:
            items.append(f"MODSEQ ({each.mod_sequence})")
        if features.is_uidonly:
            self.say(f"* {each.uid} UIDFETCH ({' '.join(items)})")
        else:
            self.say(f"* {number} FETCH ({' '.join(items)})")

    def tell_keywords(self, words: Any) -> None:
        """Before a keyword is told for the first time, the list of flags grows (RFC 9051 7.3.5)."""
        selected = self.folder()
        fresh = set(words) - selected.keywords
        if fresh:
            selected.keywords |= fresh
            self.say_flags()

    def say_flags(self) -> None:
        """FLAGS and PERMANENTFLAGS."""
        selected = self.folder()
        known = " ".join([*(name for _, name in wire.FLAG_NAMES), *sorted(selected.keywords)])
        self.say(f"* FLAGS ({known})")
        permanent = "" if selected.is_read_only else f"{known} \\*"
        self.say(f"* OK [PERMANENTFLAGS ({permanent})] What is kept")


Handler = Callable[[ImapSession, Any], Awaitable[str | None]]
_SILENT: Final = frozenset(
    ("SELECT", "EXAMINE", "CLOSE", "UNSELECT", "LOGOUT", "IDLE", "CAPABILITY", "ID", "ENABLE", "COMPRESS")
)
_QUICK: Final = frozenset(
    ("FETCH", "UID FETCH", "LIST", "LSUB", "STATUS", "NAMESPACE", "GETQUOTA", "GETQUOTAROOT", "SEARCH",
     "UID SEARCH", "SORT", "UID SORT", "THREAD", "UID THREAD")
)  # fmt: skip

# RFC 5530 3; LIMIT as in RFC 9051 7.1
_FAREWELL_CODES: Final = {
    Farewell.SHUTTING_DOWN: "UNAVAILABLE",
    Farewell.MAKING_ROOM: "UNAVAILABLE",
    Farewell.TOO_MUCH: "LIMIT",
    Farewell.NOT_ANY_MORE: "EXPIRED",
}
_CODES: Final[tuple[tuple[type[errors.MailStoreError], str], ...]] = (
    (errors.NoSuchFolder, "NONEXISTENT"),
    (errors.NoSuchMessage, "EXPUNGEISSUED"),
    (errors.FolderExists, "ALREADYEXISTS"),
    (errors.BadFolderName, "CANNOT"),
    (errors.FolderProtected, "CANNOT"),
    (errors.TooManyFolders, "LIMIT"),
    (errors.BadKeyword, "LIMIT"),
    (errors.TooMuchAsked, "LIMIT"),
    (errors.QuotaExceeded, "OVERQUOTA"),
    (errors.BlobMissing, "SERVERBUG"),
    (errors.BlobsUnavailable, "UNAVAILABLE"),
)


def _refusal_of(refusal: errors.MailStoreError) -> ImapNo:
    """The store's refusal in IMAP's words (RFC 5530)."""
    code = next((code for kind, code in _CODES if isinstance(refusal, kind)), "")
    text = str(refusal)
    return ImapNo(text[:1].upper() + text[1:], code)
