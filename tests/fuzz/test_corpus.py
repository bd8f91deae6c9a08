"""What fuzzing found once is never found again, and the targets themselves hold on ordinary mails."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import MAX_INPUT, TARGETS
from tests.message.mails import MAILS

CORPUS = Path(__file__).parent / "corpus"
MAX_CORPUS_BYTES = 512 * 1024  # kept small: what is worth keeping says something new in a few lines


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_corpus_holds(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_ordinary_mails_hold(name: str) -> None:
    for content in MAILS.values():
        TARGETS[name](content[:MAX_INPUT])


@pytest.mark.parametrize("name", sorted(TARGETS))
@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_hold(name: str, data: bytes) -> None:
    TARGETS[name](data)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= MAX_CORPUS_BYTES
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
