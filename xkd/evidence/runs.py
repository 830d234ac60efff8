"""How an arm is trained and tested once per seed; finished runs are reused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xkd.engine.progress import Display
from xkd.engine.stages import STORE, fingerprint, folder_of, run_once, take
from xkd.engine.student import load_student
from xkd.engine.train import train
from xkd.evidence.answers import answer, from_file, questions_key, to_bytes
from xkd.evidence.arms import Arm, ArmRun
from xkd.files import write_atomically


def run_arm(arm: Arm, seed: int, root: Path, done: Mapping[str, Path], settings: Mapping[str, Any], display: Display) -> ArmRun:
    """Train and test one arm with one seed, or take what an earlier call has finished with the same config, data and teachers."""
    folder = train_arm(arm, seed, root, done, settings, display)
    ask(arm, folder, seed)
    return read_run(arm, folder)


def ask(arm: Arm, folder: Path, seed: int) -> None:
    """Test what is trained, unless its answers are there."""
    answers = answers_file(arm, folder)
    if not answers.is_file():
        config, branch = arm.tested()
        student = load_student(config, str(folder / "best.pth"), branch)
        write_atomically(answers, to_bytes(answer(config, student, seed)))


def answers_file(arm: Arm, folder: Path) -> Path:
    config, node = arm.tested()
    # a folder's name says nothing of a config that only tests, nor of who answers
    through = "" if arm.through is None else f"_{fingerprint(config, 0, [], {})[:8]}"
    whose = "" if node == config.distiller.student else f"_{node}"
    return folder / f"rows_{questions_key(config)}{through}{whose}.npz"


def read_run(arm: Arm, folder: Path) -> ArmRun:
    """What a finished run has left in its folder."""
    trained = json.loads((folder / "result.json").read_text("utf-8"))
    took = float(trained["best"]), float(trained["seconds"]), int(trained.get("peak_memory", 0))
    return ArmRun(folder, folder / "best.pth", from_file(answers_file(arm, folder)), *took)


def train_arm(arm: Arm, seed: int, root: Path, done: Mapping[str, Path], settings: Mapping[str, Any], display: Display) -> Path:
    """The folder of the arm's run, trained here unless it is there; `done` has those of the arms that teach it."""
    folder = arm_folder(arm, seed, root, done, settings)
    config = arm.config()
    for branch, teacher in arm.loads.items():
        take(config, branch, done[teacher] / "best.pth")

    def trained(config: Config, folder: Path, name: str) -> None:
        train(config, folder, display=display, seed=seed, resume=True, name=name, store=root / STORE, **settings)

    run_once(config, folder, f"{arm.title}, seed {seed}", trained)
    return folder


def arm_folder(arm: Arm, seed: int, root: Path, done: Mapping[str, Path], settings: Mapping[str, Any]) -> Path:
    """By the config without the teachers' paths, whose folders' names stand for them: a folder may be moved, or named in another way."""
    config = arm.config()
    for branch in arm.loads:
        config.distiller.branches[branch].weights.pop("path", None)
    return folder_of(config, root / (arm.run or arm.name), seed, [done[teacher].name for teacher in arm.loads.values()], settings)


def run_key(arm: str, seed: int) -> str:
    return f"{arm}, seed {seed}"
