"""leafsim is repeatable: the seed alone says what is simulated, whatever the workers, the difficulty and the other sensors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from leafsim_sets import bands, image, made, rows, run_alone


def test_same_seed_same_arrays_whatever_the_workers_and_the_number(root: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "again", run_alone, num_scenes=11, workers=2)
    for row, twin in zip(rows(root), rows(again), strict=False):
        assert row == twin
        for column in ("rgb", "thermal", "mask"):
            np.testing.assert_array_equal(image(root, row, column), image(again, twin, column))
        np.testing.assert_array_equal(bands(root, row), bands(again, twin))
        np.testing.assert_array_equal(np.load(root / row["lidar"]), np.load(again / twin["lidar"]))
    other = made(tmp_path / "other", num_scenes=11, seed=1)
    assert (image(root, rows(root)[0], "thermal") != image(other, rows(other)[0], "thermal")).any()


def test_difficulty_moves_no_lesion(root: Path, tmp_path: Path) -> None:
    easy = made(tmp_path / "easy", num_scenes=11, difficulty="easy")
    for row, twin in zip(rows(root)[:11], rows(easy), strict=True):
        np.testing.assert_array_equal(image(root, row, "mask"), image(easy, twin, "mask"))
        assert (image(root, row, "rgb") != image(easy, twin, "rgb")).any()


def test_a_sensor_does_not_depend_on_the_others(root: Path, tmp_path: Path) -> None:
    alone = made(tmp_path / "alone", num_scenes=11, sensors="lidar")
    assert sorted(path.name for path in alone.iterdir()) == ["calibration.json", "lidar", "manifest.csv", "manifest.toml", "mask"]
    for row, twin in zip(rows(root), rows(alone), strict=False):
        np.testing.assert_array_equal(np.load(root / row["lidar"]), np.load(alone / twin["lidar"]))


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


@pytest.mark.skipif((np.__version__, cv2.__version__) != ("2.4.6", "5.0.0"), reason="other versions may change single counts")
def test_colour_thermal_masks_and_manifest_are_those_of_version_2(tmp_path: Path) -> None:
    """Results measured before the further sensors came hold: the digests were taken then."""
    root = made(tmp_path / "first", num_scenes=11, sensors="thermal rgb")
    assert digest(*(image(root, row, "rgb").tobytes() for row in rows(root))) == "3d87a0d35281a19e"
    assert digest(*(image(root, row, "thermal").tobytes() for row in rows(root))) == "e52f9f5276a51381"
    assert digest(*(image(root, row, "mask").tobytes() for row in rows(root))) == "3232347632a244b2"
    assert digest((root / "manifest.csv").read_bytes()) == "dde5a61e5ac95685"
    assert digest((root / "manifest.toml").read_bytes()) == "e4cf1574537abd1c"
