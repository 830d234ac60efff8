"""What cannot be compared is told before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import engine_runs as runs
import pytest
from mmengine.config import Config

from xkd.data.manifest import Manifest
from xkd.evidence.arm import Arm
from xkd.evidence.arms import make_arms
from xkd.evidence.comparable import check_comparable, check_readable, chosen_metric
from xkd.graph.class_map import ClassMap
from xkd.tasks import Segmentation


@pytest.fixture
def arms(data_root: Path, tmp_path: Path) -> dict[str, Arm]:
    made = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    return {arm.name: arm for arm in made}


def changed(arm: Arm, change: Callable[[Config], None]) -> Arm:
    def config() -> Config:
        made = arm.config()
        change(made)
        return made

    return replace(arm, config=config)


def other_classes(config: Config) -> None:
    config.distiller.task.classes = ("blank", "bar", "disc")


def pixels(config: Config) -> None:
    config.distiller.task.type = Segmentation


def test_what_is_alike_is_compared(arms: dict[str, Arm]) -> None:
    check_comparable(list(arms.values()))


@pytest.mark.parametrize("sensor", ["rgb", "thermal"])
def test_test_rows_that_cannot_be_read_are_told_first(
    sensor: str, arms: dict[str, Arm], tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_readable(list(arms.values()))
    shutil.copytree(tiny_dataset, tmp_path / "data" / "tiny")
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "data"))
    rows = [row for row in Manifest.load(tmp_path / "data" / "tiny").rows if row.split == "test"]
    for row in rows[:4]:
        (tmp_path / "data" / "tiny" / row.files[sensor][0]).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"4 test rows cannot be read, .*'{rows[0].id}'.*'{rows[2].id}'.*; \.\.\.\. Mend"):
        check_readable(list(arms.values()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            other_classes,
            r"arm 'teacher' answers in the classes \['blank', 'bar', .*, the student in .*: state which means which with Branch",
        ),
        (pixels, r"arm 'teacher' has the task Segmentation.*, the student Classification.*: answers of two kinds cannot"),
    ],
)
def test_a_teacher_that_answers_otherwise_is_refused(arms: dict[str, Arm], change: Callable[[Config], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_comparable([changed(arms["teacher"], change), arms["alone"], arms["distilled"]])


def test_pixels_need_one_grid(arms: dict[str, Arm]) -> None:
    teacher, alone = (changed(arms[name], pixels) for name in ("teacher", "alone"))
    check_comparable([alone, changed(arms["distilled"], pixels)])
    with pytest.raises(ValueError, match=r"arm 'teacher' is tested on pixels of \(16, 24\), the student alone on \(16, 16\)"):
        check_comparable([teacher, alone])


def test_a_class_map_that_is_not_of_the_teachers_classes_is_refused(arms: dict[str, Arm]) -> None:
    def mapped(own: tuple[str, ...]) -> Arm:
        def config() -> Config:
            made = arms["distilled"].config()
            made.distiller.branches.thermal.class_map = {"type": ClassMap, "own": own}
            return made

        return replace(arms["teacher"], through=(config, "thermal"))

    check_comparable([mapped(("blank", "disc", "bar")), arms["alone"]])
    with pytest.raises(ValueError, match=r"arm 'teacher' is trained on the classes \['blank', .*; the class_map of branch 'thermal' has"):
        check_comparable([mapped(("bar", "disc", "blank")), arms["alone"]])
    few = changed(mapped(("blank", "ring", "bar")), lambda config: config.distiller.task.update(classes=("blank", "ring", "bar")))
    with pytest.raises(ValueError, match="means 'disc': add it to ClassMap"):
        check_comparable([few, arms["alone"]])


def test_test_rows_must_be_the_same(arms: dict[str, Arm], data_root: Path, tmp_path: Path) -> None:
    shutil.copytree(data_root, tmp_path / "others")
    table = tmp_path / "others/manifest.csv"
    text = table.read_text("utf-8")

    def elsewhere(config: Config) -> None:
        config.test_dataloader.dataset.root = str(tmp_path / "others")

    compared = [changed(arms["teacher"], elsewhere), arms["alone"]]
    table.write_text(text.replace("\ntest-", "\nanother-"), "utf-8")
    with pytest.raises(ValueError, match=r"no labelled test row has the sensors of all arms \['teacher', 'alone'\]"):
        check_comparable(compared)
    line = next(line for line in text.splitlines() if line.startswith("test-0,"))
    table.write_text(text.replace(line, line.replace(",blank,", ",bar,")), "utf-8")
    with pytest.raises(ValueError, match=r"test row 'test-0' has \(label, cluster\) \(2, '.*'\) for arm 'teacher' and \(0, '.*'\) for the"):
        check_comparable(compared)


def test_the_metric_is_one_of_the_tasks(arms: dict[str, Arm]) -> None:
    assert chosen_metric(list(arms.values()), "") == "accuracy"
    assert chosen_metric(list(arms.values()), "macro_f1") == "macro_f1"
    with pytest.raises(ValueError, match=r"not judged by --metric mean_iou; there are \['accuracy', 'balanced_accuracy', 'macro_f1'\]"):
        chosen_metric(list(arms.values()), "mean_iou")
