"""The arms of a comparison: what each trains on, what makes a finished run stale, what is reused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain
from xkd.engine.fingerprint import fingerprint
from xkd.engine.loaders import build_loader
from xkd.engine.progress import Display
from xkd.evidence import controls, runs as arm_runs
from xkd.evidence.answers import check_questions
from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.arms import make_arms
from xkd.evidence.runs import read_run, run_arm

SMOKE = {"smoke": True, "amp": False}


@pytest.fixture
def student(tmp_path: Path) -> Path:
    return runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT)


def run_all(made: list[Arm], root: Path, settings: dict[str, Any]) -> dict[str, ArmRun]:
    console = Console(quiet=True)
    done: dict[str, ArmRun] = {}
    for arm in [arm for arm in made if not arm.control]:
        folders = {name: run.folder for name, run in done.items()}
        display = Display(console, Progress(console=console, disable=True))
        done[arm.name] = read_run(arm, run_arm(arm, 0, root, folders, settings, display))
    return done


def test_the_arms_in_the_order_to_be_run(student: Path) -> None:
    made = make_arms(student, {})
    assert [arm.name for arm in made if not arm.control] == ["teacher", "alone", "distilled", "shuffled"]
    assert [arm.name for arm in made if arm.control] == ["smoothed", "shuffled_within", "self_taught"]
    assert [arm.branch for arm in made] == ["thermal", *["rgb"] * 6]
    assert {arm.name: dict(arm.teachers) for arm in made if arm.teachers} == {
        "distilled": {"thermal": "teacher"},
        "shuffled": {"thermal": "teacher"},
        "shuffled_within": {"thermal": "teacher"},
        "self_taught": {"own": "alone"},
    }


def test_pairs_of_rows_that_nobody_labelled_are_not_shuffled_within_classes(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Manifest.load

    def unlabelled(root: str) -> Manifest:
        manifest = load(root)
        return replace(manifest, rows=tuple(replace(row, labels=None) for row in manifest.rows))

    monkeypatch.setattr(Manifest, "load", unlabelled)
    assert [arm.name for arm in make_arms(student, {}) if arm.control] == ["smoothed", "self_taught"]


def test_a_seed_draws_labels_pairs_and_augmentation_alike_for_all_arms(student: Path) -> None:
    options = {"train_dataloader.dataset.labels.fraction": 0.5}
    made = {arm.name: arm for arm in make_arms(student, options)}
    distilled, shuffled = made["distilled"], made["shuffled"]

    def dataset(arm: Arm, seed: int) -> Any:
        return build_loader(arm.config().train_dataloader, seed).dataset

    def labelled(data: Any) -> set[str]:
        return {data[at].meta["id"] for at in range(len(data)) if data[at].labelled}

    def strangers(seed: int) -> list[str]:
        data = dataset(shuffled, seed)
        return [str(data[at].views["thermal"].flatten()[:40].tolist()) for at in range(len(data))]

    first, again, other = dataset(distilled, 0), dataset(distilled, 0), dataset(distilled, 1)
    assert labelled(first) == labelled(again) == labelled(dataset(shuffled, 0))
    assert set() != labelled(first) != labelled(other)
    assert first[0, 3].views["rgb"].equal(again[0, 3].views["rgb"])
    assert not first[0, 3].views["rgb"].equal(other[0, 3].views["rgb"])
    assert strangers(0) != strangers(1)


VARIANTS = """
compare["variants"] = dict(
    heavy={"distiller.terms.kd.weight": 9.0},
    features={"distiller.terms.kd": dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="thermal.output")},
)
"""


def test_variants_are_the_distilled_student_with_other_settings(tmp_path: Path) -> None:
    path = runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT + VARIANTS)
    made = {arm.name: arm for arm in make_arms(path, {"train_cfg.max_epochs": 2})}
    assert [arm.name for arm in made.values() if arm.variant] == list(made)[-2:] == ["heavy", "features"]
    distilled, heavy, features = (made[name].config() for name in ("distilled", "heavy", "features"))
    assert made["heavy"].teachers == made["distilled"].teachers
    assert heavy.distiller.terms.kd.weight == 9.0
    assert "weight" not in features.distiller.terms.kd
    assert "xkd.losses.cross_entropy.CrossEntropy" in features.pretty_text  # a run writes its config down
    assert made["teacher"].config().pretty_text
    assert as_plain(features.distiller.terms.ce) == as_plain(distilled.distiller.terms.ce)
    assert distilled.train_cfg.max_epochs == heavy.train_cfg.max_epochs == 2
    marks = {fingerprint(config, 0, ["a"], SMOKE) for config in (distilled, heavy, features)}
    assert len(marks) == 3


def test_a_variant_with_a_teacher_of_its_own_loads_none_of_the_comparisons(tmp_path: Path) -> None:
    own = """
