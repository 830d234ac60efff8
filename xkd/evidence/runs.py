"""How arms are trained and tested, once per seed; finished runs are reused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.config import Config

from xkd.engine.fingerprint import fingerprint, folder_of, made_of
from xkd.engine.links import BEST, linked
from xkd.engine.progress import Display
from xkd.engine.stages import STORE, run_once, take
from xkd.engine.student import load_student
from xkd.engine.train import train
from xkd.evidence.answers import answer, from_file, questions_key, to_bytes
from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.jobs import Job, do_all
from xkd.files import write_atomically
from xkd.statistics import TestRun

Make = Callable[[], Sequence[Arm]]  # all arms; can be pickled


def run_all(
    make: Make,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    root: Path,
    settings: Mapping[str, Any],
    jobs: int,
    display: Display,
) -> Mapping[str, Path]:
    """The folder of each arm and seed, by `run_key`; `RuntimeError` names those that failed when the others are done.

    A process of its own makes the arms anew by `make`.
    """
    todo = [
        Job(
            run_key(arm.name, seed),
            f"{arm.title}, seed {seed}",
            partial(run_named, Arms(make, arms), arm.name, seed, root, dict(settings)),
            tuple(run_key(other, seed) for other in arm.needs),
        )
        for seed in seeds
        for arm in arms
    ]
    return do_all(todo, jobs, display)


@dataclass(frozen=True)
class Arms:
    """Arms by their names: `made` are at hand, but in a process of its own, which makes them anew."""

    make: Make
    made: Sequence[Arm] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Arms, (self.make,)

    def named(self, name: str) -> Arm:
        return next(arm for arm in self.made or self.make() if arm.name == name)


def run_named(
    arms: Arms, name: str, seed: int, root: Path, settings: Mapping[str, Any], display: Display, done: Mapping[str, Path]
) -> Path:
    """One arm by its name; its folder."""
    arm = arms.named(name)
    return run_arm(arm, seed, root, {other: done[run_key(other, seed)] for other in arm.loaded}, settings, display)


def run_key(arm: str, seed: int) -> str:
    return f"{arm}, seed {seed}"


def run_arm(arm: Arm, seed: int, root: Path, done: Mapping[str, Path], settings: Mapping[str, Any], display: Display) -> Path:
    """Train and test one arm with one seed, or take what an earlier call has finished with the same config, data and teachers."""
    folder = train_arm(arm, seed, root, done, settings, display)
    ask(arm, folder, seed, done)
    return folder


def ask(arm: Arm, folder: Path, seed: int, done: Mapping[str, Path] = MappingProxyType({})) -> None:
    """Test what is trained, unless its answers are there; `done` are the folders of what it loads."""
    for test in arm.asked:
        answers = answers_file(arm, folder, test)
        if not answers.is_file():
            config, branch = arm.tested(test)
            config = linked(config, done) if arm.linked else config
            student = load_student(config, str(folder / BEST), branch)
            write_atomically(answers, to_bytes(answer(config, student, seed)))


def answers_file(arm: Arm, folder: Path, test: str = "") -> Path:
    config, node = arm.tested(test)
    # a folder's name says nothing of a config that only tests, nor of who answers
    through = f"_{fingerprint(config, 0, [], {})[:8]}" if test or arm.through else ""
    whose = "" if node == config.distiller.student else f"_{node}"
    return folder / f"rows_{questions_key(config)}{through}{whose}.npz"


def read_answers(arm: Arm, folder: Path, test: str = "") -> TestRun:
    return from_file(answers_file(arm, folder, test))


def read_run(arm: Arm, folder: Path) -> ArmRun:
    """What a finished run has left in its folder."""
    trained = json.loads((folder / "result.json").read_text("utf-8"))
    took = float(trained["best"]), float(trained["seconds"]), int(trained.get("peak_memory", 0))
    return ArmRun(folder, folder / BEST, read_answers(arm, folder), *took)


def train_arm(arm: Arm, seed: int, root: Path, done: Mapping[str, Path], settings: Mapping[str, Any], display: Display) -> Path:
    """The folder of the arm's run, trained here unless it is there; `done` has those of the arms that it loads."""
    folder = arm_folder(arm, seed, root, done, settings)
    config = linked(arm.config(), done) if arm.linked else arm.config()
    for branch, teacher in arm.loads.items():
        take(config, branch, done[teacher] / BEST)

    def trained(config: Config, folder: Path, name: str) -> None:
        train(config, folder, display=display, seed=seed, resume=True, name=name, store=root / STORE, **settings)

    run_once(config, folder, f"{arm.title}, seed {seed}", trained, origin_of(arm, seed, done, settings))
    return folder


def arm_folder(arm: Arm, seed: int, root: Path, done: Mapping[str, Path], settings: Mapping[str, Any]) -> Path:
    config, loaded = identity(arm, done)
    return folder_of(config, root / (arm.run or arm.name), seed, loaded, settings)


def origin_of(arm: Arm, seed: int, done: Mapping[str, Path], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What its folder's name is made of."""
    config, loaded = identity(arm, done)
    return made_of(config, seed, loaded, settings)


def identity(arm: Arm, done: Mapping[str, Path]) -> tuple[Config, list[str]]:
    """What tells its run from others: the config without the paths of what it loads, whose folders' names stand for them.

    So a folder may be moved, or named in another way.
    """
    config = arm.config()
    for branch in arm.loads:
        config.distiller.branches[branch].weights.pop("path", None)
    return config, [done[other].name for other in arm.loaded]
