"""The tiny data set where the configs of engine_runs.py find it, and one trained student."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import engine_runs as runs
import pytest


@pytest.fixture(autouse=True, scope="module")
def _found(data_root: Path) -> None:
    """Every test here finds the tiny data set by its name."""


@pytest.fixture(autouse=True, scope="module")
def _quick_comparisons() -> Iterator[None]:
    """Processes of their own cost seconds, which tests/evidence/test_jobs.py pays; a row of pictures costs as much as a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xkd.evidence.jobs.default_jobs", lambda number: 1)
        patch.setattr("xkd.evidence.page.write.NUM_PANELS", 2)
        patch.setattr("xkd.evidence.page.write.NUM_FLIPS", 2)
        yield


@pytest.fixture
def own_data(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data set that a test may damage, where the configs find it."""
    shutil.copytree(tiny_dataset, tmp_path / "data" / "tiny")
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "data"))
    return tmp_path / "data" / "tiny"


@pytest.fixture(scope="module")
def trained(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with teacher.py, student.py, teacher.pth and the student's best.pth; read-only."""
    folder = tmp_path_factory.mktemp("trained")
    teacher = runs.write(folder, teacher=runs.TEACHER)
    result = runs.run_training(runs.load_config(teacher, {"train_cfg.max_epochs": 1}), folder / "teacher_run")
    shutil.copy(result.checkpoint, folder / "teacher.pth")
    student = runs.write(folder, student=runs.STUDENT.replace('path="teacher.pth"', f'path="{folder / "teacher.pth"}"'))
    result = runs.run_training(runs.load_config(student, {"train_cfg.max_epochs": 1}), folder / "student_run")
    shutil.copy(result.checkpoint, folder / "best.pth")
    return folder
