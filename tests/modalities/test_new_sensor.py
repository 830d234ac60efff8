"""A sensor that nobody has heard of is one class and one line of `SENSORS`: here an event camera's counts, in `.npy` files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sensor_contract import CHECKS

from xkd.batch import View
from xkd.cli import run
from xkd.data.augment import Augment
from xkd.data.images import find_images, read_sample
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.geometry import Box, Matrix
from xkd.modalities import SENSORS
from xkd.modalities.counts import read_few
from xkd.modalities.raster import warp_seen
from xkd.modality import Clues, Likeness, Look, Settings, Shot
from xkd.packed import source


@dataclass(frozen=True)
class Events:
    """Brighter and darker events per pixel, (H, W, 2); where nothing was seen there were none."""

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    names: ClassVar[tuple[str, ...]] = ("event", "dvs")

    name: str = "events"
    range: tuple[float, float] = (0.0, 20.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    gain: float = 0.1
    channels: ClassVar[int] = 2
    unit: ClassVar[str] = "events"
    outside: ClassVar[tuple[float, ...]] = (0.0, 0.0)
    row_keys: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", self.mean or (1.0, 1.0))
        object.__setattr__(self, "std", self.std or (2.0, 2.0))

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        return ("range",)

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        return "if so called" if look.shape[2:] == (2,) else "no"

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        return (
            Clues()
            if "range" in table
            else Clues({"range": [0.0, max(read_few(shots, lambda shot: float(np.load(source(shot.only)).max())))]})
        )

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        np.save(folder / "events.npy", rng.poisson(2.0, (*size, 2)).astype(np.uint16))
        return {"range": [0.0, 20.0]}, Shot((folder / "events.npy",))

    def read(self, shot: Shot) -> NDArray[Any]:
        return np.load(source(shot.only)).astype(np.float32)

    def place(self, reading: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        return warp_seen(reading, matrix, size, crop)

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        return image * np.float32(1 + self.gain * rng.uniform(-1, 1))

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        grey = np.clip(image * (255 / self.range[1]), 0, 255).astype(np.uint8)
        return np.dstack([grey, np.zeros_like(grey[..., 0])])


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SENSORS, "events", Events)


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_it_is_under_contract(check: Callable[[str, Path], None], tmp_path: Path) -> None:
    check("events", tmp_path)


def test_its_recordings_become_a_data_set_that_is_checked_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for folder in ("photos", "dvs"):
        (tmp_path / folder).mkdir()
    for number in range(24):
        shape = np.full((48, 64), 60, np.uint8)
        cv2.circle(shape, tuple(rng.integers(15, 40, 2).tolist()), 12, 200, -1)
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), np.dstack([shape // (1 + channel) for channel in range(3)]))
        edges = np.abs(np.gradient(shape.astype(np.float32))).sum(0) / 20
        np.save(tmp_path / f"dvs/{number}.npy", np.dstack([edges, edges / 2]).astype(np.uint16))
    words = ["--sensor", f"rgb={tmp_path / 'photos'}", "--sensor", f"left={tmp_path / 'dvs'}", "--classes", "disc"]
    assert run("prepare-dataset", ["folders", *words, "--out", str(tmp_path / "made")]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "left is read as sensor 'events'" in output
    assert "left: found in its files: range = [0.0, 1" in output
    made = Manifest.load(tmp_path / "made").modalities["left"]
    assert isinstance(made, Events)
    assert 0 < min(made.mean) < max(made.mean) < 2, "most pixels hold no event"
    assert run("check-pairs", [str(tmp_path / "made"), "--out", str(tmp_path / "page")]) == 0, capsys.readouterr().out
    output = capsys.readouterr().out
    assert "exposure" not in output, "empty pixels are what an event camera shows of a still scene"
    assert "rgb and left: the edges lie 0." in output
    view = View("events", sensor(str(tmp_path / "made"), "left"), (32, 32))
    data = PairedDataset(str(tmp_path / "made"), "train", [View("rgb", sensor(str(tmp_path / "made"), "rgb"), (32, 32)), view], Augment())
    shifted = PairedDataset(str(tmp_path / "made"), "train", [view], Augment(shift=0.9, scale=(0.4, 0.5), jitter=0.0), seed=1)
    assert data[0, 1].views["events"].shape == (2, 32, 32)
    assert (shifted[0, 1].views["events"] == 0).float().mean() > 0.5
    assert not torch.isnan(shifted[0, 1].views["events"]).any()
    with (tmp_path / "made/manifest.csv").open(encoding="utf-8") as file:
        assert {Path(row["left"]).suffix for row in csv.DictReader(file)} == {".npy"}
    [path, *_] = find_images([str(tmp_path / "dvs")], view)
    assert read_sample(path, view).views["events"].shape == (2, 32, 32)
