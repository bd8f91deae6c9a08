"""Whatever is logged, secrets do not stand in the line."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from postroad.config import Log
from postroad.server import logs

SECRET = "hunter2-Swordfish"


def redacted(**fields: object) -> str:
    return json.dumps(logs.redact(None, "info", {"event": "tested", **fields}), default=str)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "old_password", "passwd", "pwd", "token", "csrf_token", "api_key", "apikey", "secret"),
        *("Authorization", "cookie", "set_cookie", "private_key", "client_secret", "old", "newpwd"),
    ],
)
def test_a_field_with_such_a_name_is_hidden_at_any_depth(name: str) -> None:
    assert SECRET not in redacted(**{name: SECRET})
    assert SECRET not in redacted(request={"fields": [{name: SECRET}]})
    assert SECRET not in redacted(request={"fields": [{name: [SECRET.encode()]}]})


@pytest.mark.parametrize(
    "text",
    [
        f"GET /cgi-bin/login.cgi?user=ann&pwd={SECRET}&x=1",
        f"/dbmail?old={SECRET}",
        f"Authorization: Basic {SECRET}",
        f"authorization: Bearer {SECRET}",
        f"Cookie: postroad_session={SECRET}; language=zh",
        f"AUTH PLAIN {SECRET}",
        f'{{"password": "{SECRET}", "user": "ann"}}',
        f"password='{SECRET}'",
        f"cannot connect to postgresql://postroad:{SECRET}@db.example.com/postroad",
        f"ValueError: bad token={SECRET}",
    ],
)
def test_inside_other_text_it_is_hidden_too(text: str) -> None:
    assert SECRET not in redacted(error=text)
    assert SECRET not in redacted(lines=[text.encode()])
    assert SECRET not in json.dumps(logs.redact(None, "info", {"event": text}))


@pytest.mark.parametrize("name", ["event", "passed", "passes", "bypassing", "account", "folder", "path"])
def test_other_fields_stay_as_they_are(name: str) -> None:
    assert logs.redact(None, "info", {name: "ann@example.com sent 12 mails"}) == {
        name: "ann@example.com sent 12 mails"
    }


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=20)
)
def test_anything_can_be_logged(value: object) -> None:
    json.dumps(logs.redact(None, "info", {"event": "tested", "value": value}))


@pytest.mark.parametrize("form", ["json", "console"])
def test_exceptions_of_ours_and_of_libraries_are_redacted_too(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    try:
        logs.configure(Log(format=form), worker=3)
        try:
            raise ValueError(f"cannot use password={SECRET}")
        except ValueError:
            structlog.get_logger().exception("failed", detail={"pwd": SECRET})
            logging.getLogger("a.library").exception("GET /?token=%s", SECRET)
    finally:
        structlog.configure(**before)
        logging.root.handlers[:], logging.root.level = handlers, level
    said = output.getvalue()
    assert SECRET not in said
    assert said.count("ValueError: cannot use password=[redacted]") == 2
    if form == "json":
        assert [json.loads(line)["worker"] for line in said.splitlines()] == [3, 3]
