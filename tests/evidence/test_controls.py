"""The controls of a comparison: each is the distilled student's config with one thing taken away, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
from core_models import CNN

from xkd.engine.config import as_names, as_plain, copied
from xkd.engine.loaders import build_distiller, build_loader
from xkd.evidence import controls
from xkd.evidence.arm import Arm
from xkd.evidence.arms import make_arms
from xkd.graph.branch import Branch
from xkd.graph.weights import Shared

EXPLAINED = runs.STUDENT.replace(
    "weights=dict(type=Random))",
    'weights=dict(type=Random), taps=dict(deep=dict(type=Tap, path="deep")),'
    ' explanations=dict(own=dict(type=GradCAM, path="deep", classes="batch.target"),'
    ' taught=dict(type=GradCAM, path="deep", classes="thermal.output")))',
    1,
).replace("from xkd.losses import KD", "from xkd.graph.explanation import GradCAM\nfrom xkd.losses import KD, FitNet, MaskEnergy", 1)
STEERED = EXPLAINED.replace(
    "terms=dict(",
    'terms=dict(own=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.own", teacher="batch.mask"),'
    ' taught=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.taught", teacher="batch.mask"), ',
    1,
)
SAME_SENSOR = (
    runs.TEACHER.replace('student="thermal"', 'student="rgb"')
    .replace(
        "thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal", "rgb=dict(type=Branch, model=dict(type=CNN), view=rgb"
    )
    .replace('"thermal.output"', '"rgb.output"')
    .replace("views=[thermal]", "views=[rgb]")
)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT)


def named(path: Path, options: dict[str, Any], *names: str) -> list[Arm]:
    made = {arm.name: arm for arm in make_arms(path, options)}
    return [made[name] for name in names]


def test_alone_keeps_the_student_its_labels_and_its_steps(student: Path) -> None:
    alone, distilled = named(student, {"distiller.terms.ce.weight": 2.0}, "alone", "distilled")
    config = alone.config()
    assert list(config.distiller.branches) == ["rgb"]
    assert list(config.distiller.terms) == ["ce"]
    assert config.distiller.terms.ce.weight == 2.0
    assert as_plain(config.train_dataloader) == as_plain(distilled.config().train_dataloader)
    build_distiller(config.distiller, 0)


def test_alone_keeps_the_labels_of_its_own_exits_and_nothing_else(tmp_path: Path) -> None:
    text = runs.STUDENT.replace(
        "terms=dict(",
        'terms=dict(\n        other=dict(type=Term, loss=dict(type=CrossEntropy), student="thermal.output", teacher="batch.target"),\n'
        '        pair=dict(type=Term, loss=dict(type=CrossEntropy), student=("rgb.output", "thermal.output"), '
        'teacher="batch.target"),\n        ',
    )
    config = controls.alone(runs.config_of(tmp_path, text))
    assert list(config.distiller.terms) == ["ce"]
    with pytest.raises(ValueError, match=r"'rgb' has no term with 'batch.target', so it cannot be trained alone"):
        controls.alone(runs.config_of(tmp_path, runs.STUDENT.replace('"batch.target"', '"thermal.output"')))


def test_alone_asks_no_teacher_for_its_gate(tmp_path: Path) -> None:
    gated = 'student="rgb.output", teacher="batch.target", gate=dict(type=Right, reading="thermal.output"))'
    text = runs.STUDENT.replace('student="rgb.output", teacher="batch.target")', gated)
    made = make_arms(
        runs.write(
            tmp_path, teacher=runs.TEACHER, student=text.replace("from xkd.losses", "from xkd.graph.gates import Right\nfrom xkd.losses", 1)
        ),
        {},
    )
    alone, distilled = (next(arm for arm in made if arm.name == name).config() for name in ("alone", "distilled"))
    assert "gate" in distilled.distiller.terms.ce
    assert "gate" not in alone.distiller.terms.ce
    build_distiller(alone.distiller, 0)


def test_alone_keeps_a_gate_of_none_and_one_of_its_own(tmp_path: Path) -> None:
    for gate in ("None", 'dict(type=Right, reading="rgb.output")'):
        text = runs.STUDENT.replace('teacher="batch.target")', f'teacher="batch.target", gate={gate})').replace(
            "from xkd.losses", "from xkd.graph.gates import Right\nfrom xkd.losses", 1
        )
        config = controls.alone(runs.config_of(tmp_path, text))
        assert "gate" in config.distiller.terms.ce
        build_distiller(config.distiller, 0)


def test_masks_without_a_teacher_are_an_arm_where_the_student_has_masks(tmp_path: Path) -> None:
    text = runs.STUDENT.replace("from xkd.losses import ", "from xkd.losses import MaskEnergy\nfrom xkd.losses import ", 1).replace(
        "terms=dict(",
        'terms=dict(mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.deep", teacher="batch.mask"), ',
    )
    made = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=text), {})
    assert [arm.name for arm in made if not arm.control] == ["teacher", "alone", "masks", "distilled", "shuffled"]
    alone, masks = (arm.config() for arm in made[1:3])
    assert list(alone.distiller.terms) == ["ce"]
    assert sorted(masks.distiller.terms) == ["ce", "mask"]
    assert list(masks.distiller.branches) == ["rgb"]
    assert as_plain(masks.train_dataloader) == as_plain(alone.train_dataloader)


def test_shuffled_pairs_keep_the_students_view_with_its_label(student: Path) -> None:
    distilled, shuffled = named(student, {}, "distilled", "shuffled")
    assert shuffled.config().train_dataloader.dataset.shuffle.anchor == "rgb"
    paired, strange = (build_loader(arm.config().train_dataloader, 0).dataset for arm in (distilled, shuffled))
    row = strange[0].meta["id"]
    own = next(sample for sample in (paired[at] for at in range(len(paired))) if sample.meta["id"] == row)
    assert strange[0].views["rgb"].equal(own.views["rgb"])
    assert not strange[0].views["thermal"].equal(own.views["thermal"])


def test_one_view_has_no_pairs_to_shuffle(tmp_path: Path) -> None:
    teacher = runs.TEACHER.replace('student="thermal"', 'student="rgb"').replace(
        "thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal", "rgb=dict(type=Branch, model=dict(type=CNN), view=rgb"
    )
    text = runs.STUDENT.replace("model=dict(type=CNN, channels=1), view=thermal", "model=dict(type=CNN), view=rgb")
    path = runs.write(tmp_path, teacher=teacher.replace('"thermal.output"', '"rgb.output"'), student=text)
    assert [arm.name for arm in make_arms(path, {}) if not arm.control] == ["teacher", "alone", "distilled"]


def test_smoothed_labels_are_those_of_the_student_alone(student: Path, tmp_path: Path) -> None:
    alone, smoothed = (arm.config() for arm in named(student, {}, "alone", "smoothed"))
    assert smoothed.distiller.terms.ce.loss.label_smoothing == 0.1
    smoothed.distiller.terms.ce.loss.pop("label_smoothing")
    assert as_plain(smoothed.distiller) == as_plain(alone.distiller)
    smooth = runs.STUDENT.replace("loss=dict(type=CrossEntropy)", "loss=dict(type=CrossEntropy, label_smoothing=0.05)")
    assert "smoothed" not in [arm.name for arm in make_arms(runs.write(tmp_path, smooth=smooth), {})], "the student alone is that already"


def test_all_labels_are_an_arm_where_training_throws_some_away(student: Path) -> None:
    few = {"train_dataloader.dataset.labels.fraction": 0.5}
    alone, ceiling = (arm.config() for arm in named(student, few, "alone", "all_labels"))
    assert (alone.train_dataloader.dataset.labels.fraction, "fraction" in ceiling.train_dataloader.dataset.labels) == (0.5, False)
    assert as_plain(alone.distiller) == as_plain(ceiling.distiller)
    for options in ({}, {"train_dataloader.dataset.labels.fraction": 1.0}):
        assert "all_labels" not in [arm.name for arm in make_arms(student, options)]


def test_a_student_is_its_own_teacher_by_the_terms_that_it_has_readings_for(student: Path, tmp_path: Path) -> None:
    config = named(student, {}, "self_taught")[0].config()
    own, rgb = (as_plain(config.distiller.branches)[name] for name in ("own", "rgb"))
    assert list(config.distiller.branches) == ["rgb", "own"]
    assert own["model"] == rgb["model"]
    assert own["view"] == rgb["view"]
    assert own["frozen"]
    assert (config.distiller.terms.kd.student, config.distiller.terms.kd.teacher) == ("rgb.output", "own.output")
    build_distiller(config.distiller, 0, smoke=True)
    foreign = STEERED.replace(
        "terms=dict(",
        'terms=dict(deep=dict(type=Term, loss=dict(type=FitNet), student="rgb.deep", teacher="thermal.deep"),'
        ' strange=dict(type=Term, loss=dict(type=FitNet), student="rgb.deep", teacher="thermal.stem"), ',
        1,
    )
    steered = named(runs.write(tmp_path, foreign=foreign), {}, "self_taught")[0].config()
    assert sorted(steered.distiller.terms) == ["ce", "deep", "kd", "own", "taught"], "masks still steer it"
    assert steered.distiller.terms.deep.teacher == "own.deep"
    assert {name: of.classes for name, of in steered.distiller.branches.rgb.explanations.items()} == {
        "own": "batch.target",
        "taught": "own.output",
    }
    build_distiller(steered.distiller, 0, smoke=True)


def test_alone_keeps_the_explanations_that_ask_no_teacher(tmp_path: Path) -> None:
    runs.write(tmp_path, teacher=runs.TEACHER)
    path = runs.write(tmp_path, student=STEERED)
    masks, alone = (arm.config() for arm in named(path, {}, "masks", "alone"))
    assert sorted(masks.distiller.terms) == ["ce", "own"]
    assert list(masks.distiller.branches.rgb.explanations) == ["own"]
    assert sorted(alone.distiller.terms) == ["ce"]
    build_distiller(masks.distiller, 0)


def test_a_teacher_on_the_students_own_sensor(student: Path, tmp_path: Path) -> None:
    runs.write(tmp_path, rgb_teacher=SAME_SENSOR)
    text = runs.STUDENT.replace(
        'teachers=dict(thermal="teacher.py")', 'teachers=dict(thermal="teacher.py"), same_sensor=dict(thermal="rgb_teacher.py")'
    )
    path = runs.write(tmp_path, student=text)
    teacher, taught = named(path, {}, "same_sensor_teacher", "same_sensor")
    assert (teacher.branch, dict(taught.teachers)) == ("rgb", {"thermal": "same_sensor_teacher"})
    assert "cluster" in teacher.config().compare
    config = taught.config()
    branches = as_plain(config.distiller.branches)
    assert branches["thermal"]["view"]["name"] == "rgb"
    assert "channels" not in branches["thermal"]["model"]
    assert branches["thermal"]["frozen"]
    assert as_plain(config.distiller.terms) == as_plain(named(path, {}, "distilled")[0].config().distiller.terms)
    build_distiller(config.distiller, 0, smoke=True)
    with pytest.raises(KeyError, match=r"compare.same_sensor names 'lidar', which is no teacher; there are \['thermal'\]"):
        make_arms(path, {"compare.same_sensor": {"thermal": "rgb_teacher.py", "lidar": "rgb_teacher.py"}})


def test_shuffled_frames_are_the_students_alone(tmp_path: Path) -> None:
    clip = 'modality=dict(type=Clip, sensor=dict(type=sensor, root="tiny", column="rgb"), frames=3), size=(16, 16))'
    text = runs.STUDENT.replace('modality=dict(type=sensor, root="tiny", column="rgb"), size=(16, 16))', clip, 1)
    text = text.replace("from xkd.losses", "from xkd.modalities import Clip\nfrom xkd.losses", 1)
    path = runs.write(tmp_path, teacher=runs.TEACHER, student=text)
    [arm] = named(path, {}, "shuffled_frames")
    assert arm.control
    config = arm.config()
    branches, sections = (
        as_plain(config.distiller.branches),
        [as_plain(config[f"{split}_dataloader"].dataset) for split in ("train", "val", "test")],
    )
    orders = [view["modality"].get("order") for view in (branches["rgb"]["view"], *(section["views"][0] for section in sections))]
    assert orders == ["shuffled"] * 4
    assert "order" not in branches["thermal"]["view"]["modality"]
    assert "shuffled_frames" not in [one.name for one in make_arms(path, {"distiller.branches.rgb.view.modality.frames": 1})], (
        "one frame has no order"
    )


def test_who_has_anothers_weights_begins_as_that_does_or_goes_with_it(tmp_path: Path) -> None:
    shared = {"type": Branch, "model": {"type": CNN, "channels": 1}, "weights": {"type": Shared, "of": "thermal"}, "frozen": True}
    config = runs.config_of(tmp_path, runs.STUDENT)
    config.distiller.branches.judge = as_names({**shared, "view": as_plain(config.distiller.branches.thermal.view)})
    config.distiller.branches.pupil = as_names({**as_plain(config.distiller.branches.rgb), "weights": {"type": Shared, "of": "rgb"}})
    config.distiller.terms.judged = as_names({**as_plain(config.distiller.terms.kd), "teacher": "judge.output"})
    assert sorted(controls.self_taught(copied(config)).distiller.branches) == ["own", "pupil", "rgb"]
    config.distiller.student, config.distiller.terms.ce.student = "pupil", "pupil.output"
    alone = controls.alone(config).distiller
    assert as_plain(alone.branches) == {"pupil": as_plain(runs.config_of(tmp_path, runs.STUDENT).distiller.branches.rgb)}
