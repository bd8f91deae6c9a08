"""Nothing is left untranslated; dates and sizes are written as each language does."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from babel.messages.pofile import read_po

from postroad.web.shell.languages import LOCALES, Dates, Languages, zone_named

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def script() -> ModuleType:
    """`scripts/translations` as a module."""
    path = Path(__file__).resolve().parents[3] / "scripts" / "translations"
    loader = importlib.machinery.SourceFileLoader("translations", str(path))
    spec = importlib.util.spec_from_loader("translations", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def placeholders(text: str) -> set[str]:
    """The values that a message is filled in with."""
    named = set(re.findall(r"%\((\w+)\)s", text))
    return named | {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_message_is_translated_with_the_same_values() -> None:
    module = script()
    with (LOCALES / "zh" / "LC_MESSAGES" / "postroad.po").open("rb") as file:
        catalogue = read_po(file, locale="zh")
    for message in module.used_messages():
        if not message.id:
            continue
        translated = catalogue.get(message.id)
        assert translated is not None, message.id
        assert module.all_strings(translated.string), message.id
        originals = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = translated.string if isinstance(translated.string, tuple) else (translated.string,)
        for one in strings:
            assert isinstance(one, str)
            assert placeholders(one) == placeholders(originals[-1]), message.id


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("de,zh;q=0.3,en;q=0.2", "zh"),
        ("fr", "en"),
        ("", "en"),
        ("zh;q=x, ;;;,=", "en"),
        ("zh" * 10_000, "en"),
    ],
)
def test_the_browsers_wish_is_heard(header: str, code: str) -> None:
    assert Languages().choose(None, None, header).code == code


def test_a_choice_goes_before_the_account_and_the_account_before_the_browser() -> None:
    languages = Languages()
    assert languages.choose("zh", "en", "en").code == "zh"
    assert languages.choose(None, "zh", "en").code == "zh"
    assert languages.choose("xx", None, "zh").code == "zh"


@pytest.mark.parametrize(
    ("ago", "english", "chinese"),
    [
        (timedelta(minutes=12), "17:18", "17:18"),
        (timedelta(days=1), "Yesterday", "昨天"),
        (timedelta(days=3), "Wed", "周三"),
        (timedelta(days=40), "12 Oct", "10月12日"),
        (timedelta(days=400), "2025-10-17", "2025-10-17"),
        (timedelta(days=-1), "22 Nov", "11月22日"),
    ],
)
def test_a_list_writes_dates_as_short_as_can_be(ago: timedelta, english: str, chinese: str) -> None:
    languages = Languages()
    assert Dates(languages.get("en"), SHANGHAI, NOW).when(NOW - ago) == english
    assert Dates(languages.get("zh"), SHANGHAI, NOW).when(NOW - ago) == chinese


def test_sizes_are_written_in_the_unit_people_use() -> None:
    language = Languages().get("en")
    sizes = [language.size(size) for size in (0, 999, 1000, 1536, 35_000_000, 999_960, 5 * 10**9)]
    assert sizes == ["0 B", "999 B", "1 KB", "1.5 KB", "35 MB", "1 MB", "5 GB"]


def test_a_time_zone_that_is_none_is_utc() -> None:
    for name in (None, "", "../../etc/passwd", "Mars/Olympus", "x" * 1000, "\0", "/etc/localtime"):
        assert zone_named(name) is UTC
    assert zone_named("Asia/Shanghai") == SHANGHAI
