"""Each of the doctor's checks on a sound and on a broken thing, and the whole on a house of ours."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postroad.cli.checks.blobs import check_blobs
from postroad.cli.checks.certificates import check_certificate, covers
from postroad.cli.checks.database import check_database
from postroad.cli.checks.dns import OurDomain, Questions, Silent, check_dns
from postroad.cli.checks.dsn import check_dsn
from postroad.cli.checks.finding import Finding
from postroad.cli.checks.machine import check_clock, check_disk, check_secrets
from postroad.cli.checks.ports import Door, check_door, check_ports
from postroad.cli.checks.relay import check_relay
from postroad.cli.doctor_words import WORDS, advice, found
from postroad.cli.words import Language
from postroad.config import Delivery, Listen, Settings, Tls
from postroad.directory.addresses.dns_records import DnsRecord
from tests.certificates import Authority
from tests.cli.conftest import Command
from tests.name_server import name_server
from tests.running import free_port
from tests.sink import Sink, running

NOW = datetime(2026, 11, 1, tzinfo=UTC)
HOST = "mail.example.com"


def words(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.status, finding.word) for finding in findings]


# Certificates


def certificate(
    directory: Path,
    *,
    name: str = HOST,
    begins: datetime = NOW - timedelta(days=1),
    days: int = 89,
    issuer: str = "Authority",
) -> Settings:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (directory / "chain.pem").write_bytes(made * 2)
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    tls = Tls(certificate=directory / "chain.pem", private_key=directory / "key.pem")
    return Settings(hostname=HOST, data_dir=directory / "data", tls=tls)


def test_a_sound_certificate(tmp_path: Path) -> None:
    findings = check_certificate(certificate(tmp_path), NOW)
    assert words(findings) == [("ok", "tls-in-force"), ("ok", "tls-name"), ("ok", "tls-chain")]


def test_certificates_that_are_not(tmp_path: Path) -> None:
    def statuses(settings: Settings) -> set[tuple[str, str]]:
        return {finding for finding in words(check_certificate(settings, NOW)) if finding[0] != "ok"}

    assert statuses(certificate(tmp_path, begins=NOW - timedelta(days=89))) == {("fail", "tls-expired")}
    assert statuses(certificate(tmp_path, begins=NOW - timedelta(days=80))) == {("warn", "tls-expires")}
    assert statuses(certificate(tmp_path, begins=NOW + timedelta(days=1))) == {("fail", "tls-not-yet")}
    assert statuses(certificate(tmp_path, name="other.test")) == {("fail", "tls-other-name")}
    assert statuses(certificate(tmp_path, issuer=HOST)) == {("warn", "tls-self-signed")}
    settings = certificate(tmp_path)
    (tmp_path / "key.pem").write_text("no key")
    assert statuses(settings) == {("fail", "tls-unusable")}
    (tmp_path / "key.pem").unlink()
    assert statuses(settings) == {("fail", "tls-unusable")}
    assert statuses(Settings(hostname=HOST, tls=Tls(private_key=tmp_path / "x"))) == {("fail", "tls-half")}
    assert statuses(Settings(hostname=HOST)) == {("warn", "tls-self-made")}


@pytest.mark.parametrize(
    ("name", "hostname", "does"),
    [
        ("mail.example.com", "Mail.Example.com.", True),
        ("*.example.com", "mail.example.com", True),
        ("*.example.com", "a.mail.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.com", "mail.example.com", False),
        ("mail.example.com", "mail.example.org", False),
    ],
)
def test_a_wildcard_stands_for_one_label(name: str, hostname: str, does: bool) -> None:
    assert covers(name, hostname) is does


# The machine


def test_a_disk_is_judged_by_room_and_inodes(tmp_path: Path) -> None:
    def judged(free: int, total: int = 10**12, inodes: int = 900) -> str:
        def statvfs(path: Path) -> os.statvfs_result:
            assert path.exists()
            return os.statvfs_result((4096, 1, total, free, free, 1000, inodes, inodes, 0, 255))

        return check_disk(tmp_path / "not" / "yet", statvfs).status

    assert judged(10**11) == "ok"
    assert judged(10**10) == "warn"  # one percent
    assert judged(10**8, total=10**9) == "fail"
    assert judged(10**11, inodes=30) == "warn"
    assert judged(10**11, inodes=5) == "fail"
    assert check_disk(tmp_path).word in ("disk-room", "disk-low")


@pytest.mark.parametrize(
    ("seconds", "status"), [(0.0, "ok"), (-1.9, "ok"), (2.4, "ok"), (5.0, "warn"), (-31.0, "fail")]
)
def test_clocks_may_differ_a_little(seconds: float, status: str) -> None:
    finding = check_clock(NOW, NOW + timedelta(seconds=seconds), timedelta(seconds=0.5))
    assert finding.status == status


def test_secrets_are_closed_to_others(tmp_path: Path) -> None:
    settings = certificate(tmp_path)
    (settings.data_dir / "postgres").mkdir(parents=True)

    def statuses(key: int, cluster: int) -> list[str]:
        (tmp_path / "key.pem").chmod(key)
        (settings.data_dir / "postgres").chmod(cluster)
        return [finding.status for finding in check_secrets(settings, None)]

    assert statuses(0o600, 0o700) == ["ok", "ok"]
    assert statuses(0o640, 0o750) == ["ok", "warn"]
    assert statuses(0o644, 0o755) == ["fail", "fail"]
    own = settings.data_dir / "tls" / "self-signed.pem"
    own.parent.mkdir()
    own.write_text("x")
    own.chmod(0o644)
    without = Settings(hostname=HOST, data_dir=settings.data_dir)
    assert [finding.status for finding in check_secrets(without, None)] == ["fail", "fail"]
    config = tmp_path / "postroad.toml"
    config.write_text("")
    config.chmod(0o644)
    with_password = Settings(hostname=HOST, database="postgresql://u:p@db.test/x", data_dir=tmp_path / "d")
    assert [finding.status for finding in check_secrets(with_password, config)] == ["fail"]


# Doors


@asynccontextmanager
async def saying(greeting: bytes) -> AsyncIterator[int]:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_door_that_is_ours_answers_with_our_name() -> None:
    async with saying(b"220 mail.example.com ESMTP\r\n") as port:
        assert (await check_door(Door("smtp", "127.0.0.1", port), HOST)).word == "port-answers"
        assert (await check_door(Door("smtp", "0.0.0.0", port), HOST)).word == "port-answers"
        assert (await check_door(Door("smtp", "127.0.0.1", port), "other.test")).word == "port-taken"
        finding = await check_door(Door("http", "127.0.0.1", port), HOST)
        assert (finding.word, finding.facts["greeting"]) == ("port-taken", "220 mail.example.com ESMTP")
        assert (await check_door(Door("submissions", "127.0.0.1", port), HOST)).word == "port-no-tls"
    async with saying(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        assert (await check_door(Door("http", "127.0.0.1", port), HOST)).word == "port-answers"
    async with saying(b"x" * 100_000) as port:
        assert (await check_door(Door("smtp", "127.0.0.1", port), HOST)).word == "port-taken"


async def test_a_door_where_nobody_is_can_be_opened_or_not() -> None:
    assert (await check_door(Door("smtp", "127.0.0.1", free_port()), HOST)).word == "port-free"
    assert (await check_door(Door("smtp", "192.0.2.1", 25), HOST)).word in ("port-no-address", "port-silent")


async def test_doors_that_are_off_or_misspelled() -> None:
    closed = dict.fromkeys(Listen.model_fields, "")
    off = Listen(**closed)
    assert await check_ports(Settings(hostname=HOST, listen=off)) == []
    bad = Listen.model_construct(None, **{**closed, "smtp": "25", "https": "127.0.0.1:https"})
    assert words(await check_ports(Settings(hostname=HOST, listen=bad))) == [("fail", "port-unreadable")] * 2


async def test_a_tls_door_is_asked_in_tls(tmp_path: Path) -> None:
    settings = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert settings.tls.certificate is not None

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await check_door(Door("submissions", "127.0.0.1", port), HOST)).word == "port-answers"


# The DNS

KEY = DnsRecord("dkim", "r1._domainkey.example.com", "TXT", ("v=DKIM1; k=rsa; p=AAAA", "BBBB"))
OURS = OurDomain("example.com", (KEY,))
SOUND: dict[tuple[str, str], list[str]] = {
    (HOST, "A"): ["192.0.2.1"],
    ("192.0.2.1", "PTR"): ["mail.example.com."],
    ("example.com", "MX"): ["10 mail.example.com."],
    ("example.com", "TXT"): ["google-site-verification=x", "v=spf1 mx ~all"],
    ("r1._domainkey.example.com", "TXT"): ["v=DKIM1; k=rsa; p=AAAA BBBB"],
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject"],
}


def zone(records: Mapping[tuple[str, str], list[str] | None]) -> Callable[[str, str], Awaitable[list[str]]]:
    async def ask(name: str, kind: str) -> list[str]:
        answer = records.get((name, kind), [])
        if answer is None:
            raise Silent(f"{name} {kind}")
        return answer

    return ask


async def diagnosed(changes: Mapping[tuple[str, str], list[str] | None], relay: str = "") -> set[str]:
    settings = Settings(hostname=HOST, delivery=Delivery(relay=relay))
    findings = await check_dns(settings, [OURS], zone({**SOUND, **changes}))
    return {finding.word for finding in findings if finding.status != "ok"}


async def test_a_sound_zone() -> None:
    assert await diagnosed({}) == set()


@pytest.mark.parametrize(
    ("name", "kind", "records", "word"),
    [
        ("example.com", "MX", [], "mx-missing"),
        ("example.com", "MX", ["10 mx.far.test."], "mx-other"),
        ("example.com", "TXT", [], "spf-missing"),
        ("example.com", "TXT", ["v=spf1 -all"], "spf-other"),
        ("example.com", "TXT", ["v=spf1 -mx ip4:198.51.100.0/24 -all"], "spf-other"),
        ("example.com", "TXT", ["v=spf1 mx -all", "v=spf1 a -all"], "spf-twice"),
        ("example.com", "TXT", ["v=spf1 include:far.test -all"], "spf-unsure"),
        ("r1._domainkey.example.com", "TXT", [], "dkim-missing"),
        ("r1._domainkey.example.com", "TXT", ["v=DKIM1; p=CCCC"], "dkim-other"),
        ("_dmarc.example.com", "TXT", ["v=DMARC1; p=none", "v=DMARC1; p=none"], "dmarc-missing"),
        ("192.0.2.1", "PTR", [], "ptr-missing"),
        ("192.0.2.1", "PTR", ["host-1.far.test."], "ptr-other"),
        (HOST, "A", [], "hostname-no-address"),
        ("example.com", "MX", None, "zone-silent"),
        (".", "NS", None, "resolver-silent"),
    ],
)
async def test_broken_zones(name: str, kind: str, records: list[str] | None, word: str) -> None:
    diagnosis = await diagnosed({(name, kind): records})
    assert word in diagnosis
    if kind == "TXT":
        assert diagnosis == {word}


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 a:mail.example.com -all",
        "v=spf1 ip4:192.0.2.0/24 -all",
        "v=spf1 ?all ip4:192.0.2.1 -all",
        "V=SPF1 +MX -all",
        "v=spf1 a:other.test -all",
        "v=spf1 +all",
        "v=spf1 ip6:nonsense ip4: mx",
    ],
)
async def test_records_that_name_us(record: str) -> None:
    changes: dict[tuple[str, str], list[str] | None] = {
        ("example.com", "TXT"): [record],
        ("other.test", "A"): ["192.0.2.1"],
    }
    assert await diagnosed(changes) == set()


async def test_behind_a_smart_host_our_own_name_matters_less() -> None:
    assert await diagnosed({("192.0.2.1", "PTR"): []}, relay="smart.test:25") == set()


async def test_questions_reach_the_configured_resolver() -> None:
    zone = {
        ("t.test", "TXT"): ['"v=spf1 " "mx"'],
        ("m.test", "MX"): ["5 MX.t.test."],
        ("a.test", "A"): ["192.0.2.9"],
        ("a.test", "AAAA"): ["2001:db8::9"],
        ("9.2.0.192.in-addr.arpa", "PTR"): ["a.test."],
    }
    async with name_server(zone) as server:
        server.failing.add("broken.test")
        ask = Questions(server.address)
        assert await ask(".", "NS") == []
        assert await ask("t.test", "TXT") == ["v=spf1 mx"]
        assert await ask("m.test", "MX") == ["5 mx.t.test."]
        assert await ask("a.test", "A") == ["192.0.2.9"]
        assert await ask("a.test", "AAAA") == ["2001:db8::9"]
        assert await ask("192.0.2.9", "PTR") == ["a.test."]
        assert await ask("none.test", "A") == []
        with pytest.raises(Silent):
            await ask("broken.test", "A")
        await ask.close()


# The smart host


async def relayed(sink: Sink, **delivery: Any) -> list[tuple[str, str]]:
    settings = Settings(hostname=HOST, delivery=Delivery(**{"relay": f"127.0.0.1:{sink.port}", **delivery}))
    return words(await check_relay(settings))


async def test_a_smart_host_that_takes_our_mail(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    signed_in = {"relay_username": "user", "relay_password": "secret"}
    async with running(Sink(credentials=("user", "secret"))) as sink:
        assert await relayed(sink, **signed_in) == [("ok", "relay-ready")]
        sink.tls = authority.server("127.0.0.1")
        verified = {**signed_in, "relay_tls": "verified", "relay_ca": authority.file}
        assert await relayed(sink, **verified) == [("ok", "relay-ready")]
        assert not sink.mails and not sink.seen["mail"]
    assert await check_relay(Settings(hostname=HOST)) == [], "delivery by MX"


async def test_a_smart_host_that_does_not_let_us_in(tmp_path: Path) -> None:
    signed_in = {"relay_username": "user", "relay_password": "wrong"}
    async with running(Sink(credentials=("user", "secret"))) as sink:
        assert await relayed(sink, **signed_in) == [("fail", "relay-refuses")]
        assert await relayed(sink, relay_tls="required") == [("fail", "relay-refuses")]
        sink.tls = Authority(tmp_path / "theirs").server("127.0.0.1")
        assert await relayed(sink, relay_tls="verified") == [("fail", "relay-not-verified")]
    assert await relayed(sink) == [("fail", "relay-refuses")], "nobody there any more"


async def test_a_smart_host_elsewhere_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroad.cli.checks.relay.is_near", lambda _address: False)
    async with running(Sink()) as sink:
        assert await relayed(sink) == [("warn", "relay-open")]


# The database, and the whole


async def test_a_database_of_ours(database_dsn: str) -> None:
    findings, keys = await check_database(database_dsn, lambda: datetime.now(UTC))
    by_subject = {finding.subject: finding.word for finding in findings}
    assert by_subject["schema"] == "schema-current"
    assert by_subject["database"] == "clock-agrees"
    assert keys == {}


async def test_databases_that_are_not_ready(empty_database_dsn: str, tmp_path: Path) -> None:
    findings, _ = await check_database(empty_database_dsn, lambda: datetime.now(UTC))
    assert ("warn", "schema-empty") in words(findings)
    findings, _ = await check_database(f"postgresql://x@/x?host={tmp_path}", lambda: datetime.now(UTC))
    assert words(findings) == [("fail", "database-silent")]


def test_the_doctor_ends_offline_and_says_what_to_do(postroad: Command, site: Path) -> None:
    assert postroad("domain", "add", "example.com").code == 0
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # a resolver that never answers
    silent.bind(("127.0.0.1", 0))
    with silent, site.open("a") as file:
        listen = "\n".join(f'{door} = "127.0.0.1:{free_port()}"' for door in ("smtp", "http"))
        file.write(f'[listen]\nsubmission = ""\nsubmissions = ""\nhttps = ""\n{listen}\n')
        file.write(f'[delivery]\nresolver = "127.0.0.1:{silent.getsockname()[1]}"\n')
        file.flush()
        outcome = postroad("doctor", "--json")
        text = postroad("doctor", "--language", "zh")
    assert outcome.code == 1
    codes = {check["code"]: check for check in outcome.data["checks"]}
    assert codes["resolver-silent"]["status"] == "fail"
    assert codes["schema-current"]["status"] == "ok"
    assert codes["port-free"]["advice"] == "Start the server: postroad serve"
    assert outcome.data["summary"]["fail"] == sum(
        check["status"] == "fail" for check in outcome.data["checks"]
    )
    assert "没有应答" in text.output


def test_every_finding_has_its_words() -> None:
    for word, (english, chinese, hint, hint_chinese) in WORDS.items():
        assert english, word
        assert chinese, word
        assert _gaps(english) == _gaps(chinese) or word == "schema-foreign", word
        assert _gaps(hint) == _gaps(hint_chinese), word
        facts = {name: "x" for name in _gaps(english + hint) if name != "subject"}
        for language in get_args(Language):
            finding = Finding("dns", "here", "fail", word, facts)
            assert found(finding, language)
            assert bool(advice(finding, language)) == bool(hint)


def _gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


# The database's road and the blob store


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("embedded", []),
        ("postgresql://u@/x?host=/var/run/postgresql", []),
        ("postgresql://u@localhost/x", []),
        ("postgresql://u:p@127.0.0.1:5432/x", []),
        ("postgresql://u@[::1]/x", []),
        ("postgresql://u:p%40@db.example.com/x", [("warn", "database-not-verified")]),
        ("postgresql://u@db.example.com/x?sslmode=require", [("warn", "database-not-verified")]),
        ("postgresql://u@localhost,192.0.2.7/x", [("warn", "database-not-verified")]),
        ("postgresql://u@/x?host=db.example.com", [("warn", "database-not-verified")]),
        ("postgresql://u@[2001:db8::1]:5432/x?sslmode=verify-full", [("ok", "database-verified")]),
    ],
)
def test_the_way_to_another_machines_database_wants_to_be_verified(
    dsn: str, expected: list[tuple[str, str]]
) -> None:
    assert words(check_dsn(dsn, {})) == expected


def test_the_environment_may_ask_for_verification() -> None:
    findings = check_dsn("postgresql://u@db.example.com/x", {"PGSSLMODE": "verify-full"})
    assert words(findings) == [("ok", "database-verified")]


async def test_a_blob_store_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(hostname=HOST, blobs=str(tmp_path / "blobs"))
    assert words(await check_blobs(settings)) == [("ok", "blobs-writable")]
    assert not (tmp_path / "blobs").exists()  # made when it is needed
    (tmp_path / "blobs" / "ab").mkdir(parents=True)
    assert words(await check_blobs(settings)) == [("ok", "blobs-writable")]
    assert [each.name for each in (tmp_path / "blobs").iterdir()] == ["ab"]
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "ab" and allowed(path, mode))
    [finding] = await check_blobs(settings)
    assert (finding.status, finding.word) == ("fail", "blobs-not-writable")
    assert "ab" in str(finding.facts["error"])
