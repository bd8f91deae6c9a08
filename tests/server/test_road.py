"""The whole road through one server: signing in, handing in, delivering; counted, told without secrets."""

from __future__ import annotations

import base64
import os
import signal
import smtplib
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path

from cryptography import x509

from postroad.server.certificate import self_signed
from tests.server.conftest import INBOX, Server, add_accounts, ask, eventually

Make = Callable[..., Server]
PASSWORD = "quite-a-Secret-word-7"
WRONG = "a-wrong-Guess-13"
MAIL = "From: ann@example.com\r\nTo: bob@example.com\r\nSubject: hello\r\n\r\nHello Bob.\r\n"


def send(server: Server, password: str = PASSWORD) -> None:
    context = ssl._create_unverified_context()
    with smtplib.SMTP(*server.addresses["submission"], timeout=30) as client:
        client.starttls(context=context)
        client.login("ann@example.com", password)
        client.sendmail("ann@example.com", ["bob@example.com"], MAIL)


def certificate_at(server: Server, door: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(
        ssl.get_server_certificate(server.addresses[door], timeout=10).encode()
    )


def test_a_mail_handed_in_is_there_and_counted_across_workers(make_server: Make) -> None:
    server = make_server()
    server.start()
    add_accounts(server.dsn, "ann@example.com", "bob@example.com", password=PASSWORD)
    eventually(lambda: server.events("server_ready"), "every worker is ready")
    for _ in range(6):
        send(server)
    assert ask(server.dsn, INBOX, "bob@example.com") == 6
    accepted = 'postroad_smtp_answers_total{question="content",reply="2xx",role="submission"}'
    assert server.metric(accepted) == 6
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: len(server.workers()) == 2 and server.status("/readyz") == 200, "both are back")
    assert server.metric(accepted) == 6
    send(server)
    assert server.metric(accepted) == 7
    assert server.metric("postroad_database_up") == 1
    memory = eventually(lambda: server.metric('postroad_worker_memory_bytes{worker="1"}'), "it is told")
    assert memory < 150 * 1024 * 1024
    assert server.stop() == 0


def test_attempts_to_deliver_and_what_waits_are_counted(make_server: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    server = make_server(workers=1, delivery={"relay": nobody})
    server.start()
    add_accounts(server.dsn, "ann@example.com", password=PASSWORD)
    with smtplib.SMTP(*server.addresses["submission"], timeout=30) as client:
        client.login("ann@example.com", PASSWORD)
        client.sendmail(
            "ann@example.com", ["bob@elsewhere.test"], MAIL.replace("bob@example.com", "bob@elsewhere.test")
        )
    eventually(lambda: server.metric('postroad_deliveries_total{outcome="deferred"}') == 1, "an attempt")
    assert server.metric("postroad_queue_recipients") == 1
    assert server.stop() == 0


def test_no_secret_of_a_session_reaches_the_log(make_server: Make) -> None:
    server = make_server(log={"level": "debug"})
    server.start()
    add_accounts(server.dsn, "ann@example.com", "bob@example.com", password=PASSWORD)
    send(server)
    try:
        send(server, WRONG)
        raise AssertionError("a wrong password was taken")
    except smtplib.SMTPAuthenticationError:
        pass
    jar = CookieJar()
    web = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    host, port = server.addresses["http"]
    home = f"http://{host}:{port}"
    for password in (WRONG, PASSWORD):
        form = urllib.parse.urlencode({"username": "ann@example.com", "password": password}).encode()
        try:
            web.open(f"{home}/mail/login?pwd={PASSWORD}", form, timeout=20).read()
        except urllib.error.HTTPError as error:
            error.read()
    assert len(jar) > 0, "signing in to the pages gives a cookie"
    request = urllib.request.Request(
        f"{home}/cgi-bin/login.cgi?user=ann&pwd={PASSWORD}&old={WRONG}",
        headers={"Authorization": "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()},
    )
    try:
        web.open(request, timeout=20).read()
    except urllib.error.HTTPError as error:
        error.read()
    assert server.stop() == 0
    log = server.log()
    plain = base64.b64encode(f"\0ann@example.com\0{PASSWORD}".encode()).decode()
    basic = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    for secret in (PASSWORD, WRONG, plain, basic, base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in log
    for cookie in jar:
        if len(cookie.value or "") >= 16:
            assert str(cookie.value) not in log
    assert "http_request" in log
    assert all(line.startswith("{") for line in log.splitlines())


def test_a_new_certificate_is_shown_without_a_restart(make_server: Make, place: Path) -> None:
    mine = place / "mine.pem"
    mine.write_bytes(self_signed("first.example.com", datetime.now(UTC)))
    server = make_server(tls={"certificate": str(mine)})
    server.start()
    eventually(lambda: server.events("server_ready"), "every worker is ready")
    workers = server.workers()
    first = certificate_at(server, "https")
    assert certificate_at(server, "submissions") == first
    mine.write_bytes(self_signed("second.example.com", datetime.now(UTC)))
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(server.events("certificate_loaded")) == 2, "both workers read it")
    second = certificate_at(server, "https")
    assert second != first
    assert certificate_at(server, "submissions") == second
    # A bad one changes nothing.
    mine.write_text("not a certificate")
    eventually(lambda: len(server.events("certificate_unusable")) == 2, "both workers notice by themselves")
    assert certificate_at(server, "https") == second
    assert server.workers() == workers
    assert server.stop() == 0


def test_the_self_signed_certificate_is_kept(make_server: Make) -> None:
    server = make_server()
    server.start()
    first = certificate_at(server, "https")
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.com", "localhost"]
    assert first.not_valid_after_utc - datetime.now(UTC) > timedelta(days=300)
    file = server.data_dir / "tls" / "self-signed.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert server.stop() == 0
    server.start()
    assert certificate_at(server, "https") == first
    assert server.stop() == 0
