"""`xkd check-pairs DATASET`: what training would refuse, and what it would swallow; a page with overlays to look at."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from xkd.data.check import PairCheck, check_pairs, draw_overlays
from xkd.data.check.residual import MAX_RESIDUAL
from xkd.data.manifest import Manifest, find_dataset
from xkd.engine.screen import Screen
from xkd.files import write_together
from xkd.report.pairs import pairs_page

OVERLAYS: Final = 8
_COLOURS: Final = {"error": "bold red", "warning": "yellow", "note": "dim"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd check-pairs",
        description="Check a data set: files, registration, time, exposure, leaks, labels. Exits with 1 where training would refuse it.",
    )
    parser.add_argument("dataset", help="its folder, or its name below XKD_DATA_ROOT")
    parser.add_argument("--out", help="where pairs.html and pairs.json go (work_dirs/check_pairs/NAME)")
    parser.add_argument("--sample", type=int, default=200, help="rows whose pixels are read, evenly from the splits; 0 is all (200)")
    parser.add_argument("--seed", type=int, default=0, help="draws the sample")
    parser.add_argument(
        "--max-residual", type=float, default=MAX_RESIDUAL, help="median registration residual that is still fine, in pixels (%(default)s)"
    )
    a = parser.parse_args(arguments)
    manifest = Manifest.load(find_dataset(a.dataset))
    out = Path(a.out or Path("work_dirs") / "check_pairs" / manifest.name)
    console = Screen()
    with bars(console) as progress:
        check = check_pairs(manifest, a.sample, a.seed, a.max_residual, advance(progress))
    overlays = draw_overlays(manifest, *zip(*looked, strict=True)) if (looked := check.to_look_at(OVERLAYS)) else []
    units = {name: sensor.unit for name, sensor in manifest.modalities.items()}
    page = pairs_page(check, overlays, units, manifest.licence, shlex.join(["xkd", "check-pairs", *arguments]))
    numbers = json.dumps({"seed": a.seed, **check.as_json()}, indent=1, allow_nan=False)
    write_together({out / "pairs.html": page.encode(), out / "pairs.json": numbers.encode()})
    console.print(as_table(check))
    console.print(f"page: {out / 'pairs.html'}, numbers: {out / 'pairs.json'}")
    return 1 if check.errors else 0


def as_table(check: PairCheck) -> Table:
    table = Table("", "about", "finding", title=f"{check.name}: {sum(check.balance.rows.values())} rows, pixels of {len(check.rows)}")
    for finding in check.findings:
        # names of files may hold brackets, which are markup to rich
        table.add_row(f"[{_COLOURS[finding.severity]}]{finding.severity}[/]", finding.subject, finding.text.replace("[", r"\["))
    if not check.findings:
        table.add_row("", "", "nothing to report")
    return table


def bars(console: Console) -> Progress:
    """One bar per kind of work, with the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, console=console)


def advance(progress: Progress) -> Callable[[str, int, int], None]:
    """What moves them: what is done, how many, of how many."""
    tasks: dict[str, TaskID] = {}

    def move(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done)

    return move
