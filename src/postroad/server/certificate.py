"""The certificate shown at the doors: the operator's, or a self-signed one made on first use (RFC 5280).

Renewal needs no restart: files are looked at now and then, and read again when they changed.
"""

from __future__ import annotations

import datetime as dates
import fcntl
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postroad.config import Settings

LIFETIME = dates.timedelta(days=397)  # longer ones are refused by some clients even when trusted by hand
RENEW_BEFORE = dates.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files: the certificate with its chain, and its key. May be one and the same."""

    certificate: Path
    private_key: Path

    def changed_at(self) -> tuple[int, ...]:
        """Something that differs once the files were replaced; zeros for a file that is away."""
        stamps: list[int] = []
        for path in (self.certificate, self.private_key):
            try:
                state = path.stat()
                stamps += (state.st_mtime_ns, state.st_ino, state.st_size)
            except OSError:
                stamps += (0, 0, 0)
        return tuple(stamps)


def certificate_files(settings: Settings, now: dates.datetime) -> CertificateFiles:
    """The files that the settings name, or else those of a self-signed certificate that is good at `now`.

    The self-signed one is made when there is none, when it ends soon, or when the host's name has changed.
    Any number of processes may call this at once. Raises `OSError`.
    """
    tls = settings.tls
    if tls.certificate is not None:
        return CertificateFiles(tls.certificate, tls.private_key or tls.certificate)
    directory = settings.data_dir / "tls"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Both in one file, so that replacing it can never leave a certificate beside another's key.
    file = directory / "self-signed.pem"
    with (directory / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_good(file, settings.hostname, now):
            fresh = directory / "self-signed.pem.new"
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as output:
                output.write(self_signed(settings.hostname, now))
                output.flush()
                os.fsync(output.fileno())
            fresh.replace(file)
    return CertificateFiles(file, file)


def self_signed(hostname: str, now: dates.datetime) -> bytes:
    """Make a certificate for `hostname` and localhost, with its P-256 key in front, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])  # RFC 5280 A.1: ub-common-name
    alternatives: list[x509.GeneralName] = [
        x509.DNSName(label) for label in dict.fromkeys((_ascii(hostname), "localhost"))
    ]
    alternatives += [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dates.timedelta(days=1))  # clients' clocks run late
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _is_good(file: Path, hostname: str, now: dates.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return (
        _ascii(hostname) in names.get_values_for_type(x509.DNSName)
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
    )


def _ascii(hostname: str) -> str:
    try:
        return hostname.encode("idna").decode("ascii")
    except UnicodeError:
        return "localhost"
