"""One question to a resolver that recurses, and its answer as records; nothing is remembered here.

UDP with EDNS, TCP when an answer is cut off, the next server when one fails. Aliases are followed also where
the resolver does not. RFC 1035, RFC 2308 (how long an absence is good for), RFC 5452 (a port and an id a
question, both checked by the library), RFC 6840 5.7 (asking for the AD bit), RFC 6891 (EDNS).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.ttl
from dns.rdtypes.ANY.MX import MX as MxData
from dns.rdtypes.ANY.PTR import PTR as PtrData
from dns.rdtypes.ANY.TLSA import TLSA as TlsaData
from dns.rdtypes.ANY.TXT import TXT as TxtData

from postroad.dns.answers import LookupFailed, Mx, Tlsa

TRY_SECONDS = 3.0  # for one server; c-ares and glibc wait 2 to 5
TOTAL_SECONDS = 12.0  # all servers and tries of a question
MAX_ALIASES = 8  # BIND follows 16, Unbound 11; honest chains have two or three
MAX_RECORDS = 50
MAX_TXT_BYTES = 64 * 1024
PAYLOAD_BYTES = 1232  # what passes everywhere without fragments (DNS flag day 2020)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `ttl_seconds` as the DNS has it; None for an absence that does not say how long."""

    records: tuple[object, ...]
    ttl_seconds: int | None
    is_secure: bool
    exists: bool = True


class Resolver:
    """Asks the configured resolver, or the system's. Make it in the loop that uses it."""

    def __init__(
        self, server: str = "", try_seconds: float = TRY_SECONDS, total_seconds: float = TOTAL_SECONDS
    ) -> None:
        """`server` is `host:port`, or empty for those of resolv.conf. Raises `ValueError` for a bad one."""
        self._try_seconds = try_seconds
        self._total_seconds = total_seconds
        self._configured = _configured(server) if server else None
        self._system: dns.asyncresolver.Resolver | None = None

    async def ask(self, name: str, kind: str) -> Reply:
        """Ask for the records of `kind` (`"MX"`, `"A"`, …). Raises `LookupFailed`."""
        try:
            asked = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008_Practical)
        except (dns.exception.DNSException, ValueError):
            return Reply((), None, False, exists=False)
        ttl = dns.ttl.MAX_TTL
        is_secure = True
        for _ in range(MAX_ALIASES):
            response = await self._query(asked, kind)
            is_secure = is_secure and self._vouches(response)
            chain = _chain(response, name)
            exists = response.rcode() != dns.rcode.NXDOMAIN
            if chain.answer is not None:
                records = tuple(_read(each) for each in list(chain.answer)[:MAX_RECORDS])
                return Reply(records, min(ttl, chain.minimum_ttl), is_secure)
            if not exists or chain.canonical_name == asked or _has_soa(response):
                # RFC 2308 5: without an SOA nothing says how long. The library has taken its own time to
                # live and its MINIMUM field into the chain's.
                negative_ttl = min(ttl, chain.minimum_ttl) if _has_soa(response) else None
                return Reply((), negative_ttl, is_secure, exists)
            ttl = min(ttl, *(alias.ttl for alias in chain.cnames))
            asked = chain.canonical_name  # a resolver that does not follow: follow ourselves
        raise LookupFailed(f"{name}: more than {MAX_ALIASES} aliases in a row")

    async def _query(self, name: dns.name.Name, kind: str) -> dns.message.QueryMessage:
        resolver = self._current()
        try:
            answer = await resolver.resolve(name, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            response: dns.message.QueryMessage = error.response(name)  # type: ignore[no-untyped-call]
            return response
        except (dns.exception.DNSException, OSError, EOFError) as error:
            # Written anew since we read it, perhaps: a machine may get its resolver after us.
            self._system = None
            raise LookupFailed(f"{name.to_text(omit_final_dot=True)}: {_reason(error)}") from error
        return answer.response

    def _current(self) -> dns.asyncresolver.Resolver:
        if self._configured is not None:
            resolver = self._configured
        elif self._system is not None:
            return self._system
        else:
            try:
                resolver = self._system = dns.asyncresolver.Resolver()
            except (dns.exception.DNSException, OSError, ValueError) as error:
                raise LookupFailed(f"the system names no resolver: {error}") from error
        resolver.timeout = self._try_seconds
        resolver.lifetime = self._total_seconds
        resolver.use_edns(0, 0, PAYLOAD_BYTES)
        resolver.flags = dns.flags.RD | dns.flags.AD
        return resolver

    def _vouches(self, response: dns.message.Message) -> bool:
        """Whether the AD bit stands and comes from this machine: on the way from elsewhere anybody could
        set it (RFC 7672 2.1.1, RFC 6698 A.3).
        """
        if not response.flags & dns.flags.AD:
            return False
        servers = self._current().nameservers
        return all(isinstance(each, str) and _is_loopback(each) for each in servers)


def _configured(server: str) -> dns.asyncresolver.Resolver:
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"{server} is not host:port")
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [str(ipaddress.ip_address(host.strip("[]")))]
    resolver.port = int(port)
    return resolver


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False  # a resolver reached by HTTPS


def _chain(response: dns.message.QueryMessage, name: str) -> dns.message.ChainingResult:
    try:
        return response.resolve_chaining()
    except dns.exception.DNSException as error:
        raise LookupFailed(f"{name}: {_reason(error)}") from error


def _has_soa(response: dns.message.Message) -> bool:
    return any(each.rdtype == dns.rdatatype.SOA for each in response.authority)


def _reason(error: BaseException) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, dns.resolver.NoNameservers):
        return f"no server answered: {_last_error(error)}"
    return str(error) or type(error).__name__


def _last_error(error: dns.resolver.NoNameservers) -> str:
    errors = error.kwargs.get("errors") or ()
    return str(errors[-1][3])[:200] if errors else "none is left"


def _read(data: dns.rdata.Rdata) -> object:
    if isinstance(data, MxData):
        return Mx(data.preference, _name_text(data.exchange))
    if isinstance(data, PtrData):
        return _name_text(data.target)
    if isinstance(data, TlsaData):
        return Tlsa(data.usage, data.selector, data.mtype, data.cert)
    if isinstance(data, TxtData):
        return b"".join(data.strings)[:MAX_TXT_BYTES].decode("utf-8", "replace")
    return data.to_text()


def _name_text(name: dns.name.Name) -> str:
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()
