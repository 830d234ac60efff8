"""How fast is a distillation step? xkd's Runner beside a loop by hand with every trick, and beside another library, in one run.

    python tools/benchmark.py training
    python tools/benchmark.py training --parts --memory --also compiled float32 processes
    python tools/benchmark.py training --teacher vit_base_patch16_224 --student resnet50 --size 224 --batch 64  # on a GPU

The job is cross-entropy, soft targets (temperature 4) and attention transfer on the last two stages, AdamW, on images that are in
memory. "by hand" has no xkd in it: bfloat16 where it pays, channels-last, no graph for the teacher, a fused optimiser; "by hand, cached"
has the teacher's answers at hand. "xkd" is what `xkd train` runs, Runner, hooks, loader and checks; "xkd, cached" with a `TeacherCache`.
`--peer FILE` adds the sides of a script that has `torchdistill_loop`, `plain_loop` and `fast_loop` for the same job. The sides take
turns; a round is `--steps` counted steps of each after `--warm` others, ratios are medians over the rounds. Use a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset
from training_job import MIDDLE, RATE, SPREAD, Clock, Job, by_hand, moment

from xkd.engine import launch
from xkd.engine.hooks import StepHook
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.memory import peak_bytes, reset_peak
from xkd.engine.screen import Screen
from xkd.engine.teacher_cache import TeacherCacheHook, cache_of
from xkd.engine.train import RunSettings, close, make_runner
from xkd.graph.bfloat16 import bfloat16_pays

LIVE, CACHED, HAND, HAND_CACHED = "xkd", "xkd, cached", "by hand", "by hand, cached"
ALSO = ("compiled", "float32", "processes")
PROCESSES = 2
_OPERATIONS = 15  # lines of the profile


def by_xkd(job: Job, cached: bool, config: Config, more: Hook | None = None) -> Clock:
    """One epoch of a run as `xkd train` makes it, all images read before; under torchrun with the other processes."""
    config, seed = copy.deepcopy(config), 0
    config.train_cfg.update(max_epochs=1, val_begin=2)
    launcher = "pytorch" if "RANK" in os.environ else "none"
    settings = launch.prepare(launcher, {"backend": "nccl"})
    loaders = {split: read_once(config, seed, split) for split in ("train", "val")}
    distiller = build_distiller(config.distiller, seed)
    clock, console = Clock(job.warm), Console(quiet=True)
    with tempfile.TemporaryDirectory(dir=job.folder) as folder, Progress(disable=True, console=console) as progress:
        cache = cache_of(config)
        hooks = [TeacherCacheHook(cache, config, console, progress)] if cached and cache else []
        hooks = [StepHook(), *hooks, clock, *([more] if more else [])]
        runner = make_runner(config, Path(folder), distiller, loaders, hooks, None, RunSettings(seed=seed, launcher=launcher), settings)
        try:
            runner.train()
        finally:
            close(runner, loaders.values())
    return clock


def by_peer(job: Job, script: Path) -> dict[str, Callable[[], float]]:
    """The sides of another library's script: functions that give images per second."""
    spec = importlib.util.spec_from_file_location("peer", script)
    if spec is None or spec.loader is None:
        raise ValueError(f"--peer {script}: no Python script")
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    pixels, labels = job.images()
    data = TensorDataset((pixels.float() - MIDDLE) / SPREAD, labels)  # it has no place for what the device could do
    loader = DataLoader(data, batch_size=job.batch, shuffle=True, drop_last=True)
    sides: dict[str, Callable[[], float]] = {
        "torchdistill": lambda: float(peer.torchdistill_loop(*job.networks(), data, job.batch, job.steps, RATE)),
        "peer's plain loop": lambda: float(peer.plain_loop(*job.networks(), loader, job.steps, RATE)),
    }
    if bfloat16_pays():  # they know nothing else
        sides["peer's fast loop"] = lambda: float(peer.fast_loop(*job.networks(), loader, job.steps, RATE, cached=False))
        sides["peer's fast loop, cached"] = lambda: float(peer.fast_loop(*job.networks(), loader, job.steps, RATE, cached=True))
    return sides


