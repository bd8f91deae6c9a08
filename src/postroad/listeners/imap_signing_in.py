"""IMAP before and around signing in: who is there, what is offered, TLS, compression.

RFC 9051 6.1 and 6.2, RFC 2971 (ID), RFC 4959 (SASL-IR), RFC 4978 (COMPRESS), RFC 5161 (ENABLE).
"""

from __future__ import annotations

from postroad.listeners.access import HANDSHAKE_SECONDS
from postroad.listeners.access_sign_in import Refused, Why
from postroad.listeners.connection import Gone
from postroad.listeners.imap_session import MAX_SIGN_INS, ImapSession
from postroad.protocols import sasl
from postroad.protocols.imap import wire
from postroad.protocols.imap.commands import Authenticate, Command, Id, Login, Words
from postroad.protocols.imap.errors import ImapBad, ImapNo
from postroad.protocols.imap.states import State

_CODES = {
    Why.WRONG: "AUTHENTICATIONFAILED",
    Why.DISABLED: "CONTACTADMIN",
    Why.LATER: "UNAVAILABLE",
}  # RFC 5530 3


async def capability(session: ImapSession, _: Command) -> str:
    """CAPABILITY."""
    session.say(f"* CAPABILITY {' '.join(session.capabilities())}")
    return "That is all"


async def noop(session: ImapSession, _: Command) -> str:
    """NOOP and CHECK: the news come by themselves."""
    return "Nothing else"


async def logout(session: ImapSession, _: Command) -> str:
    """LOGOUT."""
    session.say("* BYE Until next time")
    session.state = State.ENDED
    session.selected = None
    return "Bye"


async def identify(session: ImapSession, command: Command) -> str:
    """ID: we say our name; what the client says goes to the log."""
    assert isinstance(command.arguments, Id)
    told = dict(command.arguments.pairs)
    session.log.info(
        "imap.client",
        client=session.connection.client,
        name=told.get("name", "")[:100],
        version=told.get("version", "")[:100],
    )
    session.say(f'* ID ("name" "Postroad" "version" {wire.string(session.door.version)})')
    return "Pleased to meet you"


async def start_tls(session: ImapSession, command: Command) -> None:
    """STARTTLS; the handshake follows the OK (RFC 9051 6.2.1)."""
    tls = session.door.tls
    if tls is None or session.connection.is_tls:
        raise ImapBad("TLS is not offered, or active already")
    session.say(f"{command.tag} OK Begin TLS")
    session.flush()
    session.forget_input()
    try:
        await session.connection.start_tls(tls, HANDSHAKE_SECONDS)
    except Gone as reason:
        session.door.metrics.handshake_failed.inc()
        session.log.info("imap.handshake-failed", client=session.connection.client, reason=str(reason))
        raise


async def login(session: ImapSession, command: Command) -> str:
    """LOGIN."""
    assert isinstance(command.arguments, Login)
    if not session.takes_passwords:
        raise ImapNo("Use STARTTLS first", "PRIVACYREQUIRED")
    if max(len(command.arguments.username), len(command.arguments.password)) > sasl.MAX_CREDENTIAL:
        raise ImapNo("User name or password too long", "AUTHENTICATIONFAILED")
    return await _check(session, command.arguments.username, command.arguments.password)


async def authenticate(session: ImapSession, command: Command) -> str:
    """AUTHENTICATE PLAIN, with or without its response on the line."""
    assert isinstance(command.arguments, Authenticate)
    if command.arguments.mechanism != "PLAIN":
        raise ImapNo("Mechanisms: PLAIN", "CANNOT")
    if not session.takes_passwords:
        raise ImapNo("Use STARTTLS first", "PRIVACYREQUIRED")
    response = command.arguments.initial
    if response is None:
        session.say("+ ")
        response = await session.read_line(sasl.MAX_RESPONSE, session.door.sign_in_seconds)
    try:
        credentials = sasl.plain(response)
    except sasl.Cancelled:
        raise ImapBad("Cancelled") from None
    except sasl.Malformed as error:
        raise ImapBad(str(error)) from None
    except sasl.Unusable as error:
        raise ImapNo(str(error), "AUTHENTICATIONFAILED") from None
    return await _check(session, credentials.username, credentials.password)


async def _check(session: ImapSession, username: str, password: str) -> str:
    client = session.connection.client
    try:
        principal = await session.door.sign_in.check(username, password, client)
    except Refused as refused:
        session.log.info("imap.sign-in-refused", username=username, client=client, reason=refused.why.value)
        session.sign_ins += 1
        if session.sign_ins >= MAX_SIGN_INS:
            session.say("* BYE Too many failed sign-ins")
            session.state = State.ENDED
        raise ImapNo(refused.text, _CODES[refused.why]) from refused
    session.signed_in(principal)
    return f"[CAPABILITY {' '.join(session.capabilities())}] Welcome"


async def enable(session: ImapSession, command: Command) -> str:
    """ENABLE: what is known and new is told; the rest is passed over (RFC 5161 3.1)."""
    assert isinstance(command.arguments, Words)
    features = session.features
    fresh: list[str] = []
    for word in command.arguments.words:
        if word not in ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2", "UIDONLY"):
            continue
        if word not in features.enabled:
            features.enabled.add(word)
            fresh.append("IMAP4rev2" if word == "IMAP4REV2" else word)
    features.is_qresync |= "QRESYNC" in fresh
    features.is_condstore |= "CONDSTORE" in fresh or "QRESYNC" in fresh
    features.is_utf8 |= "UTF8=ACCEPT" in fresh
    features.is_rev2 |= "IMAP4rev2" in fresh
    features.is_uidonly |= "UIDONLY" in fresh
    session.say(" ".join(["* ENABLED", *fresh]))
    return "Done"


async def compress(session: ImapSession, command: Command) -> str:
    """COMPRESS DEFLATE; both directions, from behind the OK."""
    assert isinstance(command.arguments, Words)
    if command.arguments.words != ("DEFLATE",):
        raise ImapBad("Mechanisms: DEFLATE")
    if session.connection.is_compressed:
        raise ImapNo("Compression is active already", "COMPRESSIONACTIVE")
    session.compresses = True
    return "From here on"
