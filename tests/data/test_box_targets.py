from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from xkd.data.augment import Augment
from xkd.data.boxes import Boxes, box_target, check_boxes, no_boxes, room_of
from xkd.data.rows import ANY, Row
from xkd.geometry import IDENTITY, Box, Matrix
from xkd.losses import boxes as losses
from xkd.statistics import average_precision

CLASSES = ("person", "car")
FRAME = Box(0, 0, 100, 50)


def row(*boxes: tuple[Box, str], ignored: tuple[Box, ...] = ()) -> Row:
    return Row("a", "train", "a", {}, "", {}, (), "", None, boxes, (), {}, ignored)


def target(of: Row, matrix: Matrix = IDENTITY, rules: Boxes | None = None, crop: Box = FRAME, room: int = 4) -> list[list[float]]:
    """Without its padding."""
    made = box_target(of, CLASSES, matrix, crop, (50, 100), rules or Boxes(), room)
    assert made.shape == (room, 5)
    assert made.dtype == torch.float32
    return [[round(value, 5) for value in line] for line in made.tolist() if line[4] != -1]


def test_boxes_are_shares_of_the_view_with_their_classes() -> None:
    of = row((Box(10, 10, 30, 20), "car"), (Box(50, 0, 100, 50), "person"))
    assert target(of) == [[0.1, 0.2, 0.3, 0.4, 1], [0.5, 0.0, 1.0, 1.0, 0]]
    assert target(of, crop=Box(0, 0, 50, 25)) == [[0.2, 0.4, 0.6, 0.8, 1]]
    assert torch.equal(box_target(row(), CLASSES, IDENTITY, FRAME, (50, 100), Boxes(), 2), no_boxes(2))
    assert no_boxes(2)[:, 4].tolist() == [-1, -1]


def test_a_flip_moves_them() -> None:
    flipped = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    assert target(row((Box(10, 10, 30, 20), "car")), flipped) == [[0.7, 0.2, 0.9, 0.4, 1]]


def test_a_box_of_which_less_than_the_stated_share_is_in_view_becomes_a_region_to_ignore() -> None:
    shifted = np.array([[1.0, 0, 0.2], [0, 1, 0], [0, 0, 1]])  # the view begins at 20 pixels
    of = row((Box(10, 10, 30, 20), "car"))
    assert target(of, shifted, Boxes(visible=0.49)) == [[0.0, 0.2, 0.1, 0.4, 1]]
    assert target(of, shifted, Boxes(visible=0.51)) == [[0.0, 0.2, 0.1, 0.4, -2]]
    assert target(row((Box(0, 10, 20, 20), "car")), shifted) == [], "what is wholly outside is nowhere"


def test_a_small_box_is_a_region_to_ignore_a_bit_larger_than_it_is() -> None:
    of = row((Box(10, 10, 13, 20), "car"))
    assert target(of, rules=Boxes(smallest=3)) == [[0.1, 0.2, 0.13, 0.4, 1]]
    assert target(of, rules=Boxes(smallest=4)) == [[0.06, 0.12, 0.17, 0.48, -2]]


def test_what_has_no_class_and_what_is_to_ignore_are_regions() -> None:
    of = row((Box(10, 10, 30, 20), ANY), (Box(0, 0, 20, 20), "person"), ignored=(Box(50, 10, 70, 30),))
    assert [line[4] for line in target(of)] == [-2, 0, -2]


def test_there_is_room_for_the_row_with_most_boxes() -> None:
    assert room_of([row(), row((Box(0, 0, 9, 9), "car"), ignored=(Box(0, 0, 9, 9),))]) == 2
    assert room_of([row()]) == 1


def test_boxes_follow_the_pixels_under_any_draw_without_a_rotation() -> None:
    augment = Augment(flip=0.5, vertical_flip=0.5, scale=(0.6, 1.2), shift=0.1)
    box = Box(40, 20, 60, 30)
    for seed in range(20):
        matrix = augment.geometry(np.random.default_rng(seed), 2.0)
        [placed] = target(row((box, "car")), matrix, Boxes(0, 0)) or [None]
        if placed is None:
            continue
        x1, y1, x2, y2 = placed[:4]
        # the middle of what is in view comes from within the box
        u, v, _ = matrix @ ((x1 + x2) / 2, (y1 + y2) / 2, 1)
        assert box.x1 - 1e-3 <= 100 * u <= box.x2 + 1e-3
        assert box.y1 - 1e-3 <= 50 * v <= box.y2 + 1e-3
        if min(x1, y1) > 0 and max(x2, y2) < 1:
            assert math.isclose((x2 - x1) / (y2 - y1), 0.2 / 0.2, rel_tol=1e-3)


def test_all_rooms_call_a_region_to_ignore_by_one_number() -> None:
    assert losses.IGNORED == average_precision.IGNORED == -2


@pytest.mark.parametrize("box", [Box(120, 10, 130, 20), Box(-11, 10, 9, 20), Box(10, 46, 20, 55), Box(90, 10, 111, 20)])
def test_a_box_outside_its_image_is_named_with_its_file_and_row(box: Box) -> None:
    with pytest.raises(ValueError, match=r"manifest.csv: row 'a': box .* lies outside its image of 100x50"):
        check_boxes(Path("manifest.csv"), row((box, "car")), (50, 100))
    with pytest.raises(ValueError, match="row 'a'"):
        check_boxes(Path("manifest.csv"), row(ignored=(box,)), (50, 100))
    check_boxes(Path("manifest.csv"), row((Box(-9, 10, 11, 20), "car"), (Box(0, 0, 100, 50), "car")), (50, 100))


@pytest.mark.parametrize("arguments", [{"visible": 1.1}, {"smallest": -1.0}])
def test_impossible_rules_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="visible is a share"):
        Boxes(**arguments)
