"""The page's list of rooms is the tree of `src/postroad`, two levels deep, in the order of the floors."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
SOURCE = ROOT / "src" / "postroad"
_ROOM = re.compile(r"^    (?P<deeper>    )?(?P<name>\w+)/ +(?P<what>\S.*)$", re.MULTILINE)


def listed() -> dict[str, str]:
    """Each room of the page, by its path, with what is said of it."""
    text = PAGE.read_text(encoding="utf-8").partition("## The rooms")[2].partition("\n## ")[0]
    rooms: dict[str, str] = {}
    above = ""
    for found in _ROOM.finditer(text):
        if found["deeper"] is None:
            above = found["name"]
        rooms[f"{above}/{found['name']}" if found["deeper"] else found["name"]] = found["what"]
    return rooms


def is_room(path: Path) -> bool:
    """Whether git knows anything in it: caches and built files are no rooms."""
    return path.is_dir() and path.name not in ("__pycache__", "dist")


def test_every_room_is_listed_and_no_other() -> None:
    rooms = {
        str(path.relative_to(SOURCE))
        for path in (*SOURCE.glob("*"), *SOURCE.glob("*/*"))
        if is_room(path) and "__pycache__" not in path.parts
    }
    assert set(listed()) == rooms


def test_rooms_stand_in_the_order_of_the_floors() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    floors = {
        name: number
        for number, layer in enumerate(contracts["contracts"][0]["layers"])
        for name in re.findall(r"postroad\.(\w+)", layer)
    }
    rooms = [name for name in listed() if "/" not in name]
    assert set(rooms) <= set(floors)
    assert [floors[name] for name in rooms] == sorted(floors[name] for name in rooms)
