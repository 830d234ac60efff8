"""Exits in tables, sentences and a chart: of one checkpoint, or of several with their mean and deviation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

from xkd.evidence.exits import Exit, Exits, Point, Spot
from xkd.report.charts import Chart
from xkd.report.page import Listing


def listings(measured: Sequence[Exits]) -> list[Listing]:
    """Each exit by itself, and the curve."""
    return [_exits(measured), _curve(measured)]


def _exits(measured: Sequence[Exits]) -> Listing:
    columns = ("exit", "MFLOPs until there", "ms", "accuracy on val", "on test", "threshold", "test rows that stop there", "right of these")
    told: list[Callable[[Exit], float]] = [lambda e: e.accuracy_val, lambda e: e.accuracy, lambda e: e.stops, lambda e: e.right]
    rows = []
    for k, one in enumerate(measured[0].exits):
        val, test, stops, right = (_told([column(of.exits[k]) for of in measured]) for column in told)
        last = k == len(measured[0].exits) - 1
        thresholds = "-" if last else ", ".join(_threshold(of.chosen.thresholds[k]) for of in measured)
        rows.append((one.name, f"{one.flops / 1e6:.1f}", f"{one.milliseconds:.3f}", val, test, thresholds, stops, right))
    note = f"{len(measured)} checkpoint{'s' * (len(measured) > 1)}; ms for one image, one thread, this machine, float32"
    return Listing("Exits", note, columns, tuple(rows))


def _curve(measured: Sequence[Exits]) -> Listing:
    columns = (
        "may be lost on val",
        "thresholds",
        "accuracy on val",
        "on test",
        "ms for a test image",
        "% of ms without exits",
        "MFLOPs for a test image",
        "% of MFLOPs without exits",
    )
    rows = []
    for k, one in enumerate(measured[0].curve):
        points = [of.curve[k] for of in measured]
        thresholds = " ".join(map(_threshold, one.thresholds)) if len(measured) == 1 else "each its own"
        rows.append((f"{one.lose_at_most:g}", thresholds, *_cells(points, measured)))
    note = "thresholds of the fewest FLOPs on val at the accuracy that may be lost there; the test split chooses nothing"
    return Listing("Accuracy against cost", note, columns, tuple(rows))


def _cells(points: Sequence[Point], measured: Sequence[Exits]) -> tuple[str, ...]:
    milliseconds, flops = (fmean(of) for of in ([p.test.milliseconds for p in points], [p.test.flops for p in points]))
    return (
        _told([p.val.accuracy for p in points]),
        _told([p.test.accuracy for p in points]),
        f"{milliseconds:.3f}",
        f"{milliseconds / measured[0].milliseconds_without:.0%}",
        f"{flops / 1e6:.1f}",
        f"{flops / measured[0].flops_without:.0%}",
    )


def lines(measured: Sequence[Exits]) -> list[str]:
    """What was chosen, in sentences; the first is the finding."""
    chosen = [of.chosen for of in measured]
    deepest = [of.exits[-1].accuracy for of in measured]
    _, accuracy, milliseconds, of_time, flops, of_flops = _cells(chosen, measured)
    told = [
        f"where at most {chosen[0].lose_at_most:g} may be lost on val, on test: accuracy {accuracy}, of the deepest exit {_told(deepest)};"
        f" {milliseconds} ms for an image, {of_time} of the network without exits ({measured[0].milliseconds_without:.3f});"
        f" {flops} MFLOPs, {of_flops} of it ({measured[0].flops_without / 1e6:.1f})"
    ]
    if fmean(p.val.milliseconds for p in chosen) >= measured[0].milliseconds_without:
        told.append(
            "stopping early is no faster than the network without exits on this machine: the exits cost what they save;"
            " measure on the device, run.py bench, or write that network, xkd export"
        )
    if idle := [of.name for k, of in enumerate(measured[0].exits[:-1]) if all(math.isinf(p.thresholds[k]) for p in chosen)]:
        told.append(f"no image stops at {', '.join(idle)}, which costs time: leave it out, --heads with the others")
    if all(of.handed_on for of in measured):
        handed: list[Any] = [of.handed_on for of in measured]
        told.append(
            f"handed on to a larger model, below a confidence of {', '.join(f'{of.below:.3f}' for of in handed)}:"
            f" {_told([of.val for of in handed])} of the rows of val, {_told([of.test for of in handed])} of test; accuracy on the others"
            f" {_told([of.accuracy_val for of in handed])} and {_told([of.accuracy for of in handed])}"
        )
    return told


def charts(measured: Sequence[Exits]) -> list[Chart]:
    """Accuracy against milliseconds and against FLOPs."""

    def drawn(title: str, unit: str, cost: Callable[[Spot | Exit], float], without: float) -> Chart:
        numbers = range(len(measured[0].curve))
        curves = {
            name: sorted({_mean([(cost(of(m.curve[k])), of(m.curve[k]).accuracy) for m in measured]) for k in numbers})
            for name, of in _SPLITS.items()
        }
        each = [_mean([(cost(m.exits[k]), m.exits[k].accuracy) for m in measured]) for k in range(len(measured[0].exits))]
        alone = [_mean([(without, m.exits[-1].accuracy) for m in measured])]
        return Chart(title, unit, "accuracy, %", {**curves, "each exit alone, test": each, "the network without exits, test": alone})

    return [
        drawn("Accuracy against time", "milliseconds for an image", lambda of: of.milliseconds, measured[0].milliseconds_without),
        drawn("Accuracy against work", "MFLOPs for an image", lambda of: of.flops / 1e6, measured[0].flops_without / 1e6),
    ]


_SPLITS: dict[str, Callable[[Point], Spot]] = {"stopping early, val": lambda p: p.val, "stopping early, test": lambda p: p.test}


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return fmean(x for x, _ in points), 100 * fmean(y for _, y in points)


def _threshold(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.3f}"


def _told(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    return f"{fmean(known):.3f}" + (f" ± {stdev(known):.3f}" if len(known) > 1 else "")
