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
    assert 2 in shrunk


def test_each_view_is_read_as_small_as_it_allows_and_changes_no_other(root: Path, shrunk: list[int]) -> None:
    still = Augment(flip=0.5, jitter=0.0)
    alone = dataset(root, ((15, 21),), augment=still)[0, 0].views["rgb(15, 21)"]
    assert shrunk == [8]
    for sizes, fractions in {((30, 42),): [4], ((15, 21), (30, 42)): [8, 4], ((15, 21), (303, 421)): [8, 1], ((75, 105),): [2]}.items():
        shrunk.clear()
        views = dataset(root, sizes, augment=still)[0, 0].views
        assert shrunk == fractions
        assert torch.equal(views.get("rgb(15, 21)", alone), alone)


def test_fine_detail_is_averaged_away_as_in_evaluation(root: Path) -> None:
    """Stripes that are narrower than a pixel of the output: left with less than two pixels for each, a draw would alias them."""
    stripes = np.repeat(127 + 120 * np.sin(np.arange(880) * 2 * np.pi / 5.2)[None, :, None], 880, 0).repeat(3, 2).astype(np.uint8)
    Image.fromarray(stripes).save(root / "rgb/0.jpg", quality=97)
    made = dataset(root, ((160, 160),), augment=Augment(flip=0.0, jitter=0.0))
    drawn, evaluated = (made[key].views["rgb(160, 160)"].float() for key in ((0, 0), 0))
    assert drawn.std() < 1.5 * evaluated.std()


def test_an_orientation_that_the_decoder_does_not_know_is_not_believed(root: Path) -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description tiff:Orientation="6" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"/></rdf:RDF></x:xmpmeta>'
    )
    Image.fromarray(scene()).save(root / "rgb/0.jpg", xmp=xmp)
    assert RGB().frame(shot(root / "rgb/0.jpg")) == (HEIGHT, WIDTH)


def test_a_header_that_lies_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RGB, "frame", lambda *_: (WIDTH, HEIGHT))
    with pytest.raises(ValueError, match=r"row '0': .*rgb/0.jpg: its header says \(421, 303\), which is .* it was decoded as"):
        dataset(root)[0, 0]


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
