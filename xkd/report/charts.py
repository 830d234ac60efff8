"""Where things stand in a chart: data become positions in percent, which the page's template draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xkd.statistics import Estimate

NUM_TICKS = 5
NUM_COLOURS, NUM_DASHES = 6, 3  # classes c0.. and d0.. of style.html: so many lines can be told apart by both


@dataclass(frozen=True)
class Chart:
    """Lines over a common axis, such as validation accuracy over epochs: name of the line -> its points (x, y)."""

    title: str
    x_title: str
    y_title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    guide: str = ""  # the name of a line that is no measurement, such as a diagonal
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # dots; those that a line passes have their names beside them


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, `at` percent of its length from its start."""

    at: float
    text: str


@dataclass(frozen=True)
class DrawnChart:
    """A chart in percent of its area: y grows downwards, as in SVG."""

    lines: dict[str, str]  # SVG points
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: dict[str, tuple[float, float, bool]] = field(default_factory=dict)  # from the left, from the top, with its name


@dataclass(frozen=True)
class Span:
    """A mean and its interval, in percent from the left."""

    left: float
    width: float
    mean: float


def draw_lines(chart: Chart) -> DrawnChart:
    """Points that are not finite are left out; a chart without any point has no lines and no ticks."""
    finite = {name: [(x, y) for x, y in line if math.isfinite(x) and math.isfinite(y)] for name, line in chart.lines.items()}
    marks = {name: (x, y) for name, (x, y) in chart.marks.items() if math.isfinite(x) and math.isfinite(y)}
    points = [*marks.values(), *(point for line in finite.values() for point in line)]
    if not points:
        return DrawnChart({}, [], [])
    xs, ys = ticks(*_ends([x for x, _ in points])), ticks(*_ends([y for _, y in points]))
    lines = {
        # a line from a point to itself, with round ends, is a dot
        name: " ".join(f"{_place(x, xs):.2f},{100 - _place(y, ys):.2f}" for x, y in (line * 2 if len(line) == 1 else line))
        for name, line in finite.items()
        if line
    }
    passed = {point for line in finite.values() for point in line}
    placed = {name: (_place(x, xs), 100 - _place(y, ys), (x, y) in passed) for name, (x, y) in marks.items()}
    return DrawnChart(lines, [Tick(_place(x, xs), f"{x:g}") for x in xs], [Tick(100 - _place(y, ys), f"{y:g}") for y in ys], placed)


def ink(name: str, chart: Chart, place: int) -> str:
    """The classes of a line: its colour, and in each further round of colours its dashes; a guide has its own."""
    return "guide" if name == chart.guide else f"c{place % NUM_COLOURS} d{place // NUM_COLOURS % NUM_DASHES}"


def draw_spans(estimates: Sequence[Estimate], scale: float = 1.0) -> tuple[list[Span | None], list[Tick]]:
    """Estimates on one axis, labelled in values times `scale`; none where an estimate is undefined."""
    known = [e for e in estimates if is_known(e)]
    if not known:
        return [None for _ in estimates], []
    values = [v * scale for e in known for v in (e.low, e.mean, e.high)]
    axis = ticks(*_ends(values))
    spans: list[Span | None] = []
    for estimate in estimates:
        if is_known(estimate):
            low, mean, high = (_place(v * scale, axis) for v in (estimate.low, estimate.mean, estimate.high))
            spans.append(Span(low, high - low, mean))
        else:
            spans.append(None)
    return spans, [Tick(_place(value, axis), f"{value:g}") for value in axis]


def is_known(estimate: Estimate) -> bool:
    return estimate.defined and all(math.isfinite(v) for v in (estimate.mean, estimate.low, estimate.high))


def ticks(low: float, high: float) -> list[float]:
    """Round values that enclose low..high, a step of 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(value: float, axis: Sequence[float]) -> float:
    return 100 * (value - axis[0]) / (axis[-1] - axis[0])
