"""The DNS records that a domain needs, to print for whoever keeps its zone. Pure.

MX (RFC 5321 5), SPF (RFC 7208), DKIM keys (RFC 6376 3.6.1, RFC 8463), DMARC (RFC 9989), reports on TLS (RFC
8460).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from postroad.directory.addresses.domains import DkimKey
from postroad.message.sign import dns_record

Purpose = Literal["mx", "spf", "dkim", "dmarc", "tls-reports"]


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record: its owner name without final dot, and a TXT record's strings (RFC 1035 3.3.14)."""

    purpose: Purpose
    name: str
    type: Literal["MX", "TXT"]
    strings: tuple[str, ...]

    @property
    def value(self) -> str:
        """The value in one piece, as DNS consoles on the web want it."""
        return "".join(self.strings)

    @property
    def zone_line(self) -> str:
        """The record as a line of a zone file (RFC 1035 5.1)."""
        if self.type == "MX":
            return f"{self.name}. IN MX {self.value}"
        quoted = " ".join(f'"{text}"' for text in self.strings)  # none of ours holds a quote or a backslash
        return f"{self.name}. IN TXT {quoted}"


def dns_records(domain: str, hostname: str, keys: Sequence[DkimKey]) -> list[DnsRecord]:
    """Return the records of `domain`, whose mail this server takes under the name `hostname`.

    `keys` are all that should be published. Reports go to the domain's postmaster, who always exists.
    """
    reports = f"mailto:postmaster@{domain}"
    return [
        DnsRecord("mx", domain, "MX", (f"10 {hostname}.",)),
        # The sending host by name as well: a zone that adds other MX hosts later goes on sending from here.
        DnsRecord("spf", domain, "TXT", (f"v=spf1 mx a:{hostname} ~all",)),
        *(
            DnsRecord("dkim", key.record_name, "TXT", dns_record(key))
            for key in (one.signing_key for one in keys)
        ),
        DnsRecord("dmarc", f"_dmarc.{domain}", "TXT", (f"v=DMARC1; p=quarantine; rua={reports}",)),
        DnsRecord("tls-reports", f"_smtp._tls.{domain}", "TXT", (f"v=TLSRPTv1; rua={reports}",)),
    ]
