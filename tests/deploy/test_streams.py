"""run.py on clips: strips as evaluation reads them, videos and cameras by a window that slides, at the rate that the network knows."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from core_models import CNN
from edge_folders import CLASSES, load_runner, told_model

from xkd.batch import View
from xkd.data.images import read_sample
from xkd.deploy.card import CardNotes
from xkd.deploy.folder import write_folder
from xkd.geometry import IDENTITY, Box
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB, Clip, Thermal
from xkd.modality import Shot
from xkd.networks.frames import Frames
from xkd.tasks import Classification

TASK = Classification(CLASSES)
CLIP = Clip(RGB(), 4, 1)
VIEW = View("rgb", CLIP, (24, 32))
FPS = 10.0  # of the video


@pytest.fixture(scope="module")
def run() -> ModuleType:
    return load_runner()


@pytest.fixture
def model(run: ModuleType) -> Any:
    return told_model(run, VIEW, TASK, [0.2, 0.5, 0.3])


def strip(path: Path, frames: int, side: int = 40) -> Path:
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (30, side * frames, 3), dtype=np.uint8))
    return path


def shades(path: Path, *values: int) -> Path:
    """A video whose frames are grey, each lighter than the one before."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (64, 48))
    for value in values:
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    return path


def asked(run: ModuleType, model: Any, out: Path, **options: Any) -> list[str]:
    """The names in the table."""
    plain: dict[str, Any] = {"what": [], "camera": None, "video": None, "fps": None, "masks": "", "whole_images": False, "out": out}
    assert run.table(model, argparse.Namespace(**plain | options)) == 0
    with out.open(newline="", encoding="utf-8") as file:
        return [line["file"].rpartition("#")[2] for line in csv.DictReader(file)]


def test_a_strip_is_read_as_xkd_predict_and_as_evaluation_read_it(run: ModuleType, model: Any, tmp_path: Path) -> None:
    path = strip(tmp_path / "a.png", 4)
    assert np.array_equal(model.prepare(model.read(path))[0], read_sample(path, VIEW).views["rgb"].numpy())
    path, model.plan["image"]["clip"]["strip"] = strip(tmp_path / "b.png", 7), 7
    middle = CLIP.places(7, 8.0, 0.5 * 3 / 8)  # of the time where a clip has all of its frames, as rows are evaluated
    content = CLIP.read(Shot((path,), None, {"fps": 8.0, "frames": 7.0}, frames=middle))
    expected = CLIP.place(content, IDENTITY, VIEW.size, Box(0, 0, 40, 30)).transpose(2, 0, 1)
    assert np.array_equal(model.prepare(model.read(path))[0], expected)


@pytest.mark.parametrize("side", [41, 10, 160], ids=["number", "narrow", "wide"])
def test_what_is_no_strip(side: int, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.zeros((30, 4 * side + (side == 41), 3), np.uint8))
    with pytest.raises(ValueError, match="takes strips of 4 frames side by side"):
        model.read(path)


def test_a_video_is_seen_at_the_rate_of_training(run: ModuleType, model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = shades(tmp_path / "v.avi", *range(10, 250, 20))
    seen: list[np.ndarray] = []
    model.run = lambda images: seen.append(images[0, ::3].mean((1, 2))) or np.array([0.2, 0.5, 0.3])
    names = asked(run, model, tmp_path / "a.csv", video=str(video), fps=5.0)  # every second one
    assert names == ["0.00-0.60", "0.20-0.80", "0.40-1.00"]
    assert np.stack(seen) == pytest.approx(10 + 40.0 * (np.arange(3)[:, None] + np.arange(4)), abs=6)
    assert "12 frames, 3 answers" in (said := capsys.readouterr().err)
    assert "shown again" not in said
    seen.clear()
    asked(run, model, tmp_path / "a.csv", video=str(video), fps=20.0)
    assert seen[0] == pytest.approx([30, 30, 50, 50], abs=6), "frames that come too slowly are shown again"
    assert "shown again" in capsys.readouterr().err
    short = shades(tmp_path / "short.avi", 10, 200)
    assert asked(run, model, tmp_path / "a.csv", video=str(short), fps=FPS) == ["0.00-0.10"]
    assert seen[-1] == pytest.approx([10, 200, 200, 200], abs=6)


def test_a_camera_is_seen_by_the_clock(run: ModuleType, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streams, picture = run.beside("streams"), np.zeros((48, 64, 3), np.uint8)
    clock = {"now": 0.0}

    def read() -> tuple[bool, np.ndarray]:
        clock["now"] += 0.5
        if clock["now"] > 6:
            raise KeyboardInterrupt
        return True, picture.copy()

    monkeypatch.setattr(streams, "time", Mock(perf_counter=lambda: clock["now"]))
    monkeypatch.setattr(cv2, "VideoCapture", Mock(return_value=Mock(**{"isOpened.return_value": True, "read.side_effect": read})))
    assert asked(run, model, tmp_path / "a.csv", camera=0, fps=1.0)[:2] == ["0.50-3.50", "1.50-4.50"]


@pytest.mark.parametrize(
    ("view", "options", "said"),
    [
        (VIEW, {}, "how many frames a second .*--fps 8"),
        (VIEW, {"fps": -1.0}, "--fps is a number above 0"),
        (View("rgb", RGB(), (24, 32)), {"fps": 8.0}, "for a network of clips alone"),
        (View("thermal", Clip(Thermal(unit="K", scale=0.01, range=(285.0, 310.0)), 4), (24, 32)), {}, "a network that takes colours"),
    ],
)
def test_what_cannot_be_streamed(view: View, options: Mapping[str, Any], said: str, run: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        asked(run, told_model(run, view, TASK, [0.2, 0.5, 0.3]), tmp_path / "a.csv", video="v.avi", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_clips_answers_as_the_network_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    branch = Branch(Frames(CNN(), 4), VIEW, Random())
    write_folder(branch, TASK, tmp_path / "edge", CardNotes("made up", clips={"fps": 8.0, "strip": None}))
    plan = json.loads((tmp_path / "edge" / "plan.json").read_text("utf-8"))
    assert plan["image"]["clip"] == {"frames": 4, "every": 1, "fps": 8.0, "strip": None}
    assert plan["input"]["dtype"] == "uint8"
    model = load_runner(tmp_path / "edge").Model()
    path = strip(tmp_path / "a.png", 4)
    images = read_sample(path, VIEW).views["rgb"][None].float()
    with torch.no_grad():
        expected = branch.eval().model((images - branch.mean) / branch.std).softmax(1)[0]
    assert [float(cell) for cell in model.lines("a", model.read(path))[0][2:5]] == pytest.approx(expected.tolist(), abs=2e-4)
