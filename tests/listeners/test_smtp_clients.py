"""Real clients at the door: smtplib, swaks, openssl, and the PHP program of the bulk-mail document."""

from __future__ import annotations

import asyncio
import base64
import shutil
import smtplib
import ssl
from email.mime.text import MIMEText

import pytest

from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Role
from tests.listeners.conftest import Opener, Running


async def run(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


def unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_smtplib_as_the_document_uses_it(open_door: Opener) -> None:
    door = await open_door(Role.MX)

    def send() -> None:
        message = MIMEText("测试内容", _subtype="html", _charset="gb2312")
        message["Subject"] = "hello"
        message["From"] = "hello<user@example.com>"
        message["To"] = "somebody@elsewhere.example"
        client = smtplib.SMTP()
        client.connect("127.0.0.1", door.port)
        client.login("user@example.com", "secret")
        client.sendmail("hello<user@example.com>", ["somebody@elsewhere.example"], message.as_string())
        client.close()

    await asyncio.to_thread(send)
    [(envelope, content, session)] = door.keeper.mails
    assert envelope.mail_from == Address.parse("user@example.com")
    assert b'charset="gb2312"' in content
    assert session.principal is not None
    assert session.principal.account_id == 7
    assert session.protocol_word() == "ESMTPA"


@pytest.mark.parametrize("reads_banner", [False, True])
async def test_the_php_client_of_the_document(open_door: Opener, reads_banner: bool) -> None:
    """Chapter 10 of the bulk-mail interface, byte for byte as its PHP class writes.

    As printed, the class does not read the banner (`if (!$this->sock && $this->smtp_ok())`), so it is one
    reply behind all the time and sends the body before it has seen 354; copies of it that circulate read it.
    Its AUTH lines are printed with the sense of `if` turned round; the copies go on when the reply is good.
    """
    door = await open_door(Role.MX)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    replies: list[bytes] = []

    async def smtp_ok() -> None:
        replies.append(await reader.readline())
        assert replies[-1][:1] in b"23", replies

    async def putcmd(command: str, argument: str = "") -> None:
        line = f"{command} {argument}" if command and argument else command or argument
        writer.write(line.encode() + b"\r\n")
        await smtp_ok()

    if reads_banner:
        await smtp_ok()
    await putcmd("HELO", "localhost")
    await putcmd("AUTH LOGIN", base64.b64encode(b"user@example.com").decode())
    await putcmd("", base64.b64encode(b"secret").decode())
    await putcmd("MAIL", "FROM:<user@example.com>")
    await putcmd("RCPT", "TO:<784885758@qq.example>")
    await putcmd("DATA")
    header = (
        "MIME-Version:1.0\r\nContent-Type:text/html\r\nTo: 784885758@qq.example\r\n"
        "From: user@example.com<user@example.com>\r\nSubject: 测试 umail 邮件系统\r\n"
        "Date: Wed, 22 Aug 2018 14:10:00 +0800\r\nX-Mailer:By Redhat\n(PHP/5.6)\r\n"
        "Message-ID: <20180822141000.123456.user@example.com>\r\n"
    )
    writer.write((header + "\r\n" + "<h1>这是 smtp 测试邮件</h1>\n第二行").encode())
    writer.write(b"\r\n.\r\n")
    await smtp_ok()
    await putcmd("QUIT")
    if not reads_banner:
        await smtp_ok()
    assert await reader.read() == b""
    writer.close()
    [(envelope, content, session)] = door.keeper.mails
    assert str(envelope.recipients[0].address) == "784885758@qq.example"
    assert "<h1>这是 smtp 测试邮件</h1>\r\n第二行\r\n".encode() in content
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert not session.is_extended
    assert session.principal is not None


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
@pytest.mark.parametrize(
    ("role", "options", "word"),
    [
        (Role.MX, (), "ESMTP"),
        (Role.MX, ("--tls",), "ESMTPS"),
        (Role.SUBMISSION, ("--tls", "--auth", "PLAIN"), "ESMTPSA"),
        (Role.SUBMISSION, ("--tls", "--auth", "LOGIN"), "ESMTPSA"),
        (Role.SUBMISSIONS, ("--tls-on-connect", "--auth", "PLAIN"), "ESMTPSA"),
        (Role.MX, ("--pipeline",), "ESMTP"),
        (Role.MX, ("--protocol", "SMTP"), "SMTP"),
    ],
)
async def test_swaks(open_door: Opener, role: Role, options: tuple[str, ...], word: str) -> None:
    door = await open_door(role)
    sign_in = ("--auth-user", "user@example.com", "--auth-password", "secret") if "--auth" in options else ()
    code, output = await run(
        *("swaks", "--server", "127.0.0.1", "--port", str(door.port), *options, *sign_in),
        *("--from", "user@example.com", "--to", "b@example.com", "--timeout", "20"),
    )
    assert code == 0, output
    [(_, content, session)] = door.keeper.mails
    assert b"test" in content
    assert session.protocol_word() == word
    assert bool(session.tls_version) == any("tls" in option for option in options)


@pytest.mark.parametrize("role", [Role.SUBMISSION, Role.SUBMISSIONS])
async def test_openssl_sees_the_certificate(open_door: Opener, role: Role) -> None:
    door = await open_door(role)
    how = ("-starttls", "smtp") if role is Role.SUBMISSION else ()
    _, output = await run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{door.port}", "-crlf", "-quiet", *how),
        stdin=b"EHLO c\nQUIT\n",
    )
    assert "mx.example.com" in output
    assert "221 2.0.0 Bye" in output


