"""A first config for each task that rows are labelled for: what is taken unasked, what else could be, and what the config then says."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from box_pairs import write_boxes
from number_pairs import write_numbers

from xkd import cli
from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain, load_config
from xkd.evidence.first import first_config
from xkd.init.choices import Wishes, choose
from xkd.init.facts import gather
from xkd.init.measured import way_of_sensor
from xkd.init.ways import kind_of, other_tasks, possible, way_of
from xkd.losses import BCKD, FCOS, L1, GaussianNLL, PixelL1, SmoothL1, VarianceKD
from xkd.modalities import LiDAR
from xkd.networks import DenseDetector, PixelDecoder

SMALL = {"teacher": "resnet10t", "student": "resnet10t"}


@pytest.fixture(scope="module")
def numbers(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbers(tiny_dataset, tmp_path_factory.mktemp("ways") / "numbers")


@pytest.fixture(scope="module")
def boxes(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_boxes(tiny_dataset, tmp_path_factory.mktemp("ways") / "boxes")


def config(root: Path, out: Path, task: str = "", teachers: tuple[str, ...] = ("thermal",)) -> Any:
    assert first_config(Manifest.load(root), str(root), Wishes("rgb", teachers, SMALL, epochs=2, quick=True), out, "xkd init", task)
    return load_config(out)


def relabel(root: Path, change: dict[str, str], split: str) -> None:
    """Cells of one split's rows; an empty text stays where it is one."""
    table = root / "manifest.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {key: cell for key, cell in change.items() if row["split"] == split and row[key]}
    with table.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def test_what_rows_have_says_which_task_is_taken(tiny_dataset: Path, numbers: Path, boxes: Path) -> None:
    found = {name: list(possible(Manifest.load(root))) for name, root in (("tiny", tiny_dataset), ("numbers", numbers), ("boxes", boxes))}
    assert found == {
        "tiny": ["classification", "segmentation", "detection"],
        "numbers": ["regression", "segmentation"],
        "boxes": ["detection"],
    }


def test_a_line_says_what_else_could_be_learned_where_nobody_named_a_task(tiny_dataset: Path, boxes: Path) -> None:
    manifest = Manifest.load(tiny_dataset)
    line = "classification, since rows have labels; they also have masks (--task segmentation), boxes (--task detection)"
    assert other_tasks(manifest) == line
    assert not other_tasks(manifest, "classification")
    assert not other_tasks(Manifest.load(boxes))


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_task_that_rows_are_not_labelled_for_is_refused_with_what_they_have(numbers: Path, task: str) -> None:
    told = rf"nothing to learn {task} from; they have numbers \['warmth'\] \(--task regression\), masks \(--task segmentation\)"
    with pytest.raises(ValueError, match=told):
        kind_of(Manifest.load(numbers), task)
    assert kind_of(Manifest.load(numbers), "segmentation") == "segmentation"


