"""The check of a data set with its page: what is wrong with pairs, labels and splits, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.progress import Progress, TaskID

from xkd.data.check.overlay import draw_overlays
from xkd.data.check.residual import MAX_RESIDUAL
from xkd.data.check.run import PairCheck, check_pairs
from xkd.data.manifest import Manifest
from xkd.files import write_together
from xkd.report.pairs import pairs_page

OVERLAYS: Final = 8
PAGE: Final = "pairs.html"


def check_data(
    manifest: Manifest, out: Path, progress: Progress, *, command: str, sample: int, seed: int = 0, max_residual: float = MAX_RESIDUAL
) -> PairCheck:
    """Check, and write `pairs.html` and `pairs.json` into `out`; arguments as of `check_pairs`, `command` is shown on the page."""
    check = check_pairs(manifest, sample, seed, max_residual, advance(progress))
    overlays = draw_overlays(manifest, *zip(*looked, strict=True)) if (looked := check.to_look_at(OVERLAYS)) else []
    units = {name: sensor.unit for name, sensor in manifest.modalities.items()}
    page = pairs_page(check, overlays, units, manifest.licence, command)
    numbers = json.dumps({"seed": seed, **check.as_json()}, indent=1, allow_nan=False)
    write_together({out / PAGE: page.encode(), out / "pairs.json": numbers.encode()})
    return check


def advance(progress: Progress) -> Callable[[str, int, int], None]:
    """A bar per kind of work: what is done, how many, of how many."""
    tasks: dict[str, TaskID] = {}

    def move(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done, visible=done < total)

    return move
