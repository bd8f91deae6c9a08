"""Every sentence that a command says stands in the catalogue once, and gets all facts that it speaks of."""

from __future__ import annotations

import ast
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from postroad.cli.words import TEXTS

CLI = Path(__file__).resolve().parents[2] / "src/postroad/cli"


def keys_of(name: str) -> Iterator[str]:
    """The literal keys of every dictionary of the command line whose name ends so."""
    for path in CLI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(node.value, ast.Dict)
                and node.target.id.endswith(name)
            ):
                yield from (str(key.value) for key in node.value.keys if isinstance(key, ast.Constant))


def test_no_sentence_stands_in_the_way_of_another() -> None:
    for name in ("TEXTS", "ERRORS"):
        twice = [key for key, count in Counter(keys_of(name)).items() if count > 1]
        assert not twice, f"{name}: {twice}"


def test_what_is_said_is_in_the_catalogue_with_all_its_facts() -> None:
    wrong: list[str] = []
    for path in CLI.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            word = call.args[0].value
            if name != "say" or not isinstance(word, str):
                continue
            if word not in TEXTS:
                wrong.append(f"{path.name}:{call.lineno}: {word} is not in the catalogue")
                continue
            given = {keyword.arg for keyword in call.keywords}
            for text in TEXTS[word]:
                wanted = {field for _, field, _, _ in string.Formatter().parse(text) if field}
                if None not in given and not wanted <= given:
                    wrong.append(f"{path.name}:{call.lineno}: {word} lacks {sorted(wanted - given)}")
    assert not wrong, "\n".join(wrong)
