"""Photographs are decoded at a fraction of their size where a draw sees no more of them, and show the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.modalities import RGB, Thermal
from xkd.modality import Shot

HEIGHT, WIDTH = 303, 421  # of no use to a decoder that thinks in halves
MOVED = Augment(flip=0.5, rotate=8.0, scale=(0.8, 1.0), shift=0.05, jitter=0.0)
TOML = 'name = "big"\nclasses = ["a", "b"]\n[modalities.rgb]\nsensor = "rgb"\n'


TURNED = (304, 424)


def scene(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Smooth and without symmetry, so that half a pixel of displacement shows."""
    coarse = np.random.default_rng(0).uniform(0, 255, (3, 4, 3))
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "rgb").mkdir()
    (tmp_path / "manifest.toml").write_text(TOML, "utf-8")
    lines = ["id,split,group,rgb,label,crop"]
    for number, (suffix, orientation, crop) in enumerate([("jpg", 1, ""), ("jpg", 6, ""), ("jpg", 1, "11 7 390 280"), ("png", 1, "")]):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(scene() if orientation == 1 else scene(*TURNED)).save(tmp_path / f"rgb/{number}.{suffix}", quality=97, exif=exif)
        lines.append(f"{number},train,{number},rgb/{number}.{suffix},{'ab'[number % 2]},{crop}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


@pytest.fixture
def shrunk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """At which fraction each photograph was read."""
    fractions: list[int] = []
    read = RGB.read

    def spy(camera: RGB, shot: Any) -> Any:
        fractions.append(shot.shrink)
        return read(camera, shot)

    monkeypatch.setattr(RGB, "read", spy)
    return fractions


def dataset(root: Path, sizes: Sequence[tuple[int, int]] = ((48, 64),), **options: Any) -> PairedDataset:
    camera = sensor(str(root), "rgb")
    return PairedDataset(str(root), "train", [View(f"rgb{size}", camera, size) for size in sizes], options.pop("augment", MOVED), **options)


def difference(one: Tensor, other: Tensor) -> float:
    """The mean of the smaller four fifths: beside the image's edge a pixel of a smaller one reaches further into the fill."""
    differences = (one - other).abs().flatten().sort().values
    return float(differences[: len(differences) * 4 // 5].mean())


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_shrunk_photograph_shows_what_the_whole_one_shows(row: int, root: Path, shrunk: list[int]) -> None:
    small, whole = dataset(root), dataset(root, cache=True)
    for draw in range(8):
        one, other = (of[row, draw].views["rgb(48, 64)"].float() for of in (small, whole))
        assert difference(one, other) < 0.2 * difference(torch.roll(other, 1, 2), other)
    assert 4 in shrunk


def test_as_small_as_the_view_that_asks_most_allows(root: Path, shrunk: list[int]) -> None:
    still = Augment(flip=0.5, jitter=0.0)
    for sizes, fractions in {((30, 42),): [8], ((30, 42), (60, 84)): [4], ((30, 42), (303, 421)): [1], ((151, 210),): [2]}.items():
        dataset(root, sizes, augment=still)[0, 0]
        assert shrunk == fractions
        shrunk.clear()


def test_what_is_read_whole(root: Path, shrunk: list[int]) -> None:
    dataset(root)[0]  # evaluation, as xkd predict
    dataset(root)[3, 0]  # a PNG has no smaller self
    dataset(root, cache=True)[0, 0]  # kept for every draw
    assert shrunk == [1, 1, 1]
    assert RGB(white=4095.0).frame(shot(root / "rgb/0.jpg")) is None
    assert not hasattr(Thermal(), "frame"), "its checks are of counts, not of their means"


def shot(path: Path) -> Shot:
    return Shot((path,))


def test_the_frame_is_that_of_the_turned_photograph(root: Path) -> None:
    assert RGB().frame(shot(root / "rgb/0.jpg")) == (HEIGHT, WIDTH)
    assert RGB().frame(shot(root / "rgb/1.jpg")) == TURNED[::-1]
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(scene()).save(root / "rgb/1.jpg", exif=exif)
    assert RGB().frame(shot(root / "rgb/1.jpg")) is None, "shrunk, it would be displaced"
    assert RGB().frame(shot(root / "rgb/3.png")) is None


def test_a_photograph_that_is_cut_off_is_named_all_the_same(root: Path) -> None:
    path = root / "rgb/0.jpg"
    data = path.read_bytes()
    for left in (data[: len(data) // 2], data[:20], b""):
        path.write_bytes(left)
        with pytest.raises(ValueError, match=r"row '0': .*rgb/0.jpg"):
            dataset(root)[0, 0]
