"""The page of settings names every setting there is, with its real default, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from postroad.config import LOOPBACK, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
_ROW = re.compile(r"^\| `([a-z_.0-9]+)` \| ([^|]+) \| .+ \|$")


def documented() -> dict[str, str]:
    """The keys of the page's tables with what stands in their default column."""
    rows = (_ROW.match(line) for line in PAGE.read_text(encoding="utf-8").splitlines())
    return {row[1]: row[2].strip() for row in rows if row}


def settings_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of the tree with its default; `...` where the default is found out at run time."""
    for name, field in model.model_fields.items():
        default = ... if field.default_factory else field.default
        if isinstance(default, BaseModel):
            yield from settings_of(type(default), f"{path}{name}.")
        else:
            yield path + name, default


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert documented().keys() == dict(settings_of(Settings)).keys()


@pytest.mark.parametrize(("key", "default"), [*settings_of(Settings)])
def test_the_documented_default_is_the_real_one(key: str, default: Any) -> None:
    told = documented()[key]
    if default is ...:
        assert not told.startswith("`"), "a default that is found out is described in words"
    elif default is None:
        assert told == "none"
    elif default == LOOPBACK:
        assert told == "loopback"
    elif isinstance(default, tuple):
        assert json.loads(told.strip("`")) == [str(network) for network in default]
    elif isinstance(default, Path):
        assert json.loads(told.strip("`")) == str(default)
    else:
        assert json.loads(told.strip("`")) == default
