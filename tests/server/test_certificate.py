"""The certificate: made once by many, renewed in time, replaced as a whole."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from postroad.config import Settings, Tls
from postroad.listeners.tls import ServerTls
from postroad.server.certificate import LIFETIME, RENEW_BEFORE, certificate_files

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_many_at_once_make_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, hostname="mail.example.com")
    with ThreadPoolExecutor(8) as threads:
        files = set(threads.map(lambda _: certificate_files(settings, NOW), range(8)))
    [one] = files
    assert ServerTls(one.certificate, one.private_key).context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert sorted(path.name for path in one.certificate.parent.iterdir()) == ["lock", "self-signed.pem"]


def test_it_is_renewed_before_it_ends_and_when_the_name_changes(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, hostname="mail.example.com")
    files = certificate_files(settings, NOW)
    first, stamp = read(files.certificate), files.changed_at()
    assert certificate_files(settings, NOW + timedelta(days=100)).changed_at() == stamp
    certificate_files(settings, NOW + LIFETIME - RENEW_BEFORE + timedelta(hours=1))
    assert files.changed_at() != stamp
    second = read(files.certificate)
    assert second.serial_number != first.serial_number
    certificate_files(settings.model_copy(update={"hostname": "邮件.example.com"}), NOW)
    names = read(files.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "xn--gnr459h.example.com" in names.get_values_for_type(x509.DNSName) or any(
        name.startswith("xn--") for name in names.get_values_for_type(x509.DNSName)
    )


def test_a_broken_file_is_made_anew(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, hostname="mail.example.com")
    files = certificate_files(settings, NOW)
    files.certificate.write_text("half a certific")
    certificate_files(settings, NOW)
    assert read(files.certificate).subject.rfc4514_string() == "CN=mail.example.com"


def test_the_operators_own_is_used_as_it_is(tmp_path: Path) -> None:
    own = Tls(certificate=tmp_path / "own.pem", private_key=tmp_path / "own.key")
    files = certificate_files(Settings(data_dir=tmp_path, tls=own), NOW)
    assert (files.certificate, files.private_key) == (own.certificate, own.private_key)
    assert files.changed_at() == (0, 0, 0, 0, 0, 0)
    assert not (tmp_path / "tls").exists()
