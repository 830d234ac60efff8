"""Does a long run keep its memory? A run of `xkd train`, with validation and checkpoints, for as many minutes as asked.

    python tools/benchmark.py soak configs/rgb_thermal/roadscene.py --minutes 30

Teachers with `weights=Trained()` are random: they are not trained first. The resident memory of the training process and of its workers
is read every few steps. The slope of a line through what was read after the first fifth of the steps is in megabytes per 1,000 steps;
allocators fill in the first minutes. Linux only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.table import Table

from xkd.engine.config import as_names, load_config, parse_options
from xkd.engine.outline import Outline
from xkd.engine.progress import Display, progress_display
from xkd.engine.screen import Screen
from xkd.engine.train import train
from xkd.graph.weights import Random

EVERY = 5  # steps between two readings
LINES = 10  # of the table
FEWEST = 20  # readings


class MemoryHook(Hook):
    """Writes the resident memory of this process and of its children to `file`; ends the run after `seconds`."""

    def __init__(self, seconds: float, file: str) -> None:
        self.seconds, self.file = seconds, Path(file)
        self.begin = monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        passed = monotonic() - self.begin
        if runner.iter % EVERY == 0:
            own = os.getpid()
            children = Path(f"/proc/{own}/task/{own}/children").read_text("utf-8").split()
            with self.file.open("a", encoding="utf-8") as file:
                print(runner.iter, passed, resident(own), sum(map(resident, map(int, children))), file=file)
        if passed > self.seconds:
            raise TimeoutError


def resident(process: int) -> int:
    """Bytes in memory; 0 for a process that has ended meanwhile."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


def slope(steps: Sequence[float], size: Sequence[float]) -> float:
    """Megabytes per 1,000 steps."""
    return float(np.polyfit(steps, size, 1)[0]) * 1000 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    config = load_config(options.config, parse_options(options.cfg_options))
    config.train_cfg.update(max_epochs=10**6)
    for teacher in Outline.of(config).trained:  # its memory is the same whatever it has learned
        config.distiller.branches[teacher].weights = as_names({"type": Random, "frozen": True})
    console = Screen()
    with tempfile.TemporaryDirectory() as folder, progress_display(console) as progress:
        file = Path(folder) / "memory.txt"
        # by its name, as a config that is written down has it
        hook = {"type": "benchmark_soak.MemoryHook", "seconds": options.minutes * 60, "file": str(file)}
        config["custom_hooks"] = [*(config.get("custom_hooks") or []), hook]
        with suppress(TimeoutError):  # of the hook
            train(config, Path(folder) / "run", display=Display(console, progress))
        steps, passed, own, workers = np.loadtxt(file, ndmin=2).T
    table = Table("step", "minutes", "training process, MB", "workers, MB")
    for at in np.linspace(0, len(steps) - 1, LINES).round().astype(int):
        table.add_row(f"{steps[at]:.0f}", f"{passed[at] / 60:.1f}", f"{own[at] / 1e6:.0f}", f"{workers[at] / 1e6:.0f}")
    console.print(table)
    late = steps > steps[-1] / 5
    if late.sum() < FEWEST:
        raise SystemExit(f"{late.sum()} readings make no slope: --minutes {options.minutes:g} are too few")
    console.print(
        f"{steps[-1]:.0f} steps in {passed[-1] / 60:.1f} minutes; MB per 1,000 steps after the first fifth: training process"
        f" {slope(steps[late], own[late]):+.2f}, workers {slope(steps[late], workers[late]):+.2f}"
    )


if __name__ == "__main__":
    main()
