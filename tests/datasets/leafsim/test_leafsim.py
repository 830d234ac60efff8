"""leafsim: the simulated set is well formed, and its manifest says what is in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from leafsim_sets import NUM_SCENES, image, kelvin, ndvi, rows

from xkd.data.manifest import Manifest


def test_manifest_describes_every_file(root: Path) -> None:
    meta, table = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8")), rows(root)
    assert meta["classes"] == ["healthy", "rust", "blight", "mildew"]
    assert meta["labels"] == "single"
    assert meta["mask"] == {"values": {"background": 0, "leaf": 1, "lesion": 2}, "positive": ["lesion"]}
    assert len({row["id"] for row in table}) == len({row["group"] for row in table}) == NUM_SCENES
    assert [sum(row["split"] == split for row in table) for split in ("train", "val", "test")] == [32, 4, 8]
    for split in ("train", "val", "test"):
        labels = [row["label"] for row in table if row["split"] == split]
        assert len({labels.count(name) for name in meta["classes"]}) == 1, f"{split} is not balanced"
    formats = {"rgb": ("uint8", (96, 96, 3)), "mask": ("uint8", (96, 96))} | dict.fromkeys(("thermal", "red", "nir"), ("uint16", (96, 96)))
    for row in table:
        files = row | dict(zip(("red", "nir"), row["ndvi"].split(";"), strict=True))
        for column, (dtype, shape) in formats.items():
            array = image(root, files, column)
            assert (str(array.dtype), array.shape) == (dtype, shape)
        points = np.load(root / row["lidar"])
        assert (str(points.dtype), points.shape[1]) == ("float32", 4)
        assert row["calibration"] == "calibration.json"
    assert sum(1 for _ in root.rglob("*.png")) == 5 * NUM_SCENES
    assert sum(1 for _ in root.rglob("*.npy")) == NUM_SCENES
    assert len(Manifest.load(root).rows) == NUM_SCENES


def test_statistics_are_those_of_the_train_split(root: Path) -> None:
    modalities = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]
    train = [row for row in rows(root) if row["split"] == "train"]
    rgb = np.stack([image(root, row, "rgb")[..., ::-1] for row in train]).reshape(-1, 3)  # OpenCV reads BGR
    thermal = np.stack([kelvin(root, row) for row in train])
    np.testing.assert_allclose(modalities["rgb"]["mean"], rgb.mean(0), atol=1e-3)
    np.testing.assert_allclose(modalities["rgb"]["std"], rgb.std(0), atol=1e-3)
    np.testing.assert_allclose(modalities["thermal"]["mean"], [thermal.mean()], atol=1e-3)
    np.testing.assert_allclose(modalities["thermal"]["std"], [thermal.std()], atol=1e-3)
    index = np.stack([ndvi(root, row) for row in train])
    np.testing.assert_allclose(modalities["ndvi"]["mean"], [index.mean()], atol=1e-3)
    np.testing.assert_allclose(modalities["ndvi"]["std"], [index.std()], atol=1e-3)
    points = np.concatenate([np.load(root / row["lidar"]) for row in train])
    channels = np.stack([np.linalg.norm(points[:, :3], axis=1), points[:, 3]])
    np.testing.assert_allclose(modalities["lidar"]["mean"], [*channels.mean(1), 0.5], atol=1e-3)
    np.testing.assert_allclose(modalities["lidar"]["std"], [*channels.std(1), 0.5], atol=1e-3)
    assert modalities["rgb"]["mean"][1] > modalities["rgb"]["mean"][2], "leaves are green: red, green, blue in this order"


def test_masks_boxes_and_labels_agree(root: Path) -> None:
    for row in rows(root):
        mask = image(root, row, "mask")
        assert set(np.unique(mask)) <= {0, 1, 2}
        assert (mask == 1).sum() > 800
        boxes = [box.split() for box in row["boxes"].split(";") if box != "-"]
        assert bool(boxes) == bool((mask == 2).any()) == (row["label"] != "healthy")
        covered = np.zeros_like(mask, dtype=bool)
        for x1, y1, x2, y2, name in boxes:
            assert name == row["label"]
            inside = mask[int(y1) : int(y2), int(x1) : int(x2)] == 2
            assert inside.any(0).all() or inside.any(1).all(), "a box is larger than its lesion"
            covered[int(y1) : int(y2), int(x1) : int(x2)] = True
        assert covered[mask == 2].all()


def test_temperatures_stay_within_the_stated_range(root: Path) -> None:
    low, high = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]["thermal"]["range"]
    for row in rows(root):
        temperature = kelvin(root, row)
        assert low <= temperature.min() <= temperature.max() <= high, row["id"]
