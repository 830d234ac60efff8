"""leafsim's lesions have the sign that its README.md states, in heat, in vegetation index and in height."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from leafsim_sets import bands, image, kelvin, ndvi, rows
from numpy.typing import NDArray

from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.geometry import IDENTITY, Box
from xkd.modalities import LiDAR
from xkd.modalities.calibration import read_calibration, write_calibration
from xkd.modality import Shot, filled

WARMER = {"rust": -1, "blight": 1, "mildew": -1}  # sign of lesion minus healthy tissue, as README.md says


def test_lesions_are_warmer_or_cooler_as_documented(root: Path) -> None:
    for row in rows(root):
        temperature, mask = kelvin(root, row), image(root, row, "mask")
        if row["label"] == "healthy":
            assert temperature[mask == 1].std() < 0.8
            continue
        contrast = temperature[mask == 2].mean() - np.median(temperature[mask == 1])
        assert 0.5 < WARMER[row["label"]] * contrast < 5, (row["id"], row["label"], contrast)


def test_ndvi_falls_in_lesions_and_is_that_of_leaf_and_soil(root: Path) -> None:
    for row in rows(root):
        index, mask, (red, near) = ndvi(root, row), image(root, row, "mask"), bands(root, row)
        leaf = np.median(index[mask == 1])
        assert 0.55 < leaf < 0.85, row["id"]
        assert 0.08 < np.median(index[mask == 0]) < leaf - 0.05, row["id"]
        assert 0.02 < np.percentile(red[mask == 1], 20) < 0.08, "shaded or sunlit"
        assert 0.1 < np.median(near[mask == 1]) < 0.6, "shaded or sunlit"
        if row["label"] != "healthy":
            assert 0.1 < leaf - index[mask == 2].mean() < 0.7, (row["id"], row["label"])


def placed(root: Path, row: Row, calibration: Path) -> NDArray[np.float32]:
    """(96, 96, 3) range, intensity and valid, as training sees them but without filled gaps."""
    table = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]["lidar"]
    sensor = LiDAR(outputs=("range", "intensity", "valid"), range=tuple(table["range"]))
    reading = sensor.read(Shot((root / row.files["lidar"][0],), calibration))
    assert 2000 < len(reading.depth) < 4000
    return np.asarray(filled(sensor.place(reading, IDENTITY, (96, 96), Box(0, 0, 96, 96)), sensor))


def before_ground(seen: NDArray[np.float32], mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns from the leaf, and not from the ground that the scanner sees past its edge."""
    return np.asarray(seen[..., 2] * (np.median(seen[mask == 0, 0]) - seen[..., 0]) > 0.008)


def agreement(root: Path, calibration: Path) -> tuple[float, float]:
    """Correlations over all scenes: of range with being ground, of intensity with being lesion on the leaf."""
    ground, lesion = [], []
    for row in Manifest.load(root).rows:
        seen, mask = placed(root, row, calibration), image(root, {"mask": row.mask}, "mask")
        there = seen[..., 2] > 0
        ground.append(np.stack([seen[there, 0] - np.median(seen[there, 0]), mask[there] == 0]))
        on_leaf = before_ground(seen, mask) & (mask > 0)
        if row.labels == ("blight",):
            lesion.append(np.stack([seen[on_leaf, 1], mask[on_leaf] == 2]))
    return float(np.corrcoef(np.concatenate(ground, 1))[0, 1]), float(np.corrcoef(np.concatenate(lesion, 1))[0, 1])


def test_projected_points_land_on_leaf_and_lesion(root: Path, tmp_path: Path) -> None:
    silhouette, brightness = agreement(root, root / "calibration.json")
    assert silhouette > 0.85
    assert brightness < -0.75
    for axis, pixels in ((0, 2), (0, -2), (1, 2), (1, -2)):
        camera = read_calibration(root / "calibration.json", "")
        camera.projection[axis, 2] += pixels  # a rig that was knocked
        write_calibration(tmp_path / "moved.json", camera)
        moved = agreement(root, tmp_path / "moved.json")
        assert moved[0] < silhouette - 0.015, (axis, pixels)
        assert moved[1] > brightness + 0.015, (axis, pixels)


def test_lesions_swell_or_sink_by_millimetres(root: Path) -> None:
    """Against a smooth surface through the rest of the leaf, in all scenes of a class together."""
    above: dict[str, list[NDArray[np.float64]]] = {}
    for row in Manifest.load(root).rows:
        seen, mask = placed(root, row, root / "calibration.json"), image(root, {"mask": row.mask}, "mask")
        nearer = before_ground(seen, mask)
        y, x = np.mgrid[-1:1:96j, -1:1:96j]
        terms = np.stack([x**i * y**j for i in range(5) for j in range(5 - i)], -1)
        rest, lesion = nearer & (mask == 1), nearer & (mask == 2)
        surface = terms @ np.linalg.lstsq(terms[rest], seen[rest, 0], rcond=None)[0]
        assert row.labels is not None
        above.setdefault(row.labels[0], []).append(1e3 * (surface - seen[..., 0])[lesion])
    for label, (low, high) in {"rust": (0.1, 1.5), "blight": (-4.0, -0.5), "mildew": (0.3, 2.5)}.items():
        assert low < np.concatenate(above[label]).mean() < high, label
