"""One draw for all: a marker lands on the same relative spot in every view, in the mask and in its box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xkd.data.augment import Augment, draw_boxes, warp_boxes
from xkd.geometry import IDENTITY, Box
from xkd.modalities.raster import warp

WILD = Augment(flip=0.5, vertical_flip=0.5, rotate=30, scale=(0.7, 1.2), shift=0.1)


def _disc(height: int, width: int, x: float, y: float, radius: float) -> NDArray[np.float32]:
    """A soft disc of relative centre (x, y) and radius, drawn from the definition of a pixel's centre."""
    across = (np.arange(width) + 0.5) / width - x
    down = (np.arange(height) + 0.5) / height - y
    return np.exp(-((across[None] ** 2 + down[:, None] ** 2) / radius**2)).astype(np.float32)[..., None]


def _centre(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centre of mass in relative coordinates."""
    height, width = image.shape[:2]
    weight = image[..., 0] / image.sum()
    return np.array([weight.sum(0) @ (np.arange(width) + 0.5) / width, weight.sum(1) @ (np.arange(height) + 0.5) / height])


def _worst_distance(shift: float) -> float:
    """Largest distance, in pixels of the 64-pixel view, between a marker's places in two views of different sources and sizes."""
    rng, worst = np.random.default_rng(0), 0.0
    sharp, coarse = _disc(96, 96, 0.55 + shift / 96, 0.45, 0.08), _disc(60, 60, 0.55, 0.45, 0.08)
    for _ in range(200):
        matrix = WILD.geometry(rng)
        one = warp(sharp, matrix, (64, 64), Box(0, 0, 96, 96))
        other = warp(coarse, matrix, (24, 24), Box(0, 0, 60, 60))
        worst = max(worst, float(np.linalg.norm(_centre(one) - _centre(other)) * 64))
    return worst


def test_views_of_any_size_agree_to_a_fraction_of_a_pixel() -> None:
    assert _worst_distance(shift=0) < 0.3


def test_the_check_sees_two_pixels_of_misalignment() -> None:
    assert _worst_distance(shift=2) > 1


def test_marker_lands_where_the_matrix_says() -> None:
    rng = np.random.default_rng(1)
    for size, source in (((64, 64), 96), ((32, 32), 256), ((96, 96), 40)):
        image = _disc(source, source, 0.5, 0.55, 0.06)
        for _ in range(50):
            matrix = WILD.geometry(rng)
            expected = (np.linalg.inv(matrix) @ [0.5, 0.55, 1])[:2]
            place = _centre(warp(image, matrix, size, Box(0, 0, source, source)))
            assert np.abs(place - expected).max() * size[0] < 0.3


def test_crops_and_flips_keep_to_pixel_centres() -> None:
    image = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    mirror = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    assert np.array_equal(warp(image, mirror, (40, 60), Box(0, 0, 60, 40)), image[:, ::-1])
    part = warp(image, np.eye(3), (20, 30), Box(7, 5, 37, 25))
    assert np.array_equal(part, image[5:25, 7:37])


@pytest.mark.parametrize(
    ("size", "interpolation"), [((24, 36), cv2.INTER_LINEAR), ((10, 15), cv2.INTER_AREA), ((80, 90), cv2.INTER_LINEAR)]
)
def test_identity_is_a_resize_of_the_crop(size: tuple[int, int], interpolation: int) -> None:
    image = np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    expected = cv2.resize(image[4:40, 6:60], size[::-1], interpolation=interpolation)
    assert np.array_equal(warp(image, IDENTITY, size, Box(6, 4, 60, 40)), expected)


def test_identity_and_the_general_path_agree() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(4).integers(0, 256, (90, 120, 3), dtype=np.uint8), (0, 0), 3)
    for size in ((64, 64), (100, 130), (20, 30)):
        crop = Box(10, 8, 106, 80)
        difference = warp(image, IDENTITY, size, crop).astype(int) - warp(image, np.eye(3), size, crop)
        assert np.abs(difference).max() <= 4


