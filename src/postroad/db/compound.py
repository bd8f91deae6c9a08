"""Several writes as one statement: one trip to the database and back, its commit included.

A transaction of six statements costs seven trips; at one mail a transaction they are most of its time. Each
room states its own clause beside its table; whoever writes for several rooms joins them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Clause:
    """Items of a WITH list (`name AS (…)`, several parted by commas), and what their `$1`, `$2` … stand for.

    The text is a constant of its room, never made from values: it is remembered.
    """

    text: str
    arguments: tuple[object, ...]


def compound(clauses: Sequence[Clause], result: str) -> tuple[str, list[object]]:
    """Join clauses and the query that follows them (without placeholders); returns the statement and its
    arguments.
    """
    shape = tuple((clause.text, len(clause.arguments)) for clause in clauses)
    return _joined(shape, result), [argument for clause in clauses for argument in clause.arguments]


@lru_cache(maxsize=256)
def _joined(shape: tuple[tuple[str, int], ...], result: str) -> str:
    items = []
    before = 0
    for text, count in shape:
        items.append(_PLACEHOLDER.sub(lambda match, by=before: f"${int(match[1]) + by}", text))  # type: ignore[misc]
        before += count
    return f"WITH {', '.join(items)} {result}"
