"""A plan from what it will do to its numbers: nothing is trained twice, what is new says why, chains say what they have kept."""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

import xkd
from xkd import cli, statistics
from xkd.engine.progress import Display
from xkd.evidence import runs as arm_runs
from xkd.evidence.plan.outlook import difference
from xkd.evidence.plan.run import Planned, PlanSettings, plan
from xkd.evidence.plan.stages import arms_of

STAGES = """
from xkd import Checkpoint
stages = dict(
    teacher=dict(config="teacher.py"),
    student=dict(config="student.py", options={"distiller.branches.thermal.weights.path": "@teacher"}),
)
"""
CHAINS = """
from xkd import Checkpoint
first = {"train_cfg.max_epochs": 2}
begun = {"distiller.branches.rgb.weights": dict(type=Checkpoint, path="@one")}
stages = dict(
    one=dict(config="plain.py", options=first, chain=("forgets", "keeps"), learns="a"),
    forgets=dict(config="plain.py", options=begun, chain="forgets", learns="b"),
    keeps=dict(config="plain.py", options=begun, after="forgets", chain="keeps", learns="b"),
    joint=dict(config="plain.py", chain="joint", learns=("a", "b")),
)
tests = dict(a=dict(options={"test_dataloader.batch_size": 2}), b=dict(options={"test_dataloader.batch_size": 3}))
"""
# the share of right answers of each stage on each test; 1 is its own
RIGHT = {"one": {2: 0.8, 3: 0.2}, "forgets": {2: 0.4, 3: 0.6}, "keeps": {2: 0.6, 3: 0.6}, "joint": {2: 0.8, 3: 0.8}}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Config]]:
    """Runs that cost nothing; what was trained, in order."""
    done: list[tuple[str, Config]] = []

    def train(config: Config, folder: Path, *, seed: int, **_: Any) -> None:
        done.append((f"{folder.parent.name} {seed}", config))
        (folder / "best.pth").write_bytes(b"weights")
        told = {"best": 0.5 + seed / 10, "seconds": 2.0, "save_best": config.save_best}
        (folder / "result.json").write_text(json.dumps(told), "utf-8")

    def answer(config: Config, student: str, seed: int) -> statistics.TestRun:
        right = RIGHT.get(student, {}).get(config.test_dataloader.batch_size, 0.5) - seed / 5
        target = np.arange(20) % 3
        given = np.where(np.arange(20) < round(20 * right), target, (target + 1) % 3)
        return statistics.run_of(np.eye(3, dtype=np.float32)[given], target)

    monkeypatch.setattr(arm_runs, "train", train)
    monkeypatch.setattr(arm_runs, "load_student", lambda config, checkpoint, branch: Path(checkpoint).parent.parent.name)
    monkeypatch.setattr(arm_runs, "answer", answer)
    return done


Run = Callable[..., tuple[Planned, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT, plain=runs.PLAIN)

    def of(text: str, **settings: Any) -> tuple[Planned, str]:
        console = Console(file=io.StringIO(), width=200)
        display = Display(console, Progress(console=console, disable=True))
        done = plan(runs.write(tmp_path, plan=text), PlanSettings(jobs=1, **settings), work_dir=tmp_path / "work", display=display)
        assert isinstance(console.file, io.StringIO)
        return done, console.file.getvalue()

    return of


def test_what_is_finished_is_reused_and_what_is_new_says_why(run: Run, trained: list[tuple[str, Config]], tmp_path: Path) -> None:
    done, shown = run(STAGES, seeds=2)
    assert [name for name, _ in trained] == ["teacher 0", "student 0", "teacher 1", "student 1"]
    assert "teacher, seeds 0, 1: new, it was not run before" in shown
    for seed, (_, config) in zip((0, 1), trained[1::2], strict=True):
        assert config.distiller.branches.thermal.weights.path == str(done.checkpoint("teacher", seed))
    with pytest.raises(KeyError, match="no stage 'techer' with seed 0"):
        done.checkpoint("techer")
    trained.clear()

    again, shown = run(STAGES, seeds=2)
    assert "teacher, seeds 0, 1: reused\n" in shown
    assert again.content["stages"]["student"]["reused"] == [True, True]
    slower = STAGES.replace('"@teacher"}', '"@teacher", "distiller.terms.kd.weight": 2.0, "train_cfg.max_epochs": 5}')
    _, shown = run(slower, seeds=2, dry_run=True)
    assert (
        "teacher, seeds 0, 1: reused\nstudent, seeds 0, 1: new, its config changed: distiller.terms.kd.weight left out -> 2.0 (and 1"
        in shown
    )
    _, shown = run(STAGES.replace('"teacher.py"', '"teacher.py", options={"train_cfg.max_epochs": 5}'), dry_run=True)
    assert "teacher, seed 0: new, its config changed: train_cfg.max_epochs 3 -> 5\n" in shown
    assert "student, seed 0: new, an earlier stage changed: teacher\n" in shown
    _, shown = run(STAGES, seeds=3, dry_run=True)
    assert "teacher, seed 2: new, it was not run before" in shown
    _, shown = run(STAGES, amp=True, dry_run=True)
    assert "teacher, seed 0: new, settings changed: --amp False -> True" in shown

    student = done.checkpoint("student").parent
    (student / "result.json").unlink()
    _, shown = run(STAGES, dry_run=True)
    assert "student, seed 0: new, it was begun before, and no epoch was finished" in shown
    (student / "epoch_2.pth").touch()
    _, shown = run(STAGES, dry_run=True)
    assert "student, seed 0: resumed, from epoch_2.pth" in shown
    assert not trained, "a dry run trains nothing"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"data": {"m.csv": "2"}}, "the data changed: m.csv"),
        ({"weights": {"w.pth": "1"}}, "weights that it begins with changed: w.pth"),
        ({"data": {"moved/m.csv": "1"}}, ""),
        ({"version": "2"}, "another version of xkd: 1 -> 2"),
        ({"loads": []}, "it loads other stages than before"),
        ({"config": {"a": {"b": [1, 3]}}}, "its config changed: a.b [1, 2] -> [1, 3]"),
        ({}, ""),
    ],
)
def test_whatever_makes_another_run_is_named(change: dict[str, Any], why: str) -> None:
    was = {"config": {"a": {"b": [1, 2]}}, "loads": ["x"], "settings": {}, "data": {"m.csv": "1"}, "weights": {}, "version": "1"}
    assert difference(was, {**was, **change}, ["teacher"]) == why