from xkd.graph.weights import Trained
beside = dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Random))
compare["variants"] = dict(
    beside={"distiller.branches.thermal": beside},
    shorter={"distiller.branches.thermal.weights": dict(type=Trained, epochs=1)},
    other={"distiller.branches.thermal.weights.path": "other.pth"},
)
"""
    made = {arm.name: arm for arm in make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT + own), {})}
    assert [made[name].teachers for name in ("beside", "shorter", "other")] == [{}, {}, {}]
    assert made["shorter"].config().distiller.branches.thermal.weights.epochs == 1
    assert made["other"].config().distiller.branches.thermal.weights.path == "other.pth"
    assert made["distilled"].teachers == {"thermal": "teacher"}


def test_a_variant_that_cannot_be_made_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    runs.write(tmp_path, teacher=runs.TEACHER)
    path = runs.write(tmp_path, student=runs.STUDENT + VARIANTS.replace("terms.kd.weight", "terms.dk.weight"))
    with pytest.raises(KeyError, match=r"no key 'distiller.terms.dk'; there are \['ce', 'kd'\]"):
        make_arms(path, {})
    path = runs.write(tmp_path, student=runs.STUDENT + VARIANTS.replace("heavy=", "masks="))
    with pytest.raises(ValueError, match=r"compare\.variants cannot have 'masks', the name of an arm of every comparison"):
        make_arms(path, {})


def test_a_config_that_compares_nothing_says_what_it_needs(tmp_path: Path) -> None:
    runs.write(tmp_path, teacher=runs.TEACHER)
    absent = runs.write(tmp_path, student=runs.STUDENT.replace("teachers=dict(thermal=", "teachers=dict(lidar="))
    message = r"must name the config that trains each branch with weights=Checkpoint\(...\), \['thermal'\]; it names \['lidar'\]"
    with pytest.raises(KeyError, match=message):
        make_arms(absent, {})
    with pytest.raises(
        KeyError,
        match=r"compare has no key 'clusters'; it takes \['about', 'answers', 'attention', 'cluster', 'note', 'object', ",
    ):
        make_arms(runs.write(tmp_path, student=runs.STUDENT), {"compare.clusters": "frame"})


def test_without_a_teacher_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of the branches \['thermal'\] is frozen with weights=Trained\(\) or Checkpoint"):
        make_arms(runs.write(tmp_path, teacher=runs.TEACHER), {})


def test_a_fingerprint_changes_with_whatever_a_result_depends_on(student: Path, tmp_path: Path, data_root: Path) -> None:
    def load(**options: Any) -> Config:
        return runs.load_config(student, {key.replace("__", "."): value for key, value in options.items()})

    whole = {"amp": False, "smoke": False}
    marks = [
        fingerprint(load(), 0, ["a"], whole),
        fingerprint(load(distiller__terms__kd__weight=2.0), 0, ["a"], whole),
        fingerprint(load(distiller__branches__rgb__model__width=16), 0, ["a"], whole),
        fingerprint(load(), 1, ["a"], whole),
        fingerprint(load(), 0, ["b"], whole),
        fingerprint(load(), 0, ["a"], SMOKE),
        fingerprint(load(), 0, ["a"], {"amp": True, "smoke": False}),
        fingerprint(controls.shuffled(load()), 0, ["a"], whole),
    ]
    manifest = data_root / "manifest.toml"
    text = manifest.read_text("utf-8")
    manifest.write_text(f"{text}\n# another version\n", "utf-8")
    try:
        marks.append(fingerprint(load(), 0, ["a"], whole))
    finally:
        manifest.write_text(text, "utf-8")
    assert len(set(marks)) == len(marks)
    assert fingerprint(load(), 0, ["a"], whole) == marks[0]


def test_a_teacher_counts_by_its_own_run_and_not_by_the_file_that_the_config_names(tmp_path: Path) -> None:
    runs.write(tmp_path, teacher=runs.TEACHER)
    file = tmp_path / "named.pth"
    path = runs.write(tmp_path, student=runs.STUDENT.replace('path="teacher.pth"', f'path="{file}"'))
    arm = next(arm for arm in make_arms(path, {}) if arm.name == "distilled")

    def name(run: str) -> str:
        return arm_runs.arm_folder(arm, 0, tmp_path, {"teacher": tmp_path / run}, SMOKE).name

    before = name("seed0_a")
    file.write_bytes(b"of an earlier run")
    assert name("seed0_a") == before != name("seed0_b")


def test_finished_arms_are_reused_after_an_interruption(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, trained = arm_runs.train, []

    def until_the_third(config: Config, folder: Path, *rest: Any, **settings: Any) -> Any:
        trained.append(folder.parent.name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(config, folder, *rest, **settings)

    monkeypatch.setattr(arm_runs, "train", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_all(make_arms(student, {}), tmp_path / "work", SMOKE)
    done = run_all(make_arms(student, {}), tmp_path / "work", SMOKE)
    assert trained == ["teacher", "alone", "distilled", "distilled", "shuffled"]
    again = run_all(make_arms(student, {}), tmp_path / "work", SMOKE)
    assert len(trained) == 5
    assert again["distilled"].folder == done["distilled"].folder
    assert np.array_equal(again["distilled"].test.predictions, done["distilled"].test.predictions)
    # another weight is another run of the arms that have that term
    run_all(make_arms(student, {"distiller.terms.kd.weight": 3.0}), tmp_path / "work", SMOKE)
    assert trained[5:] == ["distilled", "shuffled"]
    # the distilled student was taught by the teacher's checkpoint, on the same test rows, in the comparison's clusters
    assert json.loads((done["teacher"].folder / "result.json").read_text())["checkpoint"] == str(done["teacher"].checkpoint)
    for run in done.values():
        assert np.array_equal(run.test.target, np.arange(12) % 3)
        assert set(run.test.clusters) == {f"frame-{number}" for number in range(18, 24)}


def test_a_moved_comparison_is_reused(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_all(make_arms(student, {}), tmp_path / "work", SMOKE)
    (tmp_path / "work").rename(tmp_path / "moved")
    monkeypatch.setattr(arm_runs, "train", lambda *_args, **_settings: pytest.fail("it was trained again"))
    moved = run_all(make_arms(student, {}), tmp_path / "moved", SMOKE)
    assert {name: run.folder.name for name, run in moved.items()} == {name: run.folder.name for name, run in done.items()}


def test_an_unknown_cluster_names_the_columns(student: Path) -> None:
    teacher, *_ = make_arms(student, {"compare.cluster": "plant"})
    with pytest.raises(KeyError, match=r"compare.cluster = 'plant' is no column of the manifest; there are \['frame', 'group', 'id'\]"):
        check_questions(teacher.config())


def test_attention_is_measured_where_it_is_named(student: Path, tmp_path: Path) -> None:
    done = run_all(make_arms(student, {"compare.attention": {"rgb": "grad_cam:deep"}})[:2], tmp_path / "work", SMOKE)
    assert not done["teacher"].test.scores
    energy = done["alone"].test.scores["epg"]
    assert np.isnan(energy[::3]).all()  # the masks of blank rows are empty
    known = energy[np.isfinite(energy)]
    assert len(known)
    assert ((known >= 0) & (known <= 1)).all()
