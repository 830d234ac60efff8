"""`xkd exits CONFIG CHECKPOINT`: how good each exit of a student is, and what it saves to stop where one is sure enough."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.engine.config import load_config, parse_options
from xkd.engine.screen import Screen
from xkd.evidence.exits import Exit, Exits, measure_exits


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd exits", description="Measure the exits of a student: its heads and its output.")
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="+", help="of `xkd train`; of several, such as one arm's seeds, the mean and its deviation")
    parser.add_argument(
        "--lose-at-most", type=float, default=0.01, help="of accuracy on val, by stopping early, as a share of rows (%(default)s)"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print JSON alone, an entry for each checkpoint")
    add_arm(parser)
    a = parser.parse_args(arguments)
    config = load_config(a.config, parse_options(a.cfg_options))
    places = [checkpoint_of(argparse.Namespace(**{**vars(a), "checkpoint": place})) for place in a.checkpoint]
    measured = [measure_exits(config, place, a.lose_at_most) for place in places]
    if a.json:
        print(json.dumps([_plain(of) for of in measured]))
        return 0
    console = Screen()
    console.print(as_table(measured))
    for line in _lines(measured):
        console.print(line, highlight=False)
    return 0


def as_table(measured: Sequence[Exits]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=f"Exits, {len(measured)} checkpoint{'s' * (len(measured) > 1)}", title_justify="left")
    table.add_column("exit")
    for column in ("MFLOPs until there", "accuracy on val", "on test", "test rows that stop there", "right among those"):
        table.add_column(column, justify="right")
    for k, one in enumerate(measured[0].exits):
        each = [of.exits[k] for of in measured]
        columns: list[Callable[[Exit], float]] = [lambda e: e.accuracy_val, lambda e: e.accuracy, lambda e: e.stops, lambda e: e.right]
        table.add_row(one.name, f"{one.flops / 1e6:.1f}", *(_told([column(of) for of in each]) for column in columns))
    return table


def _lines(measured: Sequence[Exits]) -> list[str]:
    thresholds = ", ".join("none" if math.isinf(of.threshold) else f"{of.threshold:.3f}" for of in measured)
    whole = measured[0].flops_without
    return [
        f"threshold, chosen on val: {thresholds}",
        f"stopping there, on test: accuracy {_told([of.accuracy for of in measured])}, of the deepest exit"
        f" {_told([of.exits[-1].accuracy for of in measured])}; MFLOPs for an image {fmean(of.flops for of in measured) / 1e6:.1f}, of the"
        f" network without exits {whole / 1e6:.1f} ({fmean(of.flops for of in measured) / whole:.0%})",
    ]


def _told(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    return f"{fmean(known):.3f}" + (f" ± {stdev(known):.3f}" if len(known) > 1 else "")


def _plain(of: Exits) -> dict[str, Any]:
    """JSON has no word for what is infinite or not a number."""
    plain = asdict(of)
    plain["threshold"] = None if math.isinf(of.threshold) else of.threshold
    plain["exits"] = [{**one, "right": None if math.isnan(one["right"]) else one["right"]} for one in plain["exits"]]
    return plain
