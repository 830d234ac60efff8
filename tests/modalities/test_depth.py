"""Depth: millimetres to metres, zeros that are no depth, edges that keep their depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.geometry import IDENTITY, Box
from xkd.modalities import Depth
from xkd.modality import Shot


def _shot(folder: Path, image: np.ndarray, **values: float) -> Shot:
    cv2.imwrite(str(folder / "d.png"), image)
    return Shot((folder / "d.png",), values=values)


def test_millimetres_become_metres_and_what_lies_outside_the_limits_is_not_seen(tmp_path: Path) -> None:
    counts = np.array([[0, 200, 1500, 9999, 12000]], np.uint16)
    metres = Depth(limits=(0.5, 10.0)).read(_shot(tmp_path, counts))[0, :, 0]
    assert metres[2:4] == pytest.approx([1.5, 9.999])
    assert np.isnan(metres[[0, 1, 4]]).all()
    inverse = Depth(limits=(0.5, 10.0), inverse=True)
    assert inverse.read(_shot(tmp_path, counts))[0, 2, 0] == pytest.approx(1 / 1.5)
    assert (inverse.range, inverse.unit) == ((0.1, 2.0), "1/m")
    assert Depth().read(_shot(tmp_path, counts, scale=0.0002))[0, 3, 0] == pytest.approx(1.9998)


def test_an_edge_before_a_hole_keeps_its_depth(tmp_path: Path) -> None:
    counts = np.full((40, 60), 2000, np.uint16)
    counts[:, 25:40] = 0
    counts[:, 40:] = 6000
    sensor = Depth(limits=(0.5, 10.0))
    reading = sensor.read(_shot(tmp_path, counts))
    turn = np.deg2rad(20)
    matrix = np.eye(3)
    matrix[:2, :2] = 0.6 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix[:2, 2] = 0.5 - matrix[:2, :2] @ (0.5, 0.5)
    for how in (IDENTITY, matrix):
        placed = sensor.place(reading, how, (33, 47), Box(0, 0, 60, 40))
        assert np.isnan(placed).any()
        assert set(np.unique(placed[np.isfinite(placed)].round(4)).tolist()) == {2.0, 6.0}, "two depths, none between"


def test_noise_grows_with_the_square_of_depth() -> None:
    sensor = Depth(noise=0.01, dropout=0.0, limits=(0.3, 10.0))
    image = np.full((200, 200, 1), 1.0, np.float32)
    image[100:] = 4.0
    changed = sensor.jitter(image, np.random.default_rng(0)) - image
    assert changed[:100].std() == pytest.approx(0.01, rel=0.05)
    assert changed[100:].std() == pytest.approx(0.16, rel=0.05)
    lost = Depth(noise=0.0, dropout=0.5).jitter(image, np.random.default_rng(0))
    assert 0.05 < np.isnan(lost).mean() < 0.5


def test_what_is_no_depth_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"d\.png: a depth image has one channel of 16 bits or floats, this one is uint8"):
        Depth().read(_shot(tmp_path, np.zeros((4, 4), np.uint8)))
    with pytest.raises(ValueError, match=r"d\.png: no pixel lies within 0\.3 to 10\.0 metres; is scale = 0\.001 metres per count right"):
        Depth().read(_shot(tmp_path, np.full((4, 4), 60000, np.uint16)))
    with pytest.raises(ValueError, match="limits rise from above 0"):
        Depth(limits=(0.0, 10.0))
