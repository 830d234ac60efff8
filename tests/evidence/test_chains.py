"""Teachers that begin with another teacher's run: found by the file that both name, trained in their order, in every seed anew."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest

from xkd.evidence.arms import make_arms
from xkd.evidence.chains import in_order

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


def test_a_teacher_begins_with_the_run_that_makes_its_file(tmp_path: Path) -> None:
    path = runs.write(tmp_path, teacher=runs.TEACHER, second=runs.TEACHER + AFTER.format(path="teacher.pth"), student=runs.STUDENT + SECOND)
    made = make_arms(path, {})
    assert [arm.name for arm in made[:3]] == ["teacher_thermal", "teacher_second", "alone"]  # though the branches stand the other way round
    assert dict(made[0].teachers) == {}
    assert dict(made[1].teachers) == {"thermal": "teacher_thermal"}  # its own config calls its student so
    distilled = next(arm for arm in made if arm.name == "distilled")
    assert dict(distilled.teachers) == {"second": "teacher_second", "thermal": "teacher_thermal"}


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
