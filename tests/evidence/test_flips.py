"""Which samples distillation changed, over seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xkd import statistics
from xkd.evidence.arm import ArmRun
from xkd.evidence.flips import flips
from xkd.evidence.page.flips import changes
from xkd.tasks import Classification, Segmentation

TASK = Segmentation(("soil", "plant"))


def run(predicted: list[int]) -> statistics.TestRun:
    rows = np.array(list("abcd"))
    return statistics.TestRun(rows, np.eye(3, dtype=np.float32)[predicted], np.array([0, 1, 2, 0]), rows)


def test_flips_are_counted_over_seeds() -> None:
    alone = [run([1, 1, 2, 0]), run([1, 0, 2, 0])]
    distilled = [run([0, 1, 0, 0]), run([0, 1, 2, 0])]
    changed = flips(alone, distilled, Classification(("a", "b", "c")).measures().rows)
    assert changed.gained == {"a": 2, "b": 1}
    assert changed.lost == {"c": 1}


def pixels(answers: list[list[int]]) -> statistics.TestRun:
    """Images of three pixels that count and one that does not; the last image has none that does."""
    target = np.array([[[0, 1], [1, -1]]] * (len(answers) - 1) + [[[-1, -1], [-1, -1]]])
    probabilities = np.moveaxis(np.eye(2, dtype=np.float32)[np.array(answers).reshape(-1, 2, 2)], -1, 1)
    names = np.array(list("abcde"[: len(answers)]))
    return statistics.TestRun(names, probabilities, target, names)


def test_images_of_pixels_are_ordered_by_how_much_more_of_them_is_right() -> None:
    alone = pixels([[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    distilled = pixels([[0, 1, 0, 1], [0, 1, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 1, 1]])
    changed = flips([alone, alone], [distilled, alone], TASK.measures().rows)
    assert list(changed.gained) == ["b", "a"]
    assert list(changed.gained.values()) == pytest.approx([1 / 3, 1 / 6])
    assert changed.lost == pytest.approx({"c": 1 / 3})
    runs = {name: [ArmRun(Path(), Path(), of, 0.0, 0.0)] * 2 for name, of in (("alone", alone), ("distilled", distilled))}
    better, worse = changes(flips([alone] * 2, [distilled] * 2, TASK.measures().rows), runs, TASK)
    assert better.rows[0] == ("b", "33.3", "100.0", "+66.7")
    assert worse.rows == (("c", "100.0", "33.3", "\N{MINUS SIGN}66.7"),)
    assert better.note == "2 images, mean over seeds"
