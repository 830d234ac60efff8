"""What the samples of this folder show here: how long an image takes, and whether answers are those that were exported; beside run.py."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from typing import Any, Final

import numpy as np
import onnxruntime

_ROUNDS: Final = 5  # other programs may disturb some


def bench(model: Any, threads: int, warm_up: int, repeats: int) -> str:
    """Milliseconds for one prepared image, of five rounds the one with the least median, and what they depend on, as JSON."""
    image, rounds = np.load(model.folder / "samples.npz")["images"][:1], []
    for _ in range(_ROUNDS):
        times = [time.perf_counter()]
        for _ in range(warm_up + repeats):
            list(model.steps(image))  # without an early exit
            times.append(time.perf_counter())
        rounds.append(1000 * np.percentile(np.diff(times)[warm_up:], (25, 50, 75)))
    first, median, third = min(rounds, key=lambda of: float(of[1])).round(4)
    told = {"precision": model.plan["precision"], "threads": threads, "warm_up": warm_up, "repeats": repeats}
    told |= {"median_ms": median, "interquartile_range_ms": third - first}
    told |= importlib.import_module("exits").timings(model, image, warm_up, repeats) if len(model.parts) > 1 else {}
    if sys.platform != "win32":  # of the process: in bytes on a Mac, else in units of 1024
        peak = importlib.import_module("resource").getrusage(0).ru_maxrss
        told["peak_memory_mb"] = round(peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024), 1)
    told |= {"onnxruntime": onnxruntime.__version__, "machine": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()}
    return json.dumps(told, indent=2) + "\n"


def check(model: Any, exact: bool) -> int:
    """What is made of the samples here, beside what was stored when the folder was written; 1 where they differ.

    Images are prepared as `exact` as in training with OpenCV alone.
    """
    held, far = np.load(model.folder / "samples.npz"), model.plan["tolerance"]
    prepared = [np.abs(model.prepare(held["picture" + n]) - 1.0 * held["prepared" + n]).max() for n in "01" if "picture" + n in held]
    given = [np.concatenate([answer for _, answer in model.steps(image[None])]) for image in held["images"]]
    most = np.abs(np.stack(given) - held["answers"]).max()
    off = [("prepared images", max(prepared, default=0), 0 if exact else far["prepared"]), ("answers", most, far["answers"])]
    for name, most, legal in off:
        print(f"{name}: at most {most:.2g} from those in the folder, {legal:.2g} allowed: {'right' if most <= legal else 'DIFFERENT'}")
    return int(any(most > legal for _, most, legal in off))
