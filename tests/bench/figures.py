"""What was measured: medians of interleaved runs, ratios to the floor, and the table of both."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in ascending order, by the nearest rank; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def median_of(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.  ``value`` is hintd's, ``floor`` the bare libraries'; ``compared`` is the number that the
    target is about: a ratio or a difference of the two, or the value itself."""

    part: str
    what: str
    unit: str
    value: float
    floor: float | None = None
    compared: float | None = None
    target: str = ""
    met: bool | None = None
    runs: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def at_least(compared: float, least: float, unit: str = "x") -> dict[str, Any]:
    return {"compared": compared, "target": f">= {least:g} {unit}", "met": compared >= least}


def at_most(compared: float, most: float, unit: str = "x") -> dict[str, Any]:
    return {"compared": compared, "target": f"<= {most:g} {unit}", "met": compared <= most}


HEAD = ("part", "measured", "floor", "hintd", "compared", "target", "")


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table, columns aligned, so that it can stand in the README as it is."""
    rows = [HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.part,
        figure.what,
        "" if figure.floor is None else f"{_number(figure.floor)} {figure.unit}",
        f"{_number(figure.value)} {figure.unit}",
        "" if figure.compared is None else _number(figure.compared),
        figure.target,
        "" if figure.met is None else ("met" if figure.met else "missed"),
    )


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
