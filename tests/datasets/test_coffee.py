"""The coffee leaf converter: leaves, lesion masks and boxes agree, nothing half-written."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.geometry import Box

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "datasets/coffee_leaf_lesions/prepare.py"
SHARED = Path(os.environ.get("XKD_SHARED", ROOT.parent / "shared")) / "data/coffee_leaf_lesions"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_coffee", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three made-up leaves in the layout that README.md describes: healthy, rust with one lesion, one of several stresses."""
    folder = tmp_path / "source"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for leaf in ("1", "2", "3"):
        mask = np.zeros((32, 64), np.uint8)
        mask[4:28, 8:56] = 1
        if leaf == "2":
            mask[10:18, 20:30] = 2
        cv2.imwrite(str(folder / f"masks/{leaf}.png"), mask)
        cv2.imwrite(str(folder / f"images/{leaf}.jpg"), _noise((10, 100, 200)))
    labels = "1,healthy,train,0\n2,rust,train,2\n3,other_or_multiple,test,1\n"
    (folder / "labels.csv").write_text("id,label,split,severity\n" + labels)
    (folder / "boxes.csv").write_text("id,x,y,w,h,area\n2,20,10,10,8,80\n")
    return folder


def _noise(colour: tuple[int, int, int]) -> np.ndarray:
    return np.clip(np.random.default_rng(0).normal(colour, 5, (32, 64, 3)), 0, 255).astype(np.uint8)


def test_made_up_leaves(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out) == {"other_or_multiple": 1}
    manifest = Manifest.load(out)
    healthy, rust = manifest.rows
    assert (healthy.boxes, rust.boxes) == ((), ((Box(20, 10, 30, 18), "rust"),))
    assert rust.meta["severity"] == "2"
    assert manifest.modalities["rgb"].mean == pytest.approx((200, 100, 10), abs=2)
    view = View("rgb", sensor(str(out), "rgb"), (32, 64))
    sample = PairedDataset(str(out), "train", [view], Augment())[1]
    assert sample.mask.sum() == 80
    drawn = PairedDataset(str(out), "train", [view], Augment(), masks=Masks("boxes"))[1]
    assert (drawn.mask - sample.mask).abs().max() == 0


def test_nothing_is_half_written(script: ModuleType, source: Path, tmp_path: Path) -> None:
    (source / "masks/2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2\.png"):
        script.prepare(source, tmp_path / "made/out")
    assert list((tmp_path / "made").iterdir()) == []
    with pytest.raises(FileNotFoundError, match="lacks"):
        script.prepare(tmp_path, tmp_path / "made/out")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the coffee leaf photographs are not on this machine (XKD_SHARED)")
def test_real_leaves(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(SHARED, out) == {"other_or_multiple": 10}
    view = View("rgb", sensor(str(out), "rgb"), (256, 512))
    dataset = PairedDataset(str(out), "test", [view], Augment())
    assert np.bincount(dataset.targets).tolist() == [25, 29, 30, 30, 8]
    for index in range(0, len(dataset), 10):
        sample = dataset[index]
        assert sample.masked
        assert bool(sample.mask.any()) == (dataset.targets[index] > 0)
        inside = np.zeros((256, 512), bool)
        for x1, y1, x2, y2 in (sample.boxes.numpy() * (512, 256, 512, 256)).round().astype(int):
            inside[y1:y2, x1:x2] = True
        lesion = sample.mask[0].numpy() > 0
        assert lesion[~inside].sum() <= 0.02 * max(lesion.sum(), 1) + 60, "regions below 9 pixels have no box"
