"""An exported folder in an environment of its own, with numpy, onnxruntime and opencv-python-headless alone."""

from __future__ import annotations

import csv
import os
import subprocess
import venv
from pathlib import Path

import pytest
import timm
import torch
from core_models import CNN
from edge_folders import CLASSES
from torch import nn

from xkd.batch import Number, View
from xkd.commands.predict import as_csv
from xkd.data.manifest import Manifest, sensor
from xkd.deploy.card import CardNotes
from xkd.deploy.folder import write_folder
from xkd.engine.box_files import as_box_table
from xkd.engine.student import Student
from xkd.engine.use import predict
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.networks.dense_detector import DenseDetector
from xkd.tasks import Classification, Dense, Detection, PixelHead, Regression, Segmentation, Task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NEEDED = ("numpy", "onnxruntime", "opencv-python-headless")
ALONE = "import importlib.util as of; assert not any(map(of.find_spec, ('torch', 'xkd', 'PIL'))); import numpy, onnxruntime, cv2"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [python, "-m", "pip", "install", "--quiet", *NEEDED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=without_pythonpath())
    assert done.returncode == 0, done.stderr
    subprocess.run([python, "-c", ALONE], check=True, env=without_pythonpath(), cwd=folder)
    return python


def without_pythonpath() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def network(task: Task, channels: int) -> nn.Module:
    torch.manual_seed(0)
    if isinstance(task, Segmentation | Dense):
        backbone = timm.create_model("resnet10t", features_only=True, out_indices=(1,), in_chans=channels)
        return PixelHead(backbone, len(task.names))
    if isinstance(task, Detection):
        backbone = timm.create_model("resnet10t", features_only=True, out_indices=(2, 3, 4), in_chans=channels)
        detector = DenseDetector(backbone, len(task.classes), channels=32)
        surest: nn.Conv2d = detector.head.classification_head.cls_logits
        nn.init.normal_(surest.weight, std=0.5)  # scores far apart, so that both sides have them in one order
        nn.init.zeros_(surest.bias)
        return detector
    return CNN(channels, num_classes=len(task.names))


TASKS: dict[str, tuple[Task, str]] = {
    "one label": (Classification(CLASSES), "rgb"),
    "several labels": (Classification(CLASSES, multilabel=True), "rgb"),
    "thermal": (Classification(CLASSES), "thermal"),
    "pixels": (Segmentation(CLASSES), "rgb"),
    "numbers": (Regression((Number("area", "%", (0, 100)), Number("age", "", (0, 9)))), "rgb"),
    "levels": (Dense((Number("depth", "m", (1, 80)),)), "rgb"),
    "boxes": (Detection(("person", "car")), "rgb"),
}


@pytest.mark.parametrize("name", TASKS)
def test_its_answers_are_those_of_xkd_predict(name: str, python: Path, data_root: Path, tmp_path: Path) -> None:
    task, column = TASKS[name]
    view = View(column, sensor("tiny", column), (32, 40))
    branch = Branch(network(task, view.modality.channels), view, Random()).eval()
    write_folder(branch, task, tmp_path / "edge", CardNotes("made up"))
    images = [str(data_root / row.files[column][0]) for row in Manifest.load(data_root).rows if row.split == "test"]
    out = tmp_path / "answers.csv"
    for arguments in (["check"], [*images, "--out", str(out)]):
        subprocess.run([python, tmp_path / "edge" / "run.py", *arguments], check=True, env=without_pythonpath(), cwd=tmp_path)
    predictions = predict(Student(branch, task, column), images)
    text = as_box_table(predictions) if task.recipe["kind"] == "boxes" else as_csv(predictions, task.columns)
    ours, theirs = list(csv.reader(out.read_text("utf-8").splitlines())), list(csv.reader(text.splitlines()))
    assert len(ours) == len(theirs) > len(images)
    for our, their in zip(ours, theirs, strict=True):
        assert [numbers(cell) for cell in our] == pytest.approx([numbers(cell) for cell in their], abs=2e-2 if "box" in name else 2e-4)


def numbers(cell: str) -> float | str:
    """A number as one, words as they are."""
    try:
        return float(cell)
    except ValueError:
        return cell
