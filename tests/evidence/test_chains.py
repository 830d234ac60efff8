"""Teachers that begin with another teacher's run: found by the file that both name, trained in their order, in every seed anew."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress

from xkd.engine.progress import Display
from xkd.engine.student import load_student
from xkd.evidence.answers import answer
from xkd.evidence.arms import make_arms
from xkd.evidence.chains import in_order
from xkd.evidence.compare import compare
from xkd.evidence.runs import train_arm

AFTER = """
distiller["branches"]["thermal"]["weights"] = dict(type=Checkpoint, path="{path}", may_miss=("head.*",))
"""
SECOND = """
distiller["branches"] = dict(
    second=dict(distiller["branches"]["thermal"], weights=dict(type=Checkpoint, path="second.pth")),
    **distiller["branches"],
)
compare["teachers"] = dict(second="second.py", thermal="teacher.py")
"""
TEAM = """
from xkd.ensembles import Mean
from xkd.graph.ensemble import Ensemble
distiller["ensembles"] = dict(team=dict(type=Ensemble, of=("second.output", "thermal.output"), by=dict(type=Mean)))
compare["answers"] = dict(distilled=("team",))
"""


def chain(folder: Path, more: str = "") -> Path:
    second = runs.TEACHER + AFTER.format(path="teacher.pth")
    return runs.write(folder, teacher=runs.TEACHER, second=second, student=runs.STUDENT + SECOND + more)


def test_a_teacher_begins_with_the_run_that_makes_its_file(tmp_path: Path) -> None:
    made = make_arms(chain(tmp_path), {})
    assert [arm.name for arm in made[:3]] == ["teacher_thermal", "teacher_second", "alone"]  # though the branches stand the other way round
    assert dict(made[0].teachers) == {}
    assert dict(made[1].teachers) == {"thermal": "teacher_thermal"}  # its own config calls its student so
    distilled = next(arm for arm in made if arm.name == "distilled")
    assert dict(distilled.teachers) == {"second": "teacher_second", "thermal": "teacher_thermal"}


@pytest.mark.parametrize("smoke", [False, True])
def test_a_chain_and_the_team_of_its_teachers_are_compared(tmp_path: Path, smoke: bool) -> None:
    path, console = chain(tmp_path, TEAM), Console(quiet=True)
    display = Display(console, Progress(console=console, disable=True))
    named = ["teacher_thermal", "teacher_second", "alone", "distilled", "distilled_team"]
    done = compare(path, seeds=1, work_dir=tmp_path / "out", arms=named, jobs=1, smoke=smoke, display=display)
    first, second, team = (done.runs[name][0] for name in (named[0], named[1], named[-1]))
    told = torch.load(second.checkpoint, weights_only=True)["meta"]["xkd"]["teachers"]
    assert told == {"thermal": str(first.checkpoint)}
    of = [
        answer(arm.config(), load_student(arm.config(), str(run.checkpoint)), 0)
        for arm, run in zip(done.arms, (first, second), strict=False)
    ]
    place = [of[0].rows.tolist().index(row) for row in team.test.rows]
    np.testing.assert_allclose(team.test.predictions, (of[0].predictions + of[1].predictions)[place] / 2, atol=1e-5)


def test_a_student_begins_with_the_run_that_makes_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 'distiller["branches"]["rgb"]["weights"] = dict(type=Checkpoint, path="second.pth")\n'
    more = begun + 'compare["variants"] = dict(warm={"distiller.terms.kd.weight": 2.0})\n'
    made = {arm.name: arm for arm in make_arms(chain(tmp_path, more), {})}
    starts = {name: dict(arm.starts) for name, arm in made.items() if name in ("teacher_second", "alone", "distilled", "warm")}
    assert starts == {"teacher_second": {}, **{key: {"rgb": "teacher_second"} for key in ("alone", "distilled", "warm")}}
    assert made["alone"].needs == ["teacher_second"]
    trained: list[str] = []
    monkeypatch.setattr("xkd.evidence.runs.train", lambda config, *_, **__: trained.append(config.distiller.branches.rgb.weights.path))
    display = Display(Console(quiet=True), Progress(disable=True))
    folders = {
        train_arm(made["alone"], 0, tmp_path / "out", {"teacher_second": tmp_path / name}, {"amp": False, "smoke": False}, display)
        for name in ("one", "two")
    }
    assert trained == [str(tmp_path / name / "best.pth") for name in ("one", "two")]
    assert len(folders) == 2


def test_any_other_file_is_that_file(tmp_path: Path) -> None:
    path = runs.write(tmp_path, teacher=runs.TEACHER, second=runs.TEACHER + AFTER.format(path="given.pth"), student=runs.STUDENT + SECOND)
    assert [dict(arm.teachers) for arm in make_arms(path, {})[:2]] == [{}, {}]


def test_two_that_begin_with_each_other_are_refused(tmp_path: Path) -> None:
    text = runs.TEACHER + AFTER
    path = runs.write(
        tmp_path, teacher=text.format(path="second.pth"), second=text.format(path="teacher.pth"), student=runs.STUDENT + SECOND
    )
    with pytest.raises(ValueError, match=r"teachers \['teacher_second', 'teacher_thermal'\] begin with each other's checkpoints"):
        make_arms(path, {})


def test_names_come_after_what_they_need_and_else_as_they_are() -> None:
    assert in_order(Path(), {"c": ["b"], "b": ["a"], "d": [], "a": []}) == ["d", "a", "b", "c"]