def parts(job: Job) -> dict[str, float]:
    """Seconds of each part of a step, in a loop that calls what the Runner calls: medians over the counted steps."""
    config = job.config()
    loader, distiller = read_once(config), build_distiller(config.distiller, 0).to(job.device).train()
    optimizer = torch.optim.AdamW([p for p in distiller.parameters() if p.requires_grad], lr=RATE, fused=True)
    taken: dict[str, list[float]] = {name: [] for name in ("data", "teacher", "student", "terms", "backward", "optimiser")}
    batches = iter(loader)
    for _ in range(len(loader)):
        marks = [moment()]
        batch = next(batches).to(job.device)
        marks.append(moment())
        with torch.autocast(job.device.type, torch.bfloat16, enabled=bfloat16_pays()):
            with torch.no_grad():
                answers = distiller.answers("teacher", batch)
            marks.append(moment())
            batch.cached = {f"teacher.{name}": reading for name, reading in answers.items()}
            readings = distiller.read(batch)
            marks.append(moment())
            losses = [term.weight_at(0) * distiller.part(name, readings, batch) for name, term in distiller.terms.items()]
            marks.append(moment())
        optimizer.zero_grad()
        loss: Any = torch.stack(losses).sum()
        loss.backward()
        marks.append(moment())
        optimizer.step()
        marks.append(moment())
        for name, begun, ended in zip(taken, marks, marks[1:], strict=False):
            taken[name].append(ended - begun)
    return {name: statistics.median(seconds[job.warm :]) for name, seconds in taken.items()}


def read_once(config: Config, seed: int = 0, split: str = "train") -> Any:
    """The loader of a split, its rows read into memory."""
    loader: Any = build_loader(config[f"{split}_dataloader"], seed, draws=1)
    for row in range(len(loader.dataset)):
        loader.dataset[row, 0]
    return loader


def in_processes(batch: int) -> float:
    """Images per second of all processes, each with `batch` images in a step."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(PROCESSES), __file__, *sys.argv[1:], "--only", LIVE]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return PROCESSES * float(words[-1])


def speeds(job: Job, rounds: int, peer: Path | None, also: list[str]) -> dict[str, list[float]]:
    """Images per second of each side, round by round."""
    config = job.config()
    others: dict[str, Callable[[], float]] = {
        "compiled": lambda: counted / by_xkd(job, False, job.config(compiled=True)).seconds,
        "float32": lambda: counted / by_xkd(job, False, job.config(half=False)).seconds,
        "processes": lambda: in_processes(job.batch),
    }
    counted = job.steps * job.batch
    sides: dict[str, Callable[[], float]] = {
        HAND: lambda: counted / by_hand(job, cached=False).seconds,
        HAND_CACHED: lambda: counted / by_hand(job, cached=True).seconds,
        LIVE: lambda: counted / by_xkd(job, False, config).seconds,
        CACHED: lambda: counted / by_xkd(job, True, config).seconds,
        **{f"{LIVE}, {name if name != 'processes' else f'{PROCESSES} processes'}": others[name] for name in also},
        **(by_peer(job, peer) if peer else {}),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            rates[name].append(side())
            print(f"{name}: {rates[name][-1]:.1f} images/s", file=sys.stderr)
    return rates


def memory(side: str) -> int:
    """Bytes at the peak of a side's counted steps beyond what Python and its imports hold, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2])


def only(job: Job, side: str) -> None:
    reset_peak()
    imported = peak_bytes()
    clock = by_hand(job, side == HAND_CACHED) if side in (HAND, HAND_CACHED) else by_xkd(job, side == CACHED, job.config())
    print(clock.memory - imported, job.steps * job.batch / clock.seconds)


