"""What a benchmark says: medians of interleaved rounds, ratios against goals, a table and one JSON object.

No measuring here. The JSON's form is part of the contract with operators: `{"name", "ratios", "figures"}`.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field


@dataclass(slots=True)
class Series:
    """The results of one thing measured several times, `unit` being what one number means."""

    unit: str
    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Keep one round's result."""
        self.values.append(value)

    @property
    def median(self) -> float:
        """The middle of all rounds."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """The median with the lowest and highest round beside it."""
        return f"{self.median:,.0f} ({min(self.values):,.0f}-{max(self.values):,.0f})"


@dataclass(slots=True)
class Comparison:
    """One question: ours against a peer's, higher is better, `goal` the ratio we want at least."""

    what: str
    peer_name: str
    goal: float | None
    ours: Series
    peers: Series

    @property
    def ratio(self) -> float:
        """Our median as a multiple of the peer's."""
        return self.ours.median / self.peers.median


@dataclass(slots=True)
class Limit:
    """One figure that has to stay below a bound."""

    what: str
    unit: str
    value: float
    bound: float


@dataclass(slots=True)
class Report:
    """Everything one benchmark found out."""

    name: str
    notes: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    figures: dict[str, float | str] = field(default_factory=dict)

    def compare(self, what: str, peer_name: str, unit: str, goal: float | None) -> Comparison:
        """Open a question whose rounds are then added to `ours` and `peers`."""
        comparison = Comparison(what, peer_name, goal, Series(unit), Series(unit))
        self.comparisons.append(comparison)
        return comparison

    def table(self) -> str:
        """The findings for people: medians, with the lowest and highest round in brackets."""
        rows = [("what", "unit", "Postroad", "peer", "ratio", "goal", "")]
        for comparison in self.comparisons:
            goal = comparison.goal
            rows.append(
                (
                    comparison.what,
                    comparison.ours.unit,
                    comparison.ours.spread,
                    f"{comparison.peers.spread} {comparison.peer_name}",
                    f"{comparison.ratio:.2f}",
                    "" if goal is None else f">= {goal:g}",
                    "" if goal is None else ("met" if comparison.ratio >= goal else "MISSED"),
                )
            )
        for limit in self.limits:
            verdict = "met" if limit.value < limit.bound else "MISSED"
            rows.append(
                (limit.what, limit.unit, f"{limit.value:,.0f}", "", "", f"< {limit.bound:g}", verdict)
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths if width))
        figures = [f"{what}: {value}" for what, value in self.figures.items()]
        return "\n".join([f"== {self.name}", *self.notes, "", *lines, *([""] if figures else []), *figures])

    def as_json(self) -> str:
        """The findings for programs, on one line."""
        ratios: dict[str, dict[str, float | None]] = {
            comparison.what: {"value": round(comparison.ratio, 3), "goal": comparison.goal}
            for comparison in self.comparisons
        }
        figures: dict[str, float | str] = {}
        for comparison in self.comparisons:
            unit = comparison.ours.unit
            figures[f"{comparison.what}: Postroad, {unit}"] = round(comparison.ours.median, 1)
            figures[f"{comparison.what}: {comparison.peer_name}, {unit}"] = round(comparison.peers.median, 1)
        for limit in self.limits:
            figures[f"{limit.what}, {limit.unit}"] = round(limit.value, 1)
            figures[f"{limit.what}, bound, {limit.unit}"] = limit.bound
        return json.dumps({"name": self.name, "ratios": ratios, "figures": {**figures, **self.figures}})

    def publish(self, *, with_json: bool) -> None:
        """Print the table, and the JSON as the last line when asked for."""
        print(self.table(), flush=True)
        if with_json:
            print(self.as_json(), flush=True)
