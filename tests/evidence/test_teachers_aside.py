"""A teacher that answers another question is trained for the others and compared with none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
from rich.console import Console
from rich.progress import Progress

from xkd.engine.progress import Display
from xkd.evidence.arms import first_teacher, make_arms
from xkd.evidence.compare import compare
from xkd.evidence.diagnosis import diagnose

TAUGHT = f"""{runs.BOXED}
teacher.update(weights=dict(type=Checkpoint, path="teacher.pth"), judged=False)
del teacher_cache
compare = dict(
    teachers=dict(thermal="teacher.py"),
    variants=dict(other_boxes={{"distiller.branches.thermal.eats.shuffled": True}}),
)
"""
DISPLAY = Display(Console(quiet=True), Progress(console=Console(quiet=True), disable=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return runs.write(tmp_path, teacher=runs.TEACHER, student=TAUGHT)


def test_it_is_an_arm_that_others_need_and_no_teacher_to_be_measured_against(path: Path) -> None:
    made = make_arms(path, {})
    assert [arm.name for arm in made if not arm.control] == ["teacher", "alone", "distilled", "shuffled", "other_boxes"]
    assert [arm.name for arm in made if arm.aside] == ["teacher"]
    assert first_teacher(made) is None
    assert all(dict(arm.teachers) == {"thermal": "teacher"} for arm in made[2:5:2])
    assert "self_taught" not in [arm.name for arm in made], "what the student tells is no answer to the teacher's question"
    whole = make_arms(runs.write(path.parent, teacher=runs.TEACHER, student=runs.STUDENT), {})
    assert [arm.name for arm in whole if arm.aside] == []


def test_a_comparison_trains_it_and_tells_of_the_others(path: Path, tmp_path: Path) -> None:
    found = compare(path, seeds=1, work_dir=tmp_path / "compared", smoke=True, jobs=1, display=DISPLAY)
    assert list(found.runs) == ["alone", "distilled", "shuffled", "other_boxes"]
    assert len(list((tmp_path / "compared" / "teacher").glob("seed0_*/best.pth"))) == 1
    told: dict[str, Any] = json.loads((tmp_path / "compared" / "summary.json").read_text("utf-8"))
    assert "teacher" not in told["arms"]
    assert found.report.is_file()


def test_a_diagnosis_says_that_nobody_can_compare(path: Path, tmp_path: Path) -> None:
    first = diagnose(make_arms(path, {}), 1.0, tmp_path / "diagnosed", DISPLAY).answers[0]
    assert first.verdict == "unclear"
    assert first.reason == "['thermal'] answer another question than the student: nobody can compare"
