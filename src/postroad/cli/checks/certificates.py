"""The certificate that every door shows: readable, in force, for our name, and by whom."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from postroad.cli.checks.finding import Finding
from postroad.config import Settings

SOON = timedelta(days=21)  # Let's Encrypt's clients renew 30 days before the end: at 21, renewing has failed
MAX_FILE_BYTES = 1024 * 1024


def check_certificate(settings: Settings, now: datetime) -> list[Finding]:
    """Look at the certificate of the settings, or at the self-signed one."""
    certificate, private_key = settings.tls.certificate, settings.tls.private_key
    if certificate is None and private_key is not None:
        return [Finding("tls", "tls", "fail", "tls-half")]
    if certificate is None:
        return [Finding("tls", settings.hostname, "warn", "tls-self-made")]
    subject = str(certificate)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key or certificate, password=lambda: "")
        chain = x509.load_pem_x509_certificates(_read(certificate))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return [Finding("tls", subject, "fail", "tls-unusable", {"error": str(error)})]
    return [
        *_in_force(subject, chain[0], now),
        _for_name(subject, chain[0], settings.hostname),
        _issuer(subject, chain),
    ]


def _in_force(subject: str, certificate: x509.Certificate, now: datetime) -> list[Finding]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    facts = {"begins": begins, "ends": ends, "days": (ends - now).days}
    if now < begins:
        return [Finding("tls", subject, "fail", "tls-not-yet", facts)]
    if now >= ends:
        return [Finding("tls", subject, "fail", "tls-expired", facts)]
    if ends - now < SOON:
        return [Finding("tls", subject, "warn", "tls-expires", facts)]
    return [Finding("tls", subject, "ok", "tls-in-force", facts)]


def _for_name(subject: str, certificate: x509.Certificate, hostname: str) -> Finding:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [name.lower() for name in extension.value.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        names = []
    facts = {"hostname": hostname, "names": ", ".join(names) or "-"}
    if any(covers(name, hostname) for name in names):
        return Finding("tls", subject, "ok", "tls-name", facts)
    return Finding("tls", subject, "fail", "tls-other-name", facts)


def covers(name: str, hostname: str) -> bool:
    """Whether a name of a certificate stands for the host: a wildcard for one whole label (RFC 9525 6.3)."""
    wanted = hostname.lower().rstrip(".")
    if name.startswith("*."):
        first, _, rest = wanted.partition(".")
        return bool(first) and rest == name[2:]
    return name == wanted


def _issuer(subject: str, chain: list[x509.Certificate]) -> Finding:
    leaf = chain[0]
    facts = {"issuer": leaf.issuer.rfc4514_string()}
    if leaf.issuer == leaf.subject:
        return Finding("tls", subject, "warn", "tls-self-signed", facts)
    if len(chain) == 1:
        return Finding("tls", subject, "warn", "tls-no-chain", facts)
    return Finding("tls", subject, "ok", "tls-chain", facts)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)
