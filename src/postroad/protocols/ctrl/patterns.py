"""Patterns of the control protocol's lists: the whole value, `*`, `?`, sets, `\\` for the next as it is.
Pure.

Interface page ctrl-protocol.md, end of section 6. Matched without going back more than once a star, so that
no pattern takes longer than its length times the value's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Single = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, read once. `literal` is what it says when it has nothing special, else None."""

    literal: str | None
    _steps: tuple[Single | None, ...]  # None is a star
    _folds: bool

    def matches(self, value: str) -> bool:
        """Whether it fits the whole value."""
        if self._folds:
            value = value.lower()
        steps = self._steps
        step = place = 0
        star: tuple[int, int] | None = (
            None  # where to go on: the step after a star, and the place it stands at
        )
        while place < len(value):
            if step < len(steps):
                one = steps[step]
                if one is None:
                    step += 1
                    star = (step, place)
                    continue
                if one(value[place]):
                    step += 1
                    place += 1
                    continue
            if star is None:
                return False
            star = (star[0], star[1] + 1)
            step, place = star
        return all(one is None for one in steps[step:])


def pattern(text: str, *, folds: bool = True) -> Pattern:
    """Read a pattern; without case, unless `folds` is False."""
    if folds:
        text = text.lower()
    steps: list[Single | None] = []
    literal: list[str] | None = []
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "*":
            literal = None
            if not steps or steps[-1] is not None:
                steps.append(None)
            continue
        if character == "?":
            literal = None
            steps.append(_any)
            continue
        if character == "[" and (end := text.find("]", place + 1)) >= 0:
            literal = None
            steps.append(_set(text[place:end]))
            place = end + 1
            continue
        if character == "\\" and place < len(text):
            character = text[place]
            place += 1
        steps.append(character.__eq__)
        if literal is not None:
            literal.append(character)
    return Pattern(None if literal is None else "".join(literal), tuple(steps), folds)


def _any(_: str) -> bool:
    return True


def _set(text: str) -> Single:
    is_negative = text.startswith("^")
    text = text.removeprefix("^")
    ranges: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        if text[place + 1 : place + 2] == "-" and place + 2 < len(text):
            ranges.append((text[place], text[place + 2]))
            place += 3
        else:
            ranges.append((text[place], text[place]))
            place += 1
    return lambda character: any(low <= character <= high for low, high in ranges) != is_negative
