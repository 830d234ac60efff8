"""`xkd exits CONFIG CHECKPOINT`: how good each exit of a student is, what stopping there saves, and a folder that stops there."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.deploy.folder import check_place
from xkd.engine.config import load_config, parse_options
from xkd.engine.screen import Screen
from xkd.evidence.exit_folder import timed_chain, write_exit_folder
from xkd.evidence.exit_page import charts, lines, listings
from xkd.evidence.exits import Exit, Exits, HandedOn, Point, Spot, load_exits, measure_exits
from xkd.files import write_atomically
from xkd.report.curves import curves_page
from xkd.report.page import Listing


def main(arguments: Sequence[str]) -> int:
    a = _parser().parse_args(arguments)
    if a.out:
        if len(a.checkpoint) > 1:
            raise ValueError(f"--out writes the folder of one checkpoint, got {len(a.checkpoint)}")
        check_place(Path(a.out))
    config = load_config(a.config, parse_options(a.cfg_options))
    places = [checkpoint_of(argparse.Namespace(**{**vars(a), "checkpoint": place})) for place in a.checkpoint]
    students = [load_exits(config, place, a.heads) for place in places]
    chain, times = timed_chain(students[0])  # all are one network
    measured = [measure_exits(config, student, times, a.lose_at_most, a.hand_on) for student in students]
    told, words = listings(measured), lines(measured)
    if a.json:
        print(json.dumps([_plain(of) for of in measured]))
    else:
        console = Screen()
        for one in told:
            console.print(as_table(one))
        for line in words:
            console.print(line, highlight=False)
    if a.page:
        command = shlex.join(["xkd", "exits", *arguments])
        write_atomically(Path(a.page), curves_page(f"Exits of {Path(a.config).stem}", words, charts(measured), told, command).encode())
    if a.out:
        report = write_exit_folder(config, students[0], chain, measured[0], a.out)
        if not a.json:
            Screen().print(f"{a.out}: {len(chain.segments)} segments, {report.num_bytes / 1e6:.1f} MB; largest difference of a probability")
            Screen().print(
                f"from PyTorch on {report.num_compared} images: {report.max_difference:.1e}; on the device: python {a.out}/run.py check"
            )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xkd exits", description="Measure the exits of a student, its heads and its output, and write a folder that stops early."
    )
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="+", help="of `xkd train`; of several, such as one arm's seeds, the mean and its deviation")
    lost = "of accuracy on val, by stopping early, as a share of rows (%(default)s)"
    parser.add_argument("--lose-at-most", type=float, default=0.01, metavar="SHARE", help=lost)
    parser.add_argument("--heads", nargs="+", default=[], metavar="NAME", help="those that are exits, where not all are to be used")
    parser.add_argument(
        "--out", default="", metavar="FOLDER", help="write a folder for the device, whose run.py stops early by the thresholds"
    )
    handed = "choose a confidence below which this share of val's rows is handed on to a larger model (run.py --ask, --hand-on)"
    parser.add_argument("--hand-on", type=float, metavar="SHARE", help=handed)
    parser.add_argument("--page", default="", metavar="FILE", help="draw the curve, as HTML")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print JSON alone, an entry for each checkpoint")
    add_arm(parser)
    return parser


def as_table(listing: Listing) -> Table:
    table = Table(box=SIMPLE_HEAD, title=f"{listing.title} ({listing.note})", title_justify="left")
    for number, column in enumerate(listing.columns):
        table.add_column(column, justify="right" if number else "left")
    for row in listing.rows:
        table.add_row(*row)
    return table


def _plain(value: Any) -> Any:
    """For JSON, which has no word for what is infinite or not a number: that is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Exits | Exit | Point | Spot | HandedOn):
        return {of.name: _plain(getattr(value, of.name)) for of in fields(value) if of.name != "tested"}
    return value
