"""Which samples distillation changed, over seeds."""

from __future__ import annotations

import numpy as np

from xkd import compare
from xkd.engine.flips import flips


def run(predicted: list[int]) -> compare.TestRun:
    rows = np.array(list("abcd"))
    return compare.TestRun(rows, np.eye(3, dtype=np.float32)[predicted], np.array([0, 1, 2, 0]), rows)


def test_flips_are_counted_over_seeds() -> None:
    alone = [run([1, 1, 2, 0]), run([1, 0, 2, 0])]
    distilled = [run([0, 1, 0, 0]), run([0, 1, 2, 0])]
    found = flips(alone, distilled)
    assert found.gained == {"a": 2, "b": 1}
    assert found.lost == {"c": 1}


def test_a_row_of_pixels_is_right_where_all_that_count_are() -> None:
    target = np.array([[[0, 1], [1, -1]]])
    right, wrong = (np.moveaxis(np.eye(2, dtype=np.float32)[answer], -1, 1) for answer in ([[[0, 1], [1, 0]]], [[[0, 1], [0, 0]]]))
    name = np.array(["leaf"])
    assert flips([compare.TestRun(name, wrong, target, name)], [compare.TestRun(name, right, target, name)]).gained == {"leaf": 1}
