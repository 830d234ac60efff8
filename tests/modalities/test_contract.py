"""What every sensor owes the rest: shape, channels, unit, range, a jitter that moves no pixel, a picture for people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.geometry import IDENTITY, Box
from xkd.modalities import SENSORS, modality
from xkd.modality import Modality, Shot, filled

TABLES: dict[str, dict[str, object]] = {
    "rgb": {"sensor": "rgb"},
    "thermal": {"sensor": "thermal", "unit": "K", "scale": 0.01, "range": [285.0, 310.0]},
    "multispectral": {"sensor": "multispectral", "bands": ["red", "nir"], "outputs": ["ndvi"]},
    "depth": {"sensor": "depth", "scale": 0.001, "limits": [0.5, 8.0]},
    "lidar": {"sensor": "lidar", "outputs": ["range", "valid"], "range": [0.0, 50.0], "project": "above", "area": [0, 4, -3, 3]},
}
SIZE = (20, 30)  # of every sensor's frame here: 4 m x 6 m at 0.2 m per pixel for the scanner


def _shot(folder: Path, kind: str) -> Shot:
    rng = np.random.default_rng(0)
    if kind == "thermal":
        cv2.imwrite(str(folder / "a.png"), rng.integers(28500, 31000, SIZE, dtype=np.uint16))
    elif kind == "depth":
        cv2.imwrite(str(folder / "a.png"), rng.integers(500, 8000, SIZE, dtype=np.uint16))
    elif kind == "multispectral":
        cv2.imwrite(str(folder / "a.png"), rng.integers(1, 256, SIZE, dtype=np.uint8))
        cv2.imwrite(str(folder / "b.png"), rng.integers(1, 256, SIZE, dtype=np.uint8))
        return Shot((folder / "a.png", folder / "b.png"))
    elif kind == "lidar":
        points = rng.uniform((0.1, -2.9, -1, 0), (3.9, 2.9, 1, 1), (5000, 4)).astype(np.float32)
        np.save(folder / "a.npy", points)
        return Shot((folder / "a.npy",))
    else:
        cv2.imwrite(str(folder / "a.png"), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    return Shot((folder / "a.png",))


def test_every_sensor_is_under_contract() -> None:
    assert set(TABLES) == set(SENSORS)


@pytest.mark.parametrize("kind", sorted(SENSORS))
def test_contract(kind: str, tmp_path: Path) -> None:
    sensor = modality("eye", TABLES[kind])
    assert isinstance(sensor, Modality)
    assert sensor.name == "eye"
    assert hash(sensor) == hash(modality("eye", TABLES[kind])), "a data set keeps what it read by sensor and shot"
    assert len(sensor.mean) == len(sensor.std) == sensor.channels
    reading = sensor.read(_shot(tmp_path, kind))
    assert tuple(reading.shape[:2]) == SIZE
    image = filled(sensor.place(reading, IDENTITY, SIZE, Box(0, 0, 30, 20)), sensor)
    assert image.shape == (*SIZE, sensor.channels)
    assert image.dtype in (np.uint8, np.float32)
    assert np.isfinite(image).all()
    low, high = sensor.range
    assert low <= image[..., 0].min() <= image[..., 0].max() <= high
    shown = sensor.show(image)
    assert shown.shape == (*SIZE, 3)
    assert shown.dtype == np.uint8


@pytest.mark.parametrize("kind", sorted(SENSORS))
def test_what_lies_outside_the_frame_is_the_mean(kind: str, tmp_path: Path) -> None:
    sensor = modality("eye", TABLES[kind])
    if kind == "lidar":
        return  # a bird's-eye view has no crop; tests/modalities/test_lidar.py looks at the camera's
    placed = filled(sensor.place(sensor.read(_shot(tmp_path, kind)), IDENTITY, SIZE, Box(30, 0, 60, 20)), sensor)
    expected = np.rint(sensor.mean) if placed.dtype == np.uint8 else np.array(sensor.mean, np.float32)
    assert (placed == expected).all()


@pytest.mark.parametrize("kind", sorted(SENSORS))
def test_jitter_moves_no_pixel_and_is_a_function_of_its_generator(kind: str) -> None:
    sensor = modality("eye", TABLES[kind])
    low, high = sensor.range
    image = np.full((21, 21, sensor.channels), low + (high - low) * 0.4)
    image[8:13, 4:7] = high - (high - low) * 0.1
    if kind == "lidar":
        image[..., 1] = 1.0
    image = image.astype(np.uint8 if kind == "rgb" else np.float32)
    kept = image.copy()
    changes = 0
    for seed in range(20):
        changed = sensor.jitter(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert changed.dtype == image.dtype
        seen = changed[..., -1] > 0 if kind == "lidar" else ~np.isnan(changed[..., -1])  # the others were dropped, which moves nothing
        level = changed[..., 0] if kind == "lidar" else changed.mean(2)
        base, block = np.median(level[seen]), np.median(level[8:13, 4:7][seen[8:13, 4:7]])
        expected = np.zeros((21, 21), bool)
        expected[8:13, 4:7] = True
        assert np.array_equal((level > (base + block) / 2)[seen], expected[seen])
        assert seen.mean() > 0.6
        assert np.array_equal(changed, sensor.jitter(image, np.random.default_rng(seed)), equal_nan=kind != "rgb")
        changes += not np.array_equal(changed, image)
    assert changes == 20, "a jitter that changes nothing"
    if kind != "rgb":
        image[3:5] = np.nan
        assert np.isnan(sensor.jitter(image, np.random.default_rng(0))[3:5, :, 0]).all(), "a reading out of nothing"
        image[3:5] = kept[3:5]
    assert np.array_equal(image, kept), "jitter must not write into its input"


def test_unknown_sensor_key_and_missing_key_name_the_legal_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown sensor 'sonar'; sensors are \['depth', 'lidar', 'multispectral', 'rgb', 'thermal'\]"):
        modality("x", {"sensor": "sonar"})
    with pytest.raises(ValueError, match=r"unknown key 'scael'; sensor 'thermal' takes \['unit', 'scale'"):
        modality("x", {"sensor": "thermal", "scael": 1.0})
    with pytest.raises(ValueError, match="sensor 'thermal' needs 'range'"):
        modality("x", {"sensor": "thermal", "unit": "K", "scale": 0.01})
    with pytest.raises(ValueError, match="mean and std need three values"):
        modality("x", {"sensor": "rgb", "mean": [1.0]})


@pytest.mark.parametrize(
    ("kind", "key", "value", "wanted"),
    [
        ("thermal", "scale", "0.01", "a number"),
        ("thermal", "scale", True, "a number"),
        ("thermal", "range", [0.0], "2 numbers"),
        ("thermal", "encoding", "absolute", r"one of \['fixed', 'percentile'\]"),
        ("rgb", "mean", ["a"], "numbers"),
        ("multispectral", "bands", "red", "texts"),
        ("multispectral", "shifts", [1.0, 2.0], "lists of 2 numbers"),
        ("depth", "inverse", 1, "true or false"),
        ("lidar", "densify", 1.5, "a whole number"),
    ],
)
def test_a_value_of_the_wrong_type_names_the_right_one(kind: str, key: str, value: object, wanted: str) -> None:
    with pytest.raises(ValueError, match=rf"\[modalities.eye\]: {key} must be {wanted}, got"):
        modality("eye", {**TABLES[kind], key: value})
