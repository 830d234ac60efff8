"""What every sensor owes the rest: shape, channels, unit, range, a jitter that moves no pixel, a picture for people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.batch import Modality
from xkd.modalities import SENSORS, modality

TABLES: dict[str, dict[str, object]] = {
    "rgb": {"sensor": "rgb"},
    "thermal": {"sensor": "thermal", "unit": "K", "scale": 0.01, "range": [285.0, 310.0]},
}


def _write(path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    if kind == "thermal":
        cv2.imwrite(str(path), rng.integers(28500, 31000, (20, 30), dtype=np.uint16))
    else:
        cv2.imwrite(str(path), rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))


def test_every_sensor_is_under_contract() -> None:
    assert set(TABLES) == set(SENSORS)


@pytest.mark.parametrize("kind", sorted(SENSORS))
def test_contract(kind: str, tmp_path: Path) -> None:
    sensor = modality("eye", TABLES[kind])
    assert isinstance(sensor, Modality)
    assert sensor.name == "eye"
    assert len(sensor.mean) == len(sensor.std) == sensor.channels
    _write(tmp_path / "a.png", kind)
    image = sensor.read(tmp_path / "a.png")
    assert image.shape == (20, 30, sensor.channels)
    assert image.dtype in (np.uint8, np.float32)
    low, high = sensor.range
    assert low <= image.min() <= image.max() <= high
    shown = sensor.show(image)
    assert shown.shape == (20, 30, 3)
    assert shown.dtype == np.uint8


@pytest.mark.parametrize("kind", sorted(SENSORS))
def test_jitter_moves_no_pixel_and_is_a_function_of_its_generator(kind: str) -> None:
    sensor = modality("eye", TABLES[kind])
    low, high = sensor.range
    image = np.full((21, 21, sensor.channels), (low + high) / 2)
    image[8:13, 4:7] = high - (high - low) * 0.1
    image = image.astype(np.uint8 if kind == "rgb" else np.float32)
    kept = image.copy()
    for seed in range(20):
        changed = sensor.jitter(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert changed.dtype == image.dtype
        bright = changed.mean(2) > (changed[0, 0].mean() + changed[10, 5].mean()) / 2
        expected = np.zeros((21, 21), bool)
        expected[8:13, 4:7] = True
        assert np.array_equal(bright, expected)
        assert np.array_equal(changed, sensor.jitter(image, np.random.default_rng(seed)))
    assert np.array_equal(image, kept), "jitter must not write into its input"


def test_unknown_sensor_key_and_missing_key_name_the_legal_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown sensor 'sonar'; sensors are \['rgb', 'thermal'\]"):
        modality("x", {"sensor": "sonar"})
    with pytest.raises(ValueError, match=r"unknown key 'scael'; sensor 'thermal' takes \['unit', 'scale'"):
        modality("x", {"sensor": "thermal", "scael": 1.0})
    with pytest.raises(ValueError, match="sensor 'thermal' needs 'range'"):
        modality("x", {"sensor": "thermal", "unit": "K", "scale": 0.01})
    with pytest.raises(ValueError, match="scale must be a number"):
        modality("x", {"sensor": "thermal", "unit": "K", "scale": "0.01", "range": [0.0, 1.0]})
    with pytest.raises(ValueError, match="mean and std need three values"):
        modality("x", {"sensor": "rgb", "mean": [1.0]})
