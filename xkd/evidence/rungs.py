"""The runs of a search: each candidate as an arm of the comparison, for the epochs of a rung, reused where it is finished."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config

from xkd.engine.config import as_plain, load_config
from xkd.engine.outline import Outline
from xkd.engine.progress import Display
from xkd.evidence import controls
from xkd.evidence.arm import Arm
from xkd.evidence.arms import variants
from xkd.evidence.candidates import Candidate
from xkd.evidence.halving import Ran, rung_options
from xkd.evidence.jobs import Job, do_all
from xkd.evidence.runs import arm_folder, run_arm, train_arm
from xkd.files import write_atomically

_DIVERGED: Final = "diverged.json"  # in the folder of a run that did: why, and after how many seconds


@dataclass(frozen=True)
class Ground:
    """What all runs of a search share: `sources` are the teachers' arms by branch, `teachers` the folders of their runs by arm."""

    path: Path
    options: Mapping[str, Any]
    root: Path
    seed: int
    settings: Mapping[str, Any]
    sources: Mapping[str, str]
    teachers: Mapping[str, Path]


def arm_of(ground: Ground, candidate: Candidate, epochs: int, alone: bool = False) -> Arm:
    """The config's student with another network, taught as there or by its labels alone."""
    given = load_config(ground.path, ground.options)
    schedulers = as_plain(given.get("param_scheduler") or [])
    change = {**candidate.change, **rung_options(as_plain(given.train_cfg), schedulers, epochs)}
    student = Outline.of(given).student
    [arm] = variants(ground.path, ground.options, {candidate.name: change}, student, ground.sources)
    title = f"{candidate.name}{', labels alone' if alone else ''}, {epochs} epochs"

    def config() -> Config:
        made = controls.alone(arm.config()) if alone else arm.config()
        # where a candidate looks is not asked
        made["compare"] = {key: of for key, of in (made.get("compare") or {}).items() if key == "cluster"}
        return made

    if alone:
        return replace(arm, name=f"{candidate.name}_alone", title=title, config=config, teachers={})
    return replace(arm, title=title, config=config)


def run_rung(
    ground: Ground,
    candidates: Sequence[Candidate],
    epochs: int,
    jobs: int,
    display: Display,
    *,
    alone: bool = False,
    tested: bool = False,
) -> dict[str, Ran]:
    """Train all for so many epochs, `jobs` beside each other, and test them where that is asked for; by name what came of each.

    One whose training diverges does not end the others: its run says so.
    """
    todo = [
        Job(one.name, arm_of(ground, one, epochs, alone).title, partial(run_one, ground, one, epochs, alone, tested)) for one in candidates
    ]
    folders = do_all(todo, jobs, replace(display, brief=True))  # many graphs that differ in one network
    runs = {name: read_ran(folder) for name, folder in folders.items()}
    for job in todo:
        if why := runs[job.key].diverged:
            display.console.print(f"{job.title}: its training diverged, it is dropped: {why}", style="bold red")
    return runs


def run_one(
    ground: Ground, candidate: Candidate, epochs: int, alone: bool, tested: bool, display: Display, done: Mapping[str, Path]
) -> Path:
    arm, started = arm_of(ground, candidate, epochs, alone), time.perf_counter()
    try:
        return (run_arm if tested else train_arm)(arm, ground.seed, ground.root, ground.teachers, ground.settings, display)
    except FloatingPointError as error:
        folder = arm_folder(arm, ground.seed, ground.root, ground.teachers, ground.settings)
        told = {"why": str(error), "seconds": round(time.perf_counter() - started, 2)}
        write_atomically(folder / _DIVERGED, json.dumps(told, indent=1).encode())
        return folder


def read_ran(folder: Path) -> Ran:
    if not (folder / "result.json").is_file():
        told = json.loads((folder / _DIVERGED).read_text("utf-8"))
        return Ran(folder, math.nan, float(told["seconds"]), diverged=told["why"])
    result = json.loads((folder / "result.json").read_text("utf-8"))
    return Ran(folder, float(result["best"]), float(result["seconds"]), float(result.get("filling", 0.0)))