def test_reducing_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 1), np.float32)
    stripes[:, ::2] = 1.0  # the finest pattern: grey at a third of the size
    turned = Augment(flip=0, rotate=15, scale=(0.6, 0.6)).geometry(np.random.default_rng(0))
    grey = warp(stripes, turned, (50, 50), Box(0, 0, 256, 256))
    assert np.abs(grey - 0.5).max() < 0.2
    assert np.abs(cv2.resize(stripes, (50, 50)) - 0.5).max() > 0.3, "plain bilinear sampling would have failed"


def test_outside_is_filled_with_the_mean() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    fill = (10.6, 20.0, 30.0)
    beyond = warp(image, IDENTITY, (30, 30), Box(-10, 0, 20, 30), fill)
    assert beyond[5, 2].tolist() == [11, 20, 30]
    assert beyond[5, 15].tolist() == [200, 200, 200]
    assert warp(image, IDENTITY, (4, 4), Box(30, 30, 34, 34), fill)[0, 0].tolist() == [11, 20, 30]
    assert warp(image, np.eye(3), (4, 4), Box(30.5, 30, 34.5, 34), fill)[0, 0].tolist() == [11, 20, 30]


def test_magnifying_does_not_darken_the_edge() -> None:
    image = np.full((8, 8, 1), 100.0, np.float32)
    assert warp(image, np.eye(3), (64, 64), Box(0, 0, 8, 8)).min() == 100


def test_boxes_follow_the_mask() -> None:
    rng, box, crop = np.random.default_rng(5), np.array([[40.0, 30.0, 70.0, 56.0]]), Box(8, 4, 104, 92)
    mask = np.zeros((100, 120, 1), np.float32)
    mask[30:56, 40:70] = 1
    for _ in range(100):
        matrix = WILD.geometry(rng, aspect=96 / 88)
        seen = warp(mask, matrix, (64, 64), crop)
        drawn = draw_boxes(box, matrix, crop, (64, 64))
        assert np.abs(seen - drawn).mean() < 0.01
        assert abs(seen.sum() - drawn.sum()) < 0.01 * seen.sum() + 1
        rows, columns = np.nonzero(seen[..., 0] > 0.5)
        edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 64
        assert np.abs(warp_boxes(box, matrix, crop)[0] - edges).max() * 64 < 1.5


def test_scores_shade_the_boxes_and_the_highest_wins() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 20, 10], [5, 15, 10, 20]])
    drawn = draw_boxes(boxes, IDENTITY, Box(0, 0, 20, 20), (20, 20), (0.8, 0.4, 0.0))[..., 0]
    assert drawn[5, [2, 7, 15]].tolist() == pytest.approx([0.8, 0.8, 0.4], abs=0.01)
    assert not drawn[12:].any()
    plain = draw_boxes(boxes, IDENTITY, Box(0, 0, 20, 20), (20, 20))[..., 0]
    assert plain[5, [2, 7, 15]].tolist() == [1, 1, 1]


def test_boxes_outside_are_left_out_and_others_clipped() -> None:
    boxes = np.array([[-10.0, 0, 5, 10], [50, 50, 60, 60]])
    assert warp_boxes(boxes, IDENTITY, Box(0, 0, 20, 20)).tolist() == [[0, 0, 0.25, 0.5]]
    assert warp_boxes(boxes[:0], IDENTITY, Box(0, 0, 20, 20)).shape == (0, 4)


def test_a_rotation_does_not_shear_a_crop_that_is_not_square() -> None:
    linear = Augment(flip=0, rotate=30).geometry(np.random.default_rng(8), aspect=2.0)[:2, :2]
    in_pixels = np.diag([2.0, 1.0]) @ linear @ np.diag([0.5, 1.0])
    assert in_pixels @ in_pixels.T == pytest.approx(np.eye(2))
    assert abs(in_pixels[0, 1]) > 0.1


def test_settings_draw_from_the_same_stream() -> None:
    alone = Augment(flip=0, shift=0.1).geometry(np.random.default_rng(6))
    turned = Augment(flip=0, rotate=10, shift=0.1).geometry(np.random.default_rng(6))
    assert alone @ [0.5, 0.5, 1] == pytest.approx(turned @ [0.5, 0.5, 1])


@pytest.mark.parametrize("wrong", [{"flip": 1.5}, {"scale": (0.0, 1.0)}, {"scale": (1.2, 1.0)}, {"rotate": -1.0}])
def test_wrong_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augment(**wrong)