class Profiled(Hook):
    """What the counted steps of a run are made of, by torch's profiler."""

    priority = "LOWEST"

    def __init__(self, warm: int) -> None:
        devices = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        self.warm, self.profile = warm, profile(activities=devices)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == self.warm:
            self.profile.start()

    def after_train(self, runner: Any) -> None:
        self.profile.stop()


def show_profile(job: Job) -> None:
    hook = Profiled(job.warm)
    clock = by_xkd(job, False, job.config(), hook)
    events = hook.profile.key_averages()
    gpu = torch.cuda.is_available()
    print(events.table(sort_by="self_device_time_total" if gpu else "self_cpu_time_total", row_limit=_OPERATIONS, max_name_column_width=60))
    if gpu:
        busy = sum(event.self_device_time_total for event in events) / 1e6
        print(f"the GPU computes in {100 * busy / clock.seconds:.0f} % of the time (the profiler's own work included)")


def print_speeds(job: Job, options: argparse.Namespace, console: Console) -> None:
    measured = speeds(job, options.rounds, options.peer, options.also)
    columns = [name for name in (HAND, HAND_CACHED, "torchdistill") if name in measured]
    table = Table("side", "images/s, median [least, most]", *[f"times {name}" for name in columns])
    table.title = f"{job.teacher} -> {job.student}, {job.size} px, batch {job.batch}, {options.rounds} rounds of {job.steps} steps"
    for name, rates in measured.items():
        ratios = [statistics.median(a / b for a, b in zip(rates, measured[base], strict=True)) for base in columns]
        table.add_row(name, f"{statistics.median(rates):.1f} [{min(rates):.1f}, {max(rates):.1f}]", *[f"{ratio:.2f}" for ratio in ratios])
    console.print(table)
    if options.parts:
        seconds = parts(job)
        table = Table("part of a step", "ms", "share", title="where an xkd step goes")
        for name, second in seconds.items():
            table.add_row(name, f"{1000 * second:.1f}", f"{100 * second / sum(seconds.values()):.1f} %")
        console.print(table)
    if options.memory:
        peaks = {side: memory(side) for side in (HAND, LIVE, HAND_CACHED, CACHED)}
        table = Table("side", "peak, MB", f"times {HAND}", title="memory of a run, each side in a process of its own")
        for side, peak in peaks.items():
            table.add_row(side, f"{peak / 1e6:.0f}", f"{peak / peaks[HAND]:.2f}")
        console.print(table)
    if options.profile:
        show_profile(job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="resnet34", help="timm's name (%(default)s)")
    parser.add_argument("--student", default="resnet10t", help="timm's name (%(default)s)")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (%(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images per step (%(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="that count, in a round (%(default)s)")
    parser.add_argument("--warm", type=int, default=5, help="steps before them (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    also = "xkd's side once more: by torch.compile, without bfloat16, in two processes"
    parser.add_argument("--also", nargs="+", default=[], choices=ALSO, help=also)
    parser.add_argument("--parts", action="store_true", help="time each part of xkd's step")
    parser.add_argument("--memory", action="store_true", help="the peak of memory of a step by hand and by xkd")
    parser.add_argument("--profile", action="store_true", help="what xkd's steps are made of, by torch's profiler")
    parser.add_argument("--peer", type=Path, help="a script with torchdistill_loop and plain_loop")
    parser.add_argument("--only", choices=(HAND, HAND_CACHED, LIVE, CACHED), help=argparse.SUPPRESS)  # a child's one side
    options = parser.parse_args()
    if "processes" in options.also and 0 < torch.cuda.device_count() < PROCESSES:
        parser.error(f"--also processes needs {PROCESSES} GPUs, there is {torch.cuda.device_count()}")
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        job = Job(options.teacher, options.student, options.size, options.batch, options.steps, options.warm, device, Path(folder))
        if options.only:
            only(job, options.only)
            return
        print_speeds(job, options, Screen(130))
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    print(f"{name}, torch {torch.__version__}, {'bfloat16' if bfloat16_pays() else 'float32'}")


if __name__ == "__main__":
    main()
