"""What does the Runner cost? One distillation job three ways, epoch by epoch in turn: Runner, Distiller in a plain loop, all by hand.

    XKD_DATA_ROOT=data python tools/benchmark.py runner --rounds 5

The job is cross-entropy and soft targets as in configs/rgb_thermal/leafsim.py (a frozen transformer on thermal, a ResNet-10t on RGB;
random weights, which cost the same), with its data, loader, precision, clipping and optimiser, the learning rate held. Each side
has its own copy of everything; the last losses show that they do the same, but for rounding. A round is an epoch of each side; the
first one warms up and is not counted. The Runner has the hooks that `xkd train` gives it; validation and checkpoints, which no other
side makes, are not in its time. Use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hooks import Hook
from rich.progress import Progress
from rich.table import Table
from torch.nn.utils import clip_grad_norm_

from xkd.batch import Batch
from xkd.engine.config import load_config
from xkd.engine.hooks import StepHook
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.progress import ProgressHook, progress_display
from xkd.engine.screen import Screen
from xkd.engine.train import RunSettings, close, make_runner
from xkd.graph.bfloat16 import bfloat16_pays
from xkd.graph.distiller import Distiller

CONFIG = Path(__file__).parent.parent / "configs" / "rgb_thermal" / "leafsim.py"
TERMS = ("ce", "kd")
SEED = 0


def plain_config(rounds: int) -> Config:
    """The config with no other terms than those that `by_hand` writes out, no taps, no validation, one learning rate."""
    config = load_config(CONFIG)
    for name in [name for name in config.distiller.terms if name not in TERMS]:
        config.distiller.terms.pop(name)
    for branch in config.distiller.branches.values():
        branch.pop("taps", None)
    config.train_cfg.update(max_epochs=rounds + 1, val_begin=rounds + 2, val_interval=1)
    config.param_scheduler = {"type": "mmengine.optim.ConstantLR", "factor": 1.0, "by_epoch": False}  # its hook works, its factor is one
    return config


def optimiser(distiller: Distiller, config: Config) -> torch.optim.AdamW:
    settings = {name: value for name, value in config.optim_wrapper.optimizer.items() if name != "type"}
    return torch.optim.AdamW((p for p in distiller.parameters() if p.requires_grad), **settings)


def own_loop(config: Config, interval: int) -> Callable[[Iterable[Batch]], float]:
    """An epoch with the Distiller in anyone's loop; gives the last loss."""
    distiller = build_distiller(config.distiller, SEED, smoke=True)
    optimizer = optimiser(distiller, config)
    learning = [p for p in distiller.parameters() if p.requires_grad]

    def epoch(loader: Iterable[Batch]) -> float:
        distiller.train()
        for number, batch in enumerate(loader):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
                loss = distiller(batch).loss
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(learning, config.optim_wrapper.clip_grad.max_norm)
            optimizer.step()
            if number % interval == 0:
                loss.detach().item()
        return float(loss.detach())

    return epoch


def by_hand(config: Config, interval: int) -> Callable[[Iterable[Batch]], float]:
    """The same epoch without the core's help: two networks, two losses."""
    distiller = build_distiller(config.distiller, SEED, smoke=True)
    rgb, thermal = distiller.branches["rgb"], distiller.branches["thermal"]
    student, teacher = rgb.model, thermal.model.eval()
    optimizer = optimiser(distiller, config)
    tau = config.distiller.terms.kd.loss.tau

    def epoch(loader: Iterable[Batch]) -> float:
        student.train()
        for number, batch in enumerate(loader):
            seen = ((batch.views["rgb"].float() - rgb.mean) / rgb.std).contiguous(memory_format=torch.channels_last)
            warmth = (batch.views["thermal"].float() - thermal.mean) / thermal.std
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
                with torch.no_grad():
                    targets = teacher(warmth)
                logits = student(seen)
            logits, targets = logits.float(), targets.float()
            known = batch.labelled
            soft = F.kl_div(F.log_softmax(logits / tau, 1), F.log_softmax(targets / tau, 1), log_target=True, reduction="batchmean")
            loss = F.cross_entropy(logits[known], batch.target[known]) + tau**2 * soft
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(student.parameters(), config.optim_wrapper.clip_grad.max_norm)
            optimizer.step()
            if number % interval == 0:
                loss.detach().item()
        return float(loss.detach())

    return epoch


class InTurn(Hook):
    """Times each of the Runner's epochs, and runs and times an epoch of every other side after it."""

    priority = "LOWEST"

    def __init__(self, others: dict[str, tuple[Callable[[Iterable[Batch]], float], Any]]) -> None:
        self.others, self.started = others, 0.0
        self.seconds: dict[str, list[float]] = {name: [] for name in ("Runner", *others)}
        self.losses: dict[str, float] = {}

    def before_train_epoch(self, runner: Any) -> None:
        self.started = time.perf_counter()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if batch_idx + 1 < len(runner.train_dataloader):
            return
        self.seconds["Runner"].append(time.perf_counter() - self.started)
        self.losses["Runner"] = float(outputs["loss"])
        for name, (epoch, loader) in self.others.items():
            loader.sampler.set_epoch(runner.epoch)
            started = time.perf_counter()
            self.losses[name] = epoch(loader)
            self.seconds[name].append(time.perf_counter() - started)


def measure(config: Config, progress: Progress) -> InTurn:
    interval = config.get("log_interval", 50)
    sides = {"Distiller in a plain loop": own_loop(config, interval), "all by hand": by_hand(config, interval)}
    hook = InTurn({name: (epoch, build_loader(config.train_dataloader, SEED)) for name, epoch in sides.items()})
    loaders = {split: build_loader(config[f"{split}_dataloader"], SEED) for split in ("train", "val")}
    distiller = build_distiller(config.distiller, SEED, smoke=True)
    with tempfile.TemporaryDirectory() as folder:
        hooks = [StepHook(), ProgressHook(progress, "rounds"), hook]
        runner = make_runner(config, Path(folder), distiller, loaders, hooks, None, RunSettings(seed=SEED), {})
        try:
            runner.train()
        finally:
            close(runner, [*loaders.values(), *(loader for _, loader in hook.others.values())])
    return hook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, of one epoch for each side")
    options = parser.parse_args()
    console = Screen()
    config = plain_config(options.rounds)
    with progress_display(console) as progress:
        hook = measure(config, progress)
    steps = len(build_loader(config.train_dataloader, SEED))
    base = hook.seconds["all by hand"][1:]
    table = Table(
        "side", "ms per step, median [least, most]", "time against by hand", "last loss", title=f"{options.rounds} rounds of {steps} steps"
    )
    for name, seconds in hook.seconds.items():
        times = [1000 * second / steps for second in seconds[1:]]
        ratio = statistics.median(a / b for a, b in zip(seconds[1:], base, strict=True))
        table.add_row(
            name,
            f"{statistics.median(times):.1f} [{min(times):.1f}, {max(times):.1f}]",
            f"{ratio:.3f}",
            f"{hook.losses[name]:.4f}",
        )
    console.print(table)
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, bfloat16 {bfloat16_pays()}")


if __name__ == "__main__":
    main()
