"""What a trained network is asked of the test split, and that a file gives it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
import torch
from core_models import CNN

from xkd.batch import View
from xkd.data.manifest import sensor
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student
from xkd.evidence import answers
from xkd.evidence.answers import SCORES, answer, check_questions, from_file, questions_key, score_columns, to_bytes
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.tasks import Classification


@pytest.fixture
def student(data_root: Path) -> Student:
    torch.manual_seed(0)
    view = View("rgb", sensor("tiny", "rgb"), (16, 16))
    return Student(Branch(CNN(3), view, Random(frozen=True), frozen=True), Classification(("blank", "disc", "bar")), "rgb")


def test_every_score_where_attention_is_named(student: Student, tmp_path: Path) -> None:
    config = runs.load_config(
        runs.write(tmp_path, student=runs.STUDENT),
        {"compare.object": ("object", "background"), "compare.attention": {"rgb": "attention:deep"}},
    )
    run = answer(config, student, 0)
    assert set(run.scores) == set(SCORES)
    known = {name: score[np.isfinite(score)] for name, score in run.scores.items()}
    for name in ("epg", "pointing_game", "iou", "insertion", "deletion"):
        assert len(known[name])
        assert ((known[name] >= 0) & (known[name] <= 1)).all()
    # an object that is the whole image holds all of the attention, so the lift on it is the lift
    both = np.isfinite(run.scores["epg_lift"])
    assert np.allclose(run.scores["lift_within"][both], run.scores["epg_lift"][both], rtol=1e-4)
    assert np.isnan(run.scores["epg"][run.target == 0]).all(), "the masks of blank rows are empty"
    assert (np.abs(known["randomised"]) <= 1).all()
    again = from_file(_written(tmp_path, to_bytes(run)))
    assert all(np.array_equal(again.scores[name], score, equal_nan=True) for name, score in run.scores.items())
    assert np.array_equal(again.rows, run.rows)


def test_nothing_is_asked_where_nothing_is_named(student: Student, tmp_path: Path) -> None:
    plain = runs.load_config(runs.write(tmp_path, student=runs.STUDENT), {"compare.attention": {}})
    assert not answer(plain, student, 0).scores
    named = runs.load_config(tmp_path / "student.py")
    assert "lift_within" not in answer(named, student, 0).scores
    wider = runs.load_config(tmp_path / "student.py", {"compare.object": ("object",)})
    assert len({questions_key(config) for config in (plain, named, wider)}) == 3


def test_what_takes_many_passes_is_asked_of_some_rows(student: Student, tmp_path: Path) -> None:
    config = runs.load_config(runs.write(tmp_path, student=runs.STUDENT), {"test_dataloader.batch_size": 2})
    scores = score_columns(student, build_loader(config.test_dataloader, 0, views=[student.branch.view]), "grad_cam:deep", probed=3)
    assert np.isfinite(scores["insertion"]).sum() == np.isfinite(scores["deletion"]).sum() == 3
    dataset: Any = build_loader(config.test_dataloader, 0).dataset
    assert len({dataset.rows[at].labels for at in np.flatnonzero(np.isfinite(scores["insertion"]))}) == 3, "the classes in turn"
    assert len(scores["insertion"]) == len(scores["epg"]) > 3


def test_codes_that_are_not_there_are_told_before_anything_is_trained(data_root: Path, tmp_path: Path) -> None:
    path = runs.write(tmp_path, student=runs.STUDENT)
    with pytest.raises(KeyError, match=r"no code 'leaf' in \[mask\]; there are \['background', 'object'\]"):
        check_questions(runs.load_config(path, {"compare.object": ("leaf",)}))
    with pytest.raises(ValueError, match=r"names codes of masks; the test split has regions of boxes"):
        check_questions(runs.load_config(path, {"compare.object": ("object",), "test_dataloader.dataset.masks.source": "boxes"}))
    check_questions(runs.load_config(path, {"compare.object": ("object",)}))


def _written(folder: Path, content: bytes) -> Path:
    path = folder / "rows.npz"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("number", [0, 2.5, True, "all"])
def test_probed_rows_are_a_number(number: object) -> None:
    with pytest.raises(ValueError, match=r"compare\.probed is a number of test rows"):
        answers.num_probed({"probed": number})


def test_the_config_says_how_many() -> None:
    assert answers.num_probed({}) == answers.NUM_PROBED
    assert answers.num_probed({"probed": 3}) == 3
