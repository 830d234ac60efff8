"""What each candidate costs where it will run: exported with random weights in the precision that is deployed, and timed by its run.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import onnxruntime

from xkd.deploy.bench import processor, timings
from xkd.deploy.card import CardNotes
from xkd.deploy.export import Network, probe_images
from xkd.deploy.folder import write_folder
from xkd.deploy.int8 import rounded
from xkd.evidence.candidates import Candidate
from xkd.files import write_atomically
from xkd.graph.distiller import Distiller

PRECISIONS: Final = ("float32", "int8")
BENCH: Final = "bench.py"
_NEEDED: Final = ("median_ms", "interquartile_range_ms", "megabytes", "precision", "threads")


@dataclass(frozen=True)
class Budget:
    """What a student may cost: milliseconds for one image, and megabytes of its file where that counts.

    Candidates are exported in `precision` ("float32" or "int8") and timed with `threads` on this machine, or `on` names the file of timings
    that `bench.py` has made on another one.
    """

    milliseconds: float
    megabytes: float = float("inf")
    precision: str = "float32"
    threads: int = 1
    on: str | Path = ""

    def __post_init__(self) -> None:
        for name, value in (("ms", self.milliseconds), ("mb", self.megabytes)):
            if not value > 0:
                raise ValueError(f"--budget-{name} must be above 0, got {value}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"--precision is one of {list(PRECISIONS)}, got '{self.precision}'")
        if self.threads < 1:
            raise ValueError(f"--threads must be at least 1, got {self.threads}")


@dataclass(frozen=True)
class Latency:
    """Of one image: the median and the interquartile range of milliseconds; megabytes of the file; where, and the load before."""

    milliseconds: float
    spread: float
    megabytes: float
    machine: str = ""
    load: float | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Latency:
        where = ", ".join(str(told[key]) for key in ("processor", "machine", "onnxruntime") if told.get(key))
        return cls(told["median_ms"], told["interquartile_range_ms"], told["megabytes"], where, told.get("load"))


def write_candidate(distiller: Distiller, candidate: Candidate, folder: Path, precision: str) -> str:
    """Export the student as it is; where that is refused, why."""

    def change(network: Network) -> Network:
        # time does not depend on the ranges that calibration finds
        return rounded(network, [probe_images(branch.view).numpy()], "processors") if precision == "int8" else network

    branch = distiller.student.eval()
    notes = CardNotes(candidate.name, "a candidate with random weights: it is here to be timed, its answers mean nothing")
    try:
        write_folder(branch, distiller.task_of(distiller.student_name), folder / candidate.folder, notes, change)
    except Exception as error:  # exporter, quantisation and runtime have kinds of their own
        return f"it cannot be exported: {first_line(error)}"
    return ""


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def write_bench(folder: Path) -> None:
    """What times all folders in it, where nothing of xkd is."""
    write_atomically(folder / BENCH, files("xkd.deploy").joinpath(BENCH).read_bytes())


def timed_here(candidates: Sequence[Candidate], folder: Path, threads: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Of exported candidates, as `bench.py` would time them."""
    return timings([folder / one.folder for one in candidates], threads, say)


def here(budget: Budget) -> dict[str, Any]:
    """What a timing of this machine says of where and how it was made, as far as milliseconds depend on it."""
    asked = {"precision": budget.precision, "threads": budget.threads}
    return {**asked, "onnxruntime": onnxruntime.__version__, "processor": processor(), "cores": os.cpu_count()}


def read_timings(path: Path) -> dict[str, Any]:
    """`ValueError` for a file that `bench.py` did not write."""
    try:
        told = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(told, dict) or not all(isinstance(of, dict) for of in told.values()):
        raise ValueError(f"{path} is no file of timings, which {BENCH} in a folder of candidates writes")
    return told


def known(told: Mapping[str, Any], candidates: Sequence[Candidate], budget: Budget) -> tuple[dict[str, Latency], dict[str, str]]:
    """Of each candidate its timing, or why it has none; `ValueError` for one that `told` lacks or has in another precision."""
    if missing := [one.name for one in candidates if one.folder not in told]:
        raise ValueError(
            f"{budget.on} has no timing of {missing}: write the candidates anew (xkd search CONFIG --write-candidates FOLDER"
            f" --precision {budget.precision}), copy that folder to the device and run its {BENCH} there"
        )
    found, broken = dict[str, Latency](), dict[str, str]()
    for one in candidates:
        of = told[one.folder]
        if "error" in of:
            broken[one.name] = f"it does not run: {of['error']}"
            continue
        if lacks := [key for key in _NEEDED if key not in of]:
            raise ValueError(f"{budget.on}: the timing of {one.name} lacks {lacks}")
        asked = {"precision": budget.precision, "threads": budget.threads}
        if other := [f"{key} {of[key]}, not {value}" for key, value in asked.items() if of[key] != value]:
            raise ValueError(f"{budget.on}: {one.name} was timed with {' and '.join(other)}")
        found[one.name] = Latency.of(of)
    return found, broken


def over(timings: Mapping[str, Latency], budget: Budget) -> dict[str, str]:
    """Those that cost too much, and how much; `ValueError` names the nearest where all do."""
    dropped = {name: why for name, of in timings.items() if (why := _excess(of, budget))}
    if timings and len(dropped) == len(timings):
        nearest = min(timings, key=lambda name: max(*_shares(timings[name], budget)))
        raise ValueError(
            f"no candidate meets the budget ({budget.precision}, {budget.threads} thread{'s' * (budget.threads > 1)}); the nearest is"
            f" {nearest}: {dropped[nearest]}"
        )
    return dropped


def _shares(of: Latency, budget: Budget) -> tuple[float, float]:
    return of.milliseconds / budget.milliseconds, of.megabytes / budget.megabytes


def _excess(of: Latency, budget: Budget) -> str:
    parts = []
    if of.milliseconds > budget.milliseconds:
        parts.append(f"{of.milliseconds:.3g} ms, {budget.milliseconds:g} allowed")
    if of.megabytes > budget.megabytes:
        parts.append(f"{of.megabytes:.3g} MB, {budget.megabytes:g} allowed")
    return " and ".join(parts)