async def test_smtplib_over_both_kinds_of_tls(open_door: Opener) -> None:
    def send(door: Running, is_tls_first: bool) -> None:
        if is_tls_first:
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", door.port, context=unchecked())
        else:
            client = smtplib.SMTP("127.0.0.1", door.port)
            client.starttls(context=unchecked())
        with client:
            client.login("user@example.com", "secret")
            large = "Subject: large\r\n\r\n" + ("x" * 998 + "\r\n") * 3000
            client.sendmail("user@example.com", ["b@example.com", "c@example.com"], large)

    for role in (Role.SUBMISSION, Role.SUBMISSIONS):
        door = await open_door(role)
        await asyncio.to_thread(send, door, role is Role.SUBMISSIONS)
        [(envelope, content, session)] = door.keeper.mails
        assert len(content) == 3_000_018
        assert len(envelope.recipients) == 2
        assert session.tls_version == "TLSv1.3"
        assert session.tls_cipher


async def test_submission_needs_a_sign_in_and_relaying_needs_one_too(open_door: Opener) -> None:
    def refusals(port: int) -> list[int]:
        codes = []
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.ehlo()
            codes.append(client.docmd("MAIL", "FROM:<user@example.com>")[0])
            codes.append(client.docmd("RCPT", "TO:<x@elsewhere.example>")[0])
            codes.append(client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0a\0b").decode())[0])
        return codes

    mx, submission = await open_door(Role.MX), await open_door(Role.SUBMISSION)
    assert await asyncio.to_thread(refusals, mx.port) == [250, 550, 503]
    assert await asyncio.to_thread(refusals, submission.port) == [530, 503, 535]
    assert (
        submission.counted("postroad_smtp_answers_total", role="submission", question="auth", reply="5xx")
        == 1
    )


async def test_passwords_are_not_taken_in_plain_text_from_elsewhere(open_door: Opener) -> None:
    door = await open_door(Role.MX, plain_auth=())

    def attempt() -> tuple[bool, int]:
        with smtplib.SMTP("127.0.0.1", door.port) as client:
            client.ehlo()
            return client.has_extn("auth"), client.docmd("AUTH", "PLAIN AGEAYg==")[0]

    assert await asyncio.to_thread(attempt) == (False, 538)
