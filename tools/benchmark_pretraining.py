"""What does a step on pairs cost beside a step on labels? The same student, data and batch, taking turns in one run.

    python tools/benchmark.py pretraining configs/thermal_rgb/leafsim_pairs.py

"labels" is the config's student alone; "pairs, cached" is its pretraining on pairs with the teacher's answers at hand, "pairs" with the
teacher in every step. A round is one epoch of each; `--warm` steps of it are not counted. Ratios are medians over the rounds. Use a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from training_job import Clock

from xkd.data.cache import TeacherCache
from xkd.engine.config import as_names, copied, load_config
from xkd.engine.hooks import StepHook
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.pairs import pairs_config
from xkd.engine.screen import Screen
from xkd.engine.teacher_cache import TeacherCacheHook, cache_of
from xkd.engine.train import RunSettings, close, make_runner
from xkd.evidence.controls import alone

LABELS, CACHED, LIVE = "labels", "pairs, cached", "pairs"


def seconds_per_step(config: Config, warm: int) -> float:
    """Of one epoch of a run as `xkd train` makes it, every row read before."""
    config = copied(config)
    config.train_cfg.update(max_epochs=1, val_begin=1, val_interval=1)
    config.param_scheduler = []
    clock, console = Clock(warm), Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder, Progress(disable=True, console=console) as progress:
        if config.get("teacher_cache"):
            config.teacher_cache.folder = f"{folder}/cache"
        cache = cache_of(config)
        draws = cache.draws if cache else 1
        loaders: dict[str, Any] = {split: build_loader(config[f"{split}_dataloader"], 0, draws=draws) for split in ("train", "val")}
        for row in range(len(loaders["train"].dataset)):
            loaders["train"].dataset[row, 0]
        hooks = [StepHook(), *([TeacherCacheHook(cache, config, console, progress)] if cache else []), clock]
        distiller = build_distiller(config.distiller, 0)
        runner = make_runner(config, Path(folder) / "run", distiller, loaders, hooks, None, RunSettings(), {})
        try:
            runner.train()
        finally:
            close(runner, loaders.values())
        steps = len(loaders["train"])
    if steps <= warm:
        raise SystemExit(f"an epoch has {steps} steps, of which --warm {warm} are not counted: too few")
    return clock.seconds / (steps - warm)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmark.py pretraining", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", help="of a student with weights=PretrainedOnPairs(...)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm", type=int, default=3)
    a = parser.parse_args()
    config = load_config(a.config)
    pairs = pairs_config(config, config.distiller.student)
    cached = copied(pairs)
    cached.teacher_cache = as_names({"type": TeacherCache, "draws": 1, "dtype": "float16"})
    sides = {LABELS: alone(copied(config)), CACHED: cached, LIVE: pairs}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(a.rounds):
        for name, side in sides.items():
            taken[name].append(seconds_per_step(side, a.warm))
            print(f"{name}: {1000 * taken[name][-1]:.0f} ms a step", file=sys.stderr)
    table = Table("side", "ms a step, median [least, most]", f"times {LABELS}", title=f"{a.config}, {a.rounds} rounds")
    for name, seconds in taken.items():
        ratio = statistics.median(one / other for one, other in zip(seconds, taken[LABELS], strict=True))
        table.add_row(
            name, f"{1000 * statistics.median(seconds):.0f} [{1000 * min(seconds):.0f}, {1000 * max(seconds):.0f}]", f"{ratio:.2f}"
        )
    Screen().print(table)


if __name__ == "__main__":
    main()
