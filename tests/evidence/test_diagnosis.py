"""The advice before a long run, and the three questions that it stands on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from xkd import statistics
from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.check.finding import Finding, Severity
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.engine.progress import Display
from xkd.evidence import diagnosis
from xkd.evidence.arms import make_arms
from xkd.evidence.diagnosis import Answer, Diagnosis, Seen, Verdict, diagnose, shortened
from xkd.statistics.dependence import Dependence
from xkd.tasks import Classification

QUIET = Console(quiet=True)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT)


def test_teacher_and_student_alone_are_trained_for_a_share_and_looked_at_on_val(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = make_arms(student, {})
    splits = []
    plain = diagnosis.build_loader

    def watched(section: Any, *rest: Any, **options: Any) -> Any:
        splits.append(section.dataset.split)
        return plain(section, *rest, **options)

    monkeypatch.setattr(diagnosis, "build_loader", watched)
    diagnosed = diagnose(arms, 1.0, tmp_path / "work", Display(QUIET, Progress(console=QUIET, disable=True)))
    assert set(splits) == {"train", "val"}, "never test"
    assert [answer.question.split(" ")[0] for answer in diagnosed.answers][:3] == ["Do", "Is", "Can"]
    assert sorted(path.parent.name for path in (tmp_path / "work").glob("*/*")) == ["alone", "teacher"]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("best.pth")}
    diagnose(arms, 1.0, tmp_path / "work", Display(QUIET, Progress(console=QUIET, disable=True)))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "what is there is reused"


SEVERAL = {
    "task = dict(type=Classification,": "task = dict(type=Classification, multilabel=True,",
    "KD, CrossEntropy": "BinaryCrossEntropy as CrossEntropy, SigmoidKD as KD",
}
PIXELS = {
    'type=Classification, classes=("blank", "disc", "bar")': 'type=Segmentation, classes=("background", "object")',
    "from xkd.tasks import Classification": "from xkd.tasks import Segmentation",
    "from core_models import CNN": "from torch.nn import Conv2d",
    "model=dict(type=CNN, channels=1)": "model=dict(type=Conv2d, in_channels=1, out_channels=2, kernel_size=1)",
    "model=dict(type=CNN)": "model=dict(type=Conv2d, in_channels=3, out_channels=2, kernel_size=1)",
    "augment=dict(type=Augment": 'target="mask", augment=dict(type=Augment',
    "size=(16, 24)": "size=(16, 16)",
    "val/macro_f1": "val/mean_iou",
    ", tau=2.0": "",
}


@pytest.mark.parametrize(("changes", "metric"), [(SEVERAL, "accuracy"), (PIXELS, "mean_iou")])
def test_a_task_without_one_class_for_each_row_is_asked_the_other_two(
    changes: dict[str, str], metric: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data" / "tiny"
    shutil.copytree(data_root, root)
    header = (root / "manifest.toml").read_text("utf-8")
    (root / "manifest.toml").write_text(header.replace("classes", 'labels = "multi"\nclasses') if changes is SEVERAL else header, "utf-8")
    monkeypatch.setenv("XKD_DATA_ROOT", str(root.parent))
    teacher, text = runs.TEACHER, runs.STUDENT
    for one, other in changes.items():
        teacher, text = teacher.replace(one, other), text.replace(one, other)
    arms = make_arms(runs.write(tmp_path, teacher=teacher, student=text), {})
    diagnosed = diagnose(arms, 0.1, tmp_path / "work", Display(QUIET, Progress(console=QUIET, disable=True)))
    pairs, better, tells, *rest = diagnosed.answers
    assert [answer.question for answer in rest] == ["May pairs of thermal without labels still teach?"] * (better.verdict != "for")
    assert (pairs.question, better.question) == ("Do the pairs of thermal fit?", "Is the teacher on thermal better?")
    assert better.reason.startswith(f"{metric} 0.")
    assert "on 12 rows of val" in better.reason
    assert (tells.verdict, tells.reason) == ("unclear", "this test conditions on a row's class; rows of this task do not have exactly one")


def test_a_share_of_the_epochs(student: Path) -> None:
    arm = next(arm for arm in make_arms(student, {"train_cfg.max_epochs": 40, "train_cfg.val_interval": 20}) if arm.name == "alone")
    assert shortened(arm, 0.25).config().train_cfg.max_epochs == 10
    assert shortened(arm, 0.25).config().train_cfg.val_interval == 10
    assert shortened(arm, 0.01).config().train_cfg.max_epochs == diagnosis.LEAST_EPOCHS
    assert shortened(arm, 1.0).config().train_cfg.max_epochs == 40
    for share in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"above 0 and at most 1, got {share}"):
            shortened(arm, share)


TASK = Classification(("no", "yes"))


def seen(right: float, deep: np.ndarray, confident: np.ndarray) -> Seen:
    rows = np.arange(len(deep)).astype(str)
    target = np.arange(len(deep)) % 2
    predicted = np.where(np.arange(len(deep)) / len(deep) < right, target, 1 - target)
    probabilities = np.where(np.eye(2)[predicted] > 0, confident[:, None], 1 - confident[:, None])
    return Seen(statistics.TestRun(rows, probabilities.astype(np.float32), target, rows), deep)


def test_a_better_teacher_speaks_for_and_a_worse_one_against() -> None:
    even = np.full(200, 0.9)
    deep = np.zeros((200, 2), np.float32)
    good, bad = seen(0.95, deep, even), seen(0.6, deep, even)
    elsewhere = replace(good, run=replace(good.run, predictions=np.roll(good.run.predictions, 20, axis=0)))  # as often wrong
    for teacher, student, verdict in ((good, bad, "for"), (bad, good, "against"), (good, elsewhere, "unclear")):
        answer = diagnosis._better("thermal", student.run, teacher.run, TASK.measures())
        assert answer.verdict == verdict
        assert "points" in answer.reason
    drives = np.array(["one", "two"])[np.arange(200) % 2]
    answer = diagnosis._better("thermal", replace(bad.run, clusters=drives), replace(good.run, clusters=drives), TASK.measures())
    assert (answer.verdict, "in only 2 groups" in answer.reason) == ("unclear", True)
    perfect = seen(1.0, deep, even)
    answer = diagnosis._better("thermal", perfect.run, perfect.run, TASK.measures())
    assert (answer.verdict, answer.reason.split("; ")[1]) == ("against", "there is no gap to close")


def test_soft_targets_that_the_students_sensor_explains_speak_for() -> None:
    rng = np.random.default_rng(0)
    sure = 0.55 + 0.4 * rng.random(200)
    blind, sighted = rng.normal(size=(200, 3)), np.stack([10 * sure, rng.normal(size=200)], 1)
    coarse = np.stack([np.arange(200) % 2 + 0.1 * rng.normal(size=200), rng.normal(size=200)], 1)  # the class and nothing else
    no_more, no_sign = "no sign that it tells more", "but the student's sensor shows no sign of what the teacher says"
    cases: list[tuple[np.ndarray, Verdict, Verdict, tuple[bool, bool]]] = [
        (blind, "unclear", "unclear", (True, True)),
        (sighted, "for", "for", (False, False)),
        (coarse, "unclear", "for", (True, False)),
    ]
    for deep, labelled, few, expected in cases:
        student = seen(0.8, deep.astype(np.float32), np.full(200, 0.7))
        teacher = seen(1.0, deep.astype(np.float32), sure)
        assert diagnosis._tells("thermal", student, teacher, (0, 90), TASK).verdict == labelled
        answer = diagnosis._tells("thermal", student, teacher, (81, 90), TASK)
        assert answer.verdict == few, "where there is no label the class is news, to a sensor that shows it"
        assert "81 of 90 training pairs carry no label" in answer.reason
        assert (no_more in answer.reason, no_sign in answer.reason) == expected
        assert ("there the teacher's class is new information" in answer.reason) == (few == "for")
    even = seen(0.8, blind.astype(np.float32), np.full(200, 0.7))
    right = replace(even, run=replace(even.run, predictions=np.eye(2, dtype=np.float32)[even.run.target]))
    answer = diagnosis._tells("thermal", even, right, (0, 90), TASK)
    assert answer.verdict == "unclear", "a teacher that says the label and nothing else"
    assert "every training pair carries" in answer.reason
    constant = seen(0.8, np.zeros((200, 3), np.float32), np.full(200, 0.7))
    answer = diagnosis._tells("thermal", constant, right, (81, 90), TASK)
    assert answer.verdict == "unclear", "a student that sees nothing at all"
    assert "nan" not in answer.reason


@pytest.mark.parametrize("student_sees", ["rgb", "thermal"])
def test_where_there_is_no_gap_pairs_without_labels_may_still_teach(student_sees: str, tiny_dataset: Path) -> None:
    views = [View(name, sensor(str(tiny_dataset), name), (16, 16)) for name in ("rgb", "thermal")]
    pairs = PairedDataset(str(tiny_dataset), "train", views, Augment())
    views = views if student_sees == "rgb" else views[::-1]
    answer = diagnosis._features(pairs, views, views[1].name, Dependence(0.5, 0.1, 0.004))
    assert (answer.verdict, answer.question) == ("unclear", f"May pairs of {views[1].name} without labels still teach?")
    assert answer.reason.startswith(
        "6 of 21 training pairs carry no label; what the two networks see on val is alike, 0.500, by chance 0.100"
    )
    whose = {"rgb": "the teacher", "thermal": "the student"}[student_sees]
    way = f"xkd pretrain {tiny_dataset} --from rgb --to thermal, in a config PretrainedOnPairs as the start of {whose}"
    assert answer.reason.endswith(way), "pretrained weights are the camera's, whoever learns by them"
    labelled = PairedDataset(str(tiny_dataset), "val", views, Augment())
    unknown = diagnosis._features(labelled, views, "thermal", None).reason
    assert unknown.startswith("all 12 training pairs carry a label; only a run shows")


def test_rows_of_one_group_are_one_witness() -> None:
    """Readings that a group shares look alike within it for reasons of their own; the groups themselves are unrelated."""
    p_values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(20), 10)
        ours, theirs = (rng.normal(size=(20, 3))[groups] + 0.1 * rng.normal(size=(200, 3)) for _ in range(2))
        rows = np.arange(200).astype(str)
        run = statistics.TestRun(rows, np.zeros((200, 2), np.float32), np.zeros(200, np.int64), groups.astype(str))
        first, second, classes = diagnosis.by_group(run, ours.astype(np.float32), theirs)
        assert len(first) == len(second) == len(classes) == 20
        assert first[0] == pytest.approx(ours[:10].mean(0), abs=1e-6)
        p_values.append(diagnosis.dependence_within(first, second, classes).p)
    assert np.mean(np.array(p_values) < 0.05) < 0.3
    assert diagnosis.dependence_within(ours, theirs, np.zeros(200, np.int64)).p < 0.01, "row by row they would look related"


def test_schedules_are_shortened_with_the_epochs_and_the_whole_is_left_as_it_is(student: Path) -> None:
    options = {"train_cfg.max_epochs": 40, "train_cfg.val_begin": 20}
    arm = next(arm for arm in make_arms(student, options) if arm.name == "alone")
    made = shortened(arm, 0.1).config()
    assert made.train_cfg.val_begin == 1
    assert [(schedule.begin, schedule.end, schedule.T_max) for schedule in made.param_scheduler] == [(0, 1, 1)]
    assert shortened(arm, 1.0) is arm


def test_pairs_are_judged_by_the_sensors_of_student_and_teacher_alone(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = next(arm for arm in make_arms(student, {}) if arm.name == "distilled").config()
    answer = diagnosis._pairs(config, "thermal")
    assert answer.verdict in ("for", "unclear")
    assert "rgb and thermal" in answer.reason

    def say(severity: Severity, text: str) -> None:
        monkeypatch.setattr(diagnosis, "residual_findings", lambda *_: [Finding(severity, "registration", text)])

    cases: list[tuple[Severity, str, Verdict]] = [
        ("note", "fine", "for"),
        ("warning", "9 apart", "against"),
        ("warning", "not measurable", "unclear"),
    ]
    for severity, text, verdict in cases:
        say(severity, text)
        assert diagnosis._pairs(config, "thermal").verdict == verdict


def test_one_answer_against_is_enough_and_all_must_speak_for() -> None:
    def advice(*verdicts: Verdict) -> Verdict:
        return Diagnosis(tuple(Answer("?", verdict, "") for verdict in verdicts)).advice

    assert advice("for", "for") == "for"
    assert advice("for", "unclear") == "unclear"
    assert advice("for", "unclear", "against") == "against"
