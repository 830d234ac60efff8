"""`xkd check-pairs DATASET`: what training would refuse, and what it would swallow; a page with overlays to look at."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from xkd.data.check import PairCheck
from xkd.data.check.residual import MAX_RESIDUAL
from xkd.data.manifest import Manifest, find_dataset
from xkd.engine.screen import Screen
from xkd.evidence.data_page import PAGE, check_data

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
        command = shlex.join(["xkd", "check-pairs", *arguments])
        check = check_data(manifest, out, progress, command=command, sample=a.sample, seed=a.seed, max_residual=a.max_residual)
    console.print(as_table(check))
    console.print(f"page: {out / PAGE}, numbers: {out / 'pairs.json'}")
    return 1 if check.errors else 0


def as_table(check: PairCheck) -> Table:
    table = Table("", "about", "finding", title=f"{check.name}: {sum(check.balance.rows.values())} rows, pixels of {len(check.rows)}")
    for finding in check.findings:
        # names of files may hold brackets, which are no markup here
        table.add_row(Text(finding.severity, _COLOURS[finding.severity]), Text(finding.subject), Text(finding.text))
    if not check.findings:
        table.add_row("", "", "nothing to report")
    return table


def bars(console: Console) -> Progress:
    """One bar per kind of work, with the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, console=console)
