"""What a run chooses by the machine, and why: workers, batches read ahead, bfloat16, memory, the compiler."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any, Final

import torch
from mmengine.optim import OptimWrapper

from xkd.engine.memory import keeps_freed
from xkd.engine.precision import BF16OptimWrapper, StepOptimWrapper
from xkd.graph.bfloat16 import bfloat16_pays
from xkd.graph.distiller import Distiller

AUTO: Final = "auto"
_MOST_WORKERS: Final = 8  # of one process: more of them wait for the disk and fill the memory
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")  # of a container (cgroup v2): microseconds of each period, or "max"
# a forked worker starts at once and shares the rows of the manifest; others import torch and get a copy. Forking beside threads is safe for
# what workers do, and torch's loaders did so for years; macOS' own libraries do not survive it, so elsewhere it is the platform's default
START: Final = "fork" if sys.platform == "linux" else get_all_start_methods()[0]
_AHEAD: Final = 2  # batches that each worker has ready; torch's own default
_AHEAD_OF_GPU: Final = 4  # a GPU is through with a batch before a worker has decoded the next


@dataclass(frozen=True)
class Workers:
    """How a loader reads: `count` processes beside the training one, each `ahead` batches ahead, and how they start (None without)."""

    count: int
    ahead: int | None
    start: str | None
    reason: str


NO_WORKERS: Final = Workers(0, None, None, "a smoke run")


def cores() -> int:
    """Those that this process may use, by its affinity and its container's quota, shared among a launch's processes on this machine."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if _QUOTA.exists():
        quota, period = _QUOTA.read_text("utf-8").split()
        own = own if quota == "max" else min(own, int(quota) // int(period))
    return max(own // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def workers_of(section: dict[str, Any]) -> Workers:
    """The loader section's `num_workers`, `prefetch_factor` and `multiprocessing_context`, or what is in the place of what is not said."""
    number, ahead = section.get("num_workers", AUTO), section.get("prefetch_factor", AUTO)
    there, gpu = cores(), torch.cuda.is_available()
    if number != AUTO:
        count, reason = int(number), "as the config says"
    elif section["dataset"].get("cache") and not section.get("sampler", {}).get("shuffle"):
        count, reason = 0, "the rows stay in memory and nothing is drawn"
    elif section["dataset"].get("cache"):
        count, reason = min(there - 1, 1), "no more, since each keeps all rows in memory"
    elif gpu:
        count = min(max(there - 1, 1), _MOST_WORKERS)
        reason = f"{there} cores, one of them for the training process" if count < _MOST_WORKERS else f"of {there} cores, {count} suffice"
    else:
        count = min(there - 1, 1)
        reason = f"networks compute on the {there} cores too" if count else "one core: a second process would only take turns"
    if ahead == AUTO:
        ahead = _AHEAD_OF_GPU if gpu else _AHEAD
    if count == 0:
        return Workers(0, None, None, reason)
    return Workers(count, int(ahead), section.get("multiprocessing_context", START), reason)


def choices(distiller: Distiller, optim_wrapper: dict[str, Any], workers: Workers, amp: bool) -> list[str]:
    """A line for each choice."""
    reading = f", started by {workers.start}, {workers.ahead} batches ahead each" if workers.count else ""
    lines = [f"workers: {workers.count}{reading} ({workers.reason})"]
    lines.append(f"precision: {_precision(optim_wrapper, amp)}")
    orders = {True: "channels-last", False: "contiguous"}
    named = [f"{name} {orders[branch.memory_format == torch.channels_last]}" for name, branch in distiller.branches.items()]
    lines.append(f"memory: {', '.join(named)} (channels-last is faster for CNNs)")
    lines.append(f"freed memory: {keeps_freed()[1]}")
    compiled = [name for name, branch in distiller.branches.items() if branch.compiled]
    names = ", ".join(compiled) or "nothing (on request, Branch(compiled=True): the first step then takes a minute or more)"
    lines.append(f"compiled: {names}")
    return lines


def _precision(optim_wrapper: dict[str, Any], amp: bool) -> str:
    wrapper = optim_wrapper.get("type", OptimWrapper)
    if not amp and wrapper not in (OptimWrapper, StepOptimWrapper, BF16OptimWrapper):
        return f"that of {wrapper if isinstance(wrapper, str) else wrapper.__name__} (as the config says)"
    wanted = amp or wrapper is BF16OptimWrapper
    if wanted and bfloat16_pays():
        return "bfloat16 where it is safe, weights and losses in float32 (this machine computes in it)"
    if wanted and optim_wrapper.get("always"):
        return "bfloat16 where it is safe, weights and losses in float32 (as the config says; slower on this machine)"
    if wanted:
        lacks = "this GPU does not compute in it" if torch.cuda.is_available() else "it is no faster on this machine, which has no AMX"
        return f"float32 (bfloat16 was asked for; {lacks})"
    return "float32 (as the config says" + ("; --amp is bfloat16, faster here)" if bfloat16_pays() else ")")
