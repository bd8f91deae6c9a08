"""The sign-on doors of a whole `postroad serve`, driven with curl: no secret in what it says, one limit.

The server logs at its most talkative, on two workers.
"""

from __future__ import annotations

import base64
import hashlib
import re
import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import jwt
import pytest

from tests.running import PASSWORD, RunningServer, reachable_directory

SECRET = "the portal's secret of 32 letters"
LIMIT = 6
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    head: str
    body: str

    def header(self, name: str) -> str:
        """A header's value, "" without one."""
        found = re.search(rf"^{name}: (.*)\r$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""


def curl(*arguments: str) -> Answer:
    """Run curl; it follows nothing."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--include", "--globoff", "--max-time", "20", *arguments],
        capture_output=True,
        check=True,
    )
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    return Answer(int(head.split(" ", 2)[1]), head + "\r\n", body)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    sections: dict[str, dict[str, object]] = {
        "log": {"level": "debug"},
        "sign_in": {"pair_failures": LIMIT, "block_seconds": 600},
        "oa": {"redirect_hosts": ["oa.example.com"]},
    }
    with reachable_directory("sign-on-") as directory:
        running = RunningServer(directory, sections=sections)
        with running.settings_file.open("a") as file:
            file.write(f'[[oa.integrations]]\nname = "portal"\nsecret = "{SECRET}"\ndomains = ["oa.test"]\n')
        with running:
            running.add_domain("oa.test", "lin", "wang", "zhao", "many")
            yield running


def ticket(account: str, ticket_id: str) -> str:
    claims = {"sub": account, "exp": int(time.time()) + 100, "jti": ticket_id}
    return jwt.encode(claims, SECRET, "HS256")


def form(account: str, password: str, **more: str) -> list[str]:
    fields = {"fm_strAccount": account, "fm_strPassword": password, **more}
    return [part for name, value in fields.items() for part in ("--data-urlencode", f"{name}={value}")]


def by_smtp(server: RunningServer, account: str, password: str) -> int:
    """The answer to AUTH."""
    plain = base64.b64encode(f"\0{account}\0{password}".encode()).decode()
    with smtplib.SMTP("127.0.0.1", server.ports["submission"]) as client:
        client.ehlo()
        return client.docmd("AUTH", f"PLAIN {plain}")[0]


def test_get_and_post_as_the_documents_print_them(server: RunningServer) -> None:
    base, account = server.web, "lin@oa.test"
    md5 = hashlib.md5(PASSWORD.encode()).hexdigest()
    entered = [
        (curl(*form(account, PASSWORD), f"{base}/mail"), "/mail"),
        (curl(f"{base}/mail/login.asp?acc={account}&pwd={PASSWORD}&go=0"), "/mail/summary"),
        (curl(f"{base}/mail/login.asp?acc={account}&pwd={md5}&go=1"), "/mail"),
        (curl(f"{base}/mail/login.asp?acc={account}&pwd={md5.upper()}&go=4"), "/mail/compose"),
        (curl(*form(account, PASSWORD), f"{base}/login.asp?go=1"), "/mail"),
        (curl(f"{base}/jdwm/cgi/login.cgi?login+{account}+{PASSWORD}+0"), "/mail"),
        (
            curl(f"{base}/jdwm/cgi/login.cgi?login+{account}+{PASSWORD}+{account}+0"),
            "/mail/compose?to=lin%40oa.test",
        ),
        (curl(f"{base}/sso?ticket={ticket(account, 'printed')}"), "/mail/summary"),
    ]
    for answer, place in entered:
        assert (answer.status, answer.header("location")) == (303, place)
        cookie = answer.header("set-cookie").partition(";")[0]
        assert curl("--cookie", cookie, f"{base}/mail/summary").status == 200
    get = f"{base}/mail/password.asp?acc={account}&pwd=another-one-1&old={PASSWORD}&jump=1&url=login.asp"
    answer = curl(get)
    assert (answer.status, answer.header("location")) == (303, "/mail/login.asp")
    for _ in range(6):  # on whichever worker
        assert by_smtp(server, account, "another-one-1") == 235
    assert by_smtp(server, account, PASSWORD) == 535
    fields = form(account, PASSWORD, fm_strOldPassword="another-one-1", fm_strGoBack="http://oa.example.com/")
    answer = curl(*fields, f"{base}/mail/password.asp?jump=1")
    assert (answer.status, answer.header("location")) == (303, "http://oa.example.com/")
    answer = curl(*form(account, PASSWORD, fm_strOldPassword=PASSWORD), f"{base}/mail/password.asp?jump=0")
    assert (answer.status, answer.body) == (200, "OK")


def test_no_secret_is_in_a_log_line_a_header_or_a_page(server: RunningServer) -> None:
    base, account = server.web, "wang@oa.test"
    secrets = [f"s3cret-{number}-Xq" for number in range(12)]
    hexes = [secret.encode().hex() for secret in secrets]
    percents = ["".join(f"%{byte:02x}" for byte in secret.encode()) for secret in secrets]
    good, used = ticket(account, "secret-1"), ticket("nobody@oa.test", "secret-2")
    answers = [
        curl(*form(account, secrets[0]), f"{base}/mail"),
        curl(f"{base}/mail/login.asp?acc={account}&pwd={secrets[1]}&go=0"),
        curl(*form("nobody@oa.test", secrets[2]), f"{base}/login.asp"),
        curl(f"{base}/mail/password.asp?acc={account}&pwd={secrets[3]}&old={secrets[4]}"),
        curl(f"{base}/password.asp?acc={account}&pwd={secrets[5]}&old={PASSWORD}&url=//evil.example"),
        curl(f"{base}/jdwm/cgi/login.cgi?login+{account}+{secrets[6]}+0"),
        curl(f"{base}/jdwm/cgi/login.cgi?login+nobody@oa.test+{percents[7]}+0"),
        curl(f"{base}/jdwm/cgi/login.cgi?login+{b'no@oa.test'.hex()}+{hexes[8]}+0"),
        curl(f"{base}/jdwm/cgi/login.cgi?login+{account}+{secrets[9]}"),
        curl(f"{base}/jdwm/cgi/login.cgi/?login+{account}+{secrets[9]}+0"),
        curl(f"{base}/mail/login.asp/?acc={account}&pwd={secrets[10]}"),
        curl(f"{base}/mail/login.aspx?acc={account}&pwd={secrets[10]}"),
        curl(f"{base}/jdwm/cgi/login.cgi%3Flogin+{account}+{secrets[10]}+0"),
        curl("--request", "PUT", f"{base}/mail/login.asp?acc={account}&pwd={secrets[10]}"),
        curl("--head", f"{base}/mail/login.asp?acc={account}&pwd={secrets[10]}"),
        curl(f"{base}/mail/login.asp?acc={account}&pwd={secrets[11]}&{'x=1&' * 200}"),
        curl(f"{base}/mail/login.asp?acc={account}&pwd={PASSWORD}"),
        curl(f"{base}/sso?ticket={good}"),
        curl(f"{base}/sso?ticket={good}"),
        curl(f"{base}/sso?ticket={used}"),
    ]
    statuses = [answer.status for answer in answers]
    assert statuses[:9] == [401, 401, 401, 401, 400, 401, 401, 401, 400]
    assert statuses[9:] == [404, 404, 404, 404, 405, 405, 400, 303, 303, 401, 401]
    hidden = [*secrets, *hexes, *percents, PASSWORD, quote(PASSWORD), good, used, SECRET]
    said = server.log()
    assert said.count("/jdwm/cgi/login.cgi") >= 5, "requests are logged"
    assert '"/mail/login.asp"' in said and "acc=" not in said
    for text in hidden:
        assert text not in said
        for answer in answers:
            assert text not in answer.head and text not in answer.body
    for answer in answers:
        assert answer.header("referrer-policy") == "no-referrer"
        assert answer.header("cache-control") == "no-store"


def test_guesses_are_counted_over_all_doors_together(server: RunningServer) -> None:
    base, account = server.web, "many@oa.test"

    doors: dict[str, Callable[[str], int]] = {
        "login box": lambda word: curl(*form(account, word), f"{base}/mail").status,
        "login.asp": lambda word: curl(f"{base}/login.asp?acc={account}&pwd={word}").status,
        "login.cgi": lambda word: curl(f"{base}/jdwm/cgi/login.cgi?login+{account}+{word}+0").status,
        "password.asp": lambda word: (
            curl(f"{base}/password.asp?acc={account}&pwd=new-password-1&old={word}&jump=0").status
        ),
        "webmail": lambda word: (
            curl("--data", f"username={account}&password={word}", f"{base}/mail/login").status
        ),
        "SMTP": lambda word: by_smtp(server, account, word),
    }
    for number, (name, guess) in enumerate(doors.items()):
        assert guess(f"guess-{number}") in (401, 535), name
    assert len(doors) == LIMIT
    for name, enter in doors.items():
        assert enter(PASSWORD) in (429, 454), name
    blocked = curl(f"{base}/login.asp?acc={account}&pwd={PASSWORD}")
    assert 0 < int(blocked.header("retry-after")) <= 600
    assert curl(f"{base}/mail/login.asp?acc=zhao@oa.test&pwd={PASSWORD}").status == 303


def test_a_right_password_at_one_door_resets_the_count_of_all(server: RunningServer) -> None:
    base, account = server.web, "zhao@oa.test"
    for _ in range(2):
        for number in range(LIMIT - 1):
            assert curl(f"{base}/login.asp?acc={account}&pwd=guess-{number}{time.time()}").status == 401
        assert curl(f"{base}/jdwm/cgi/login.cgi?login+{account}+{PASSWORD}+0").status == 303
