"""Polygons and run lengths, against areas that are known."""

from __future__ import annotations

import numpy as np
import pytest

from xkd.data.prepare.outlines import decompress, draw_segmentation

SHAPE = np.zeros((9, 12), bool)
SHAPE[2:7, 3:9] = True
SHAPE[4, 5] = False
SHAPE[0, 11] = True
COMPRESSED = "m05400MM0330000`0LD"  # SHAPE by pycocotools 2.0


def run_lengths(mask: np.ndarray) -> list[int]:
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, len(flat)]).tolist()
    return [0, *counts] if flat[0] else counts


def test_a_polygon_covers_the_pixels_whose_centres_it_holds() -> None:
    mask = draw_segmentation([[10, 10, 20, 10, 20, 20, 10, 20]], (40, 40))
    assert mask[10:20, 10:20].all()
    assert mask.sum() == 100
    triangle = draw_segmentation([[0, 0, 30, 0, 0, 30]], (40, 40))
    assert abs(int(triangle.sum()) - 450) <= 15  # the slanted edge runs through 30 centres


@pytest.mark.parametrize("seed", range(20))
def test_areas_are_those_of_the_shoelace_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    corners = np.stack([100 + 80 * np.cos(angles), 90 + 70 * np.sin(angles)], 1)
    x, y = corners.T
    area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    length = np.linalg.norm(corners - np.roll(corners, -1, 0), axis=1).sum()
    mask = draw_segmentation([corners.ravel().tolist()], (200, 220))
    assert abs(mask.sum() - area) < 0.1 * length  # a pixel of the rim errs by half at most, and either way
    rows, columns = np.nonzero(mask)
    assert columns.mean() + 0.5 == pytest.approx(_centre(corners)[0], abs=0.2)
    assert rows.mean() + 0.5 == pytest.approx(_centre(corners)[1], abs=0.2)


def _centre(corners: np.ndarray) -> np.ndarray:
    (x, y), (x2, y2) = corners.T, np.roll(corners, -1, 0).T
    cross = x * y2 - x2 * y
    return np.array([((x + x2) * cross).sum(), ((y + y2) * cross).sum()]) / (3 * cross.sum())


def test_parts_are_joined_and_what_lies_outside_is_cut() -> None:
    mask = draw_segmentation([[-5, -5, 3, -5, 3, 3, -5, 3], [6, 6, 20, 6, 20, 20, 6, 20]], (8, 10))
    expected = np.zeros((8, 10), bool)
    expected[:3, :3] = expected[6:, 6:] = True
    assert (mask == expected).all()


def test_run_lengths_plain_and_compressed() -> None:
    for counts in (run_lengths(SHAPE), COMPRESSED):
        assert (draw_segmentation({"size": [9, 12], "counts": counts}, (9, 12)) == SHAPE).all()
    assert decompress(COMPRESSED) == run_lengths(SHAPE)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "three corners or more"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three corners or more"),
        ({"size": [12, 9], "counts": COMPRESSED}, r"size \[12, 9\] in an image of \(height, width\) \(9, 12\)"),
        ({"size": [9, 12], "counts": [100]}, "do not add up to the image's 108 pixels"),
        ({"size": [9, 12], "counts": COMPRESSED[:6] + "P"}, "break off"),
        ({"size": [9, 12], "counts": "m0 4"}, "hold no ' '"),
    ],
)
def test_what_cannot_be_drawn_is_refused(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_segmentation(segmentation, (9, 12))