def test_chains_say_what_they_have_kept(run: Run, trained: list[tuple[str, Config]], tmp_path: Path) -> None:
    done, shown = run(CHAINS, seeds=2)
    assert len(trained) == 8
    chain = done.content["chains"]["forgets"]
    assert (chain["stages"], chain["tests"], chain["learned_after"]) == (["one", "forgets"], ["a", "b"], [0, 1])
    assert np.array(chain["matrix"]) == pytest.approx(np.array([[0.7, 0.1], [0.3, 0.5]]))  # mean of two seeds
    means = {key: chain[key]["mean"] for key in ("average", "forgetting", "backward_transfer")}
    assert means == pytest.approx({"average": 0.4, "forgetting": 0.4, "backward_transfer": -0.4})
    assert done.content["chains"]["joint"]["forgetting"]["mean"] is None, "one stage forgets nothing"
    [change] = [of for of in done.content["differences"] if (of["of"], of["minus"]) == ("keeps", "forgets")]
    assert change["average"]["mean"] == pytest.approx(0.1)
    assert change["average"]["low"] == pytest.approx(0.0, abs=0.11)
    lines = list(csv.reader((tmp_path / "work" / "plan.csv").read_text("utf-8").splitlines()))
    assert ["chain", "forgets", "", "forgetting", "0.4"] in [line[:5] for line in lines]
    assert ["stage", "keeps", "b", "accuracy", "0.5"] in [line[:5] for line in lines]
    page = done.report.read_text("utf-8")
    for part in ("Chain forgets", "Chains compared", "keeps - forgets", "<svg", "after"):
        assert part in page, part
    assert "Chain keeps" in shown
    own, _ = run(re.sub(r', learns=("[ab]"|\(.*?\))', "", CHAINS.split("tests =")[0]), seeds=2)
    assert own.content["chains"]["forgets"]["tests"] == [""]
    assert {(of["of"], of["minus"]): of["average"]["mean"] for of in own.content["differences"]}["keeps", "forgets"] == 0.0
    trained.clear()
    run(CHAINS.replace('"test_dataloader.batch_size": 3', '"test_dataloader.batch_size": 4'))
    assert not trained, "another test trains nothing"
    with pytest.raises(ValueError, match=r"--metric mean_iou; there are \['accuracy'"):
        run(CHAINS, metric="mean_iou")


def test_a_stage_that_knows_nothing_to_be_tested_on(run: Run, trained: list[tuple[str, Config]]) -> None:
    silent = 'options={"distiller.task": dict(type=Features)}'
    text = f'from xkd import Features\nstages = dict(pairs=dict(config="plain.py", {silent}))\ntests = dict(a=dict())\n'
    done, _ = run(text)
    assert done.content["stages"]["pairs"]["test"] is None
    assert done.content["chains"] == {}
    assert len(trained) == 1
    assert not done.report.exists()


def test_a_process_of_its_own_makes_the_stages_anew(tmp_path: Path) -> None:
    runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT)
    make = partial(arms_of, runs.write(tmp_path, plan=STAGES), {"train_cfg.max_epochs": 2})
    sent = pickle.loads(pickle.dumps(arm_runs.Arms(make, make())))
    assert not sent.made
    assert sent.named("student").config().train_cfg.max_epochs == 2


def test_a_plan_of_two_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = 'tests = dict(two=dict(options={"test_dataloader.dataset.classes": ("disc", "bar")}))\n'
    file = runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT, plan=STAGES + tests)
    call = [str(file), "--smoke", "--jobs", "1", "--work-dir", str(tmp_path / "work")]
    assert cli.run("plan", [*call, "--dry-run"]) == 0
    assert not (tmp_path / "work").exists()
    assert cli.run("plan", call) == 0
    assert "student, seed 0: new" in capsys.readouterr().out
    content = json.loads((tmp_path / "work" / "plan.json").read_text("utf-8"))
    assert content["smoke"]
    assert content["stages"]["student"]["loads"] == ["teacher"]
    assert content["stages"]["student"]["test"]["rows"] == [12]
    assert content["stages"]["student"]["tests"]["two"]["rows"] == [8]
    assert "A smoke run" in (tmp_path / "work" / "report.html").read_text("utf-8")
    assert xkd.plan is plan
    assert cli.run("plan", [str(file), "--seeds", "0"]) == 2
    assert "--seeds must be at least 1" in capsys.readouterr().err
