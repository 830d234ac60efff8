"""A detector from its config to a file on another machine: train, test, predict, visualize, export."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import engine_runs as runs
import numpy as np
import pytest

from xkd import cli
from xkd.data.prepare.coco import read_coco

BOXES = (
    runs.PLAIN.replace("import Classification", "import Detection")
    .replace("import KD, CrossEntropy", "import FCOS")
    .replace("type=CrossEntropy", "type=FCOS")
    .replace("from xkd.taps", "from xkd.networks import DenseDetector\nfrom xkd.taps")
    .replace("type=Classification", "type=Detection")
    .replace("model=dict(type=CNN)", "model=dict(type=DenseDetector, backbone=backbone, num_classes=3, channels=32, num_convs=1)")
    .replace('split="train", ', 'split="train", target="boxes", ')
    .replace('split="val", ', 'split="val", target="boxes", ')
    .replace('split="test", ', 'split="test", target="boxes", ')
    .replace("size=(16, 16)", "size=(40, 48)")
    .replace('save_best = "val/macro_f1"', 'save_best = "val/ap50"')
    .replace(
        "\nrgb = dict(",
        '\nbackbone = dict(type="timm.create_model", model_name="resnet10t", features_only=True, out_indices=(1, 2))\nrgb = dict(',
    )
)

TEACHER = (
    "branches=dict(thermal=dict(type=Branch, model=dict(type=DenseDetector, backbone=dict(backbone, in_chans=1), num_classes=3,"
    " channels=32, num_convs=1), view=thermal, weights=dict(type=Trained, epochs=1), frozen=True), rgb="
)
TAUGHT = (
    BOXES.replace("import FCOS", "import BCKD, FCOS")
    .replace("Checkpoint, Random", "Checkpoint, Random, Trained")
    .replace("size=(16, 24)", "size=(40, 48)")
    .replace("branches=dict(rgb=", TEACHER)
    .replace("terms=dict(", 'terms=dict(kd=dict(type=Term, loss=dict(type=BCKD), student="rgb.output", teacher="thermal.output"), ')
    .replace("max_epochs=3", "max_epochs=1")
)


@pytest.fixture(scope="module")
def run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a detector that learned for some epochs; read-only."""
    folder = tmp_path_factory.mktemp("boxes")
    runs.run_training(runs.config_of(folder, BOXES, {"train_cfg.max_epochs": 6}), folder / "run")
    return folder / "run"


def arguments(run: Path) -> list[str]:
    return [str(next(run.glob("*.py"))), str(run / "best.pth")]


def test_it_is_tested_by_average_precision(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("test", arguments(run)) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("ap50", "ap75"))


def test_it_predicts_a_table_and_coco_json(run: Path, data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.csv"
    images = sorted(str(path) for path in (data_root / "rgb").glob("3*.png"))
    assert cli.run("predict", [*arguments(run), *images, "--out", str(out)]) == 0
    lines = list(csv.DictReader(out.read_text().splitlines()))
    assert list(lines[0]) == ["file", "left", "top", "right", "bottom", "class", "score", "error"]
    assert {line["file"] for line in lines} == set(images)
    boxes = [line for line in lines if line["class"]]
    assert boxes
    assert all(0 <= float(line["left"]) < float(line["right"]) <= 48 and float(line["score"]) >= 0.3 for line in boxes)
    table = json.loads(out.with_suffix(".json").read_text())
    assert len(table["images"]) == len(images)
    assert len(table["annotations"]) == len(boxes)
    assert sum(len(picture.things) for picture in read_coco([out.with_suffix(".json")]).pictures) == len(boxes)


def test_its_boxes_are_drawn_beside_the_true_ones(run: Path, tmp_path: Path) -> None:
    assert cli.run("visualize", [*arguments(run), "--out", str(tmp_path / "panels"), "--num", "2"]) == 0
    assert (tmp_path / "panels/contact_sheet.png").stat().st_size > 1000


@pytest.mark.slow
def test_it_is_exported_with_the_script_that_makes_boxes(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "detector.onnx"
    assert cli.run("export", [*arguments(run), "--out", str(out)]) == 0
    card = json.loads(out.with_suffix(".json").read_text())
    assert list(card["outputs"]) == ["places"]
    text = out.with_suffix(".md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "use.py").write_text(code + "\nprint(len(found), found[0].shape[1])\n")
    done = subprocess.run([sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", "6"], done.stderr
    assert np.isfinite(list(card["metrics"].values())).all()


@pytest.mark.slow
def test_a_thermal_detector_teaches_one_on_rgb_in_a_comparison(data_root: Path, tmp_path: Path) -> None:
    config = runs.write(tmp_path, boxes=TAUGHT)
    assert cli.run("compare", [str(config), "--work-dir", str(tmp_path / "work"), "--seeds", "1"]) == 0
    lines = list(csv.DictReader((tmp_path / "work/summary.csv").read_text().splitlines()))
    arms = {line["arm"] for line in lines if line["number"] == "ap50" and line["mean"]}
    assert arms >= {"teacher", "alone", "distilled", "shuffled"}
    assert all(not line["mean"] for line in lines if line["number"] == "ap50 blank"), "nobody drew a box about a blank"
    assert "AP50" in (tmp_path / "work/report.html").read_text("utf-8")
    assert (tmp_path / "work/panels/contact_sheet.png").is_file()