def test_boxes_that_a_detector_drew_are_no_task(tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_boxes(tiny_dataset, tmp_path / "drawn")
    table = root / "manifest.csv"
    head, *lines = table.read_text().splitlines()
    at = head.split(",").index("boxes")
    scores = ["0.5" if line.split(",")[at] not in ("", "-") else "" for line in lines]
    table.write_text("\n".join([f"{head},box_scores", *(f"{line},{score}" for line, score in zip(lines, scores, strict=True))]) + "\n")
    with pytest.raises(ValueError, match="no row has a label, a mask or a box with a class that somebody drew"):
        kind_of(Manifest.load(root), "")


def test_numbers(numbers: Path, tmp_path: Path) -> None:
    made = config(numbers, tmp_path / "first.py")
    terms = as_plain(made.distiller.terms)
    assert {name: term["loss"]["type"] for name, term in terms.items()} == {"labels": SmoothL1, "kd": L1}  # no mask explains a number
    assert {term["loss"]["scale"] for term in terms.values()} == {3.0}  # blank 1, disc 8, bar 15: half of 7
    assert terms["kd"]["weight"] == 0.5
    assert made.save_best == "val/mae"
    assert as_plain(made.distiller.branches)["rgb"]["model"]["num_classes"] == 1
    assert "warmth (0 to 20 K)" in (tmp_path / "first.py").read_text()


def test_teachers_of_numbers_share_their_weight(numbers: Path, tmp_path: Path) -> None:
    terms = as_plain(config(numbers, tmp_path / "first.py", teachers=("thermal", "rgb")).distiller.terms)
    assert (terms["kd_thermal"]["weight"], terms["kd_rgb_teacher"]["weight"]) == (0.25, 0.25)


def test_numbers_of_unlike_units_learn_their_variances(tiny_dataset: Path, tmp_path: Path) -> None:
    toml = 'labels = "number"\n[numbers.warmth]\nunit = "K"\nrange = [0, 20]\n[numbers.share]\nunit = "%"\nrange = [0, 100]'
    root = write_numbers(tiny_dataset, tmp_path / "two", toml=toml)
    table = root / "manifest.csv"
    head, *lines = table.read_text().splitlines()
    at = head.split(",").index("label")
    cells = [line.split(",") for line in lines]
    for line in cells:
        line[at] = f"{line[at]};{line[at]}" if line[at] else ""
    table.write_text("\n".join([head, *(",".join(line) for line in cells)]) + "\n")
    made = config(root, tmp_path / "first.py")
    assert [term["loss"]["type"] for term in as_plain(made.distiller.terms).values()] == [GaussianNLL, VarianceKD]
    assert as_plain(made.distiller.branches)["rgb"]["model"]["num_classes"] == 4


def test_numbers_that_are_all_the_same_teach_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_numbers(tiny_dataset, tmp_path / "numbers")
    relabel(root, {"label": "4"}, "train")
    with pytest.raises(ValueError, match=r"all training rows have the same numbers, \[4.0\]: nothing to learn"):
        way_of(Manifest.load(root), "regression", "rgb")


def test_boxes(boxes: Path, tmp_path: Path) -> None:
    made = config(boxes, tmp_path / "first.py")
    assert [term["loss"]["type"] for term in as_plain(made.distiller.terms).values()] == [FCOS, BCKD]
    assert {branch["model"]["type"] for branch in as_plain(made.distiller.branches).values()} == {DenseDetector}
    datasets = [as_plain(made[f"{split}_dataloader"])["dataset"] for split in ("train", "val", "test")]
    assert [dataset["target"] for dataset in datasets] == ["boxes"] * 3
    assert "rotate" not in datasets[0]["augment"]
    assert made.save_best == "val/ap50"
    assert "attention" not in made.compare


def test_detectors_see_larger_images_of_one_size(tiny_dataset: Path) -> None:
    facts = gather(Manifest.load(tiny_dataset), "rgb", ["thermal"], "detection")
    facts = replace(facts, sizes={"rgb": (512, 640), "thermal": (120, 160)})
    made = choose(facts, Wishes("rgb", ("thermal",), quick=True))
    assert {made.student.size, *(node.size for node in made.teachers)} == {(112, 144)}
    assert made.batch_size.value == 4


def test_boxes_of_a_split_without_an_object_are_missed(tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_boxes(tiny_dataset, tmp_path / "boxes")
    relabel(root, {"boxes": "-"}, "val")
    with pytest.raises(ValueError, match="no row of split 'val' has rgb and a box with a class"):
        gather(Manifest.load(root), "rgb", ["thermal"])


def test_a_network_without_such_maps_is_refused(boxes: Path, tmp_path: Path) -> None:
    wishes = Wishes("rgb", ("thermal",), {"teacher": "mixer_s32_224", "student": "resnet10t"}, quick=True)
    with pytest.raises(ValueError, match=r"'mixer_s32_224' gives maps of strides \[32, 32, 32\], detection needs finer and coarser"):
        first_config(Manifest.load(boxes), str(boxes), wishes, tmp_path / "first.py", "xkd init")


def test_a_sensor_in_the_place_of_labels(tiny_dataset: Path, tmp_path: Path) -> None:
    wishes = Wishes("rgb", ("rgb",), SMALL, epochs=2, quick=True, target="thermal")
    assert first_config(Manifest.load(tiny_dataset), str(tiny_dataset), wishes, tmp_path / "first.py", "xkd init")
    made = load_config(tmp_path / "first.py")
    terms = as_plain(made.distiller.terms)
    assert [term["loss"]["type"] for term in terms.values()] == [PixelL1, PixelL1]
    # kelvin: noise of 0.3 on the ground, whose median distance from the median is 0.2
    assert {term["loss"]["scale"] for term in terms.values()} == {0.1}
    assert {branch["model"]["type"] for branch in as_plain(made.distiller.branches).values()} == {PixelDecoder}
    datasets = [as_plain(made[f"{split}_dataloader"])["dataset"] for split in ("train", "val", "test")]
    assert [(of["target"], [view["name"] for view in of["views"]]) for of in datasets] == [("view:thermal", ["rgb", "thermal"])] * 3
    assert made.save_best == "val/mae"
    assert dict(made.compare) == {"cluster": "group"}
    assert "thermal (285 to 310 K)" in (tmp_path / "first.py").read_text("utf-8")


def test_a_scanner_teaches_distances(tiny_dataset: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(tiny_dataset)
    scanner = LiDAR(outputs=("range", "intensity", "valid"), range=(0.0, 80.0), densify=2)
    way = way_of_sensor(replace(manifest, modalities={**manifest.modalities, "lidar": scanner}), "lidar", "rgb", ["thermal"])
    assert way.task.described == ("range (2 to 80 m)",)
    assert way.changes == ', changes=dict(outputs=("range",), range=(2, 80), densify=0, mean=(), std=())'
    assert (way.best, way.zoomed, way.label_loss) == ("abs_rel", False, "dict(type=ScaleInvariantLog)")
    above = replace(manifest, modalities={**manifest.modalities, "lidar": replace(scanner, project="above")})
    with pytest.raises(ValueError, match="sensor 'lidar' looks from above"):
        way_of_sensor(above, "lidar", "rgb", ["thermal"])


@pytest.mark.parametrize(
    ("task", "target", "teacher", "message"),
    [
        ("dense", "", "rgb", r"task 'dense' without a target: .* --task dense --target SENSOR, one of \['rgb', 'thermal'\]"),
        ("segmentation", "thermal", "rgb", "task 'segmentation' and target 'thermal': a sensor is the target of task 'dense' alone"),
        ("dense", "lidar", "rgb", r"no sensor 'lidar'; manifest.toml has \['rgb', 'thermal'\]"),
        (
            "dense",
            "thermal",
            "thermal",
            "a teacher sees the target 'thermal', which it would copy: name another sensor, or .* --teacher rgb",
        ),
        ("dense", "rgb", "thermal", "the student sees the target 'rgb'"),
    ],
)
def test_a_target_that_cannot_be_one(tiny_dataset: Path, task: str, target: str, teacher: str, message: str) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        gather(Manifest.load(tiny_dataset), "rgb", [teacher], task, target)


def test_a_target_is_one_quantity(tiny_dataset: Path) -> None:
    with pytest.raises(ValueError, match=r"sensor 'rgb' has 3 channels, \['rgb 0 .* a first config learns one"):
        gather(Manifest.load(tiny_dataset), "thermal", ["thermal"], "dense", "rgb")


ASKED = {"numbers": ["--teacher", "thermal"], "boxes": ["--teacher", "thermal"], "tiny": ["--teacher", "rgb", "--target", "thermal"]}


@pytest.mark.parametrize("kind", ASKED)
def test_the_written_config_trains_a_step(
    kind: str, tiny_dataset: Path, numbers: Path, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = {"numbers": numbers, "boxes": boxes, "tiny": tiny_dataset}[kind]
    networks = [f"{branch}={name}" for branch, name in SMALL.items()]
    asked = [*ASKED[kind], "--student", "rgb", "--quick", "--epochs", "2", "--networks", *networks, "--out", "first.py"]
    assert cli.run("init", [str(root), *asked]) == 0
    assert cli.run("train", ["first.py", "--smoke"]) == 0
