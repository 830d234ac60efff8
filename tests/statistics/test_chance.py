from __future__ import annotations

import numpy as np
import pytest
from core_models import measures_of
from numpy.typing import NDArray

from xkd.statistics import run_of
from xkd.statistics.chance import MOST_ANSWERS, most_likely

RNG = np.random.default_rng(7)
CLASSES = RNG.integers(0, 3, 120)


def by_chance(probabilities: NDArray[np.floating], target: NDArray[np.integer]) -> float:
    run = run_of(probabilities.astype(np.float32), target)
    chance = measures_of(run).chance
    assert chance is not None
    return chance(run)


def answering(classes: NDArray[np.int64], right: float, wrong: NDArray[np.int64] | int, count: int = 3) -> NDArray[np.float64]:
    """Probabilities whose likeliest class is the true one in a share `right` of the rows, else `wrong`."""
    rng = np.random.default_rng(3)
    return np.eye(count)[np.where(rng.random(classes.shape) < right, classes, wrong)]


@pytest.mark.parametrize("right", [0.6, 1.0])
def test_a_network_that_knows_something_is_not_at_chance(right: float) -> None:
    assert by_chance(answering(CLASSES, right, RNG.integers(0, 3, 120)), CLASSES) < 0.05


@pytest.mark.parametrize("wrong", [0, 1])
def test_one_class_for_all_rows_is_chance_however_frequent_the_class(wrong: int) -> None:
    classes = np.where(RNG.random(200) < 0.95, 0, 1)
    assert by_chance(answering(classes, 0.0, wrong, 2), classes) == 1.0


def test_classes_in_another_order_are_chance() -> None:
    assert by_chance(answering((CLASSES + 1) % 3, 0.9, 0), CLASSES) > 0.5


def test_a_rare_class_that_is_found_counts_though_the_frequent_one_alone_is_more_often_right() -> None:
    classes = np.where(np.arange(200) < 190, 0, 1)
    answers = np.eye(2)[np.where(np.arange(200) >= 175, 1, 0)]  # all ten, and fifteen that are none: 92.5 % right, the constant 95 %
    assert by_chance(answers, classes) < 0.05


def test_at_chance_one_network_in_twenty_passes() -> None:
    passed = [by_chance(np.eye(3)[np.random.default_rng(s).integers(0, 3, 60)], CLASSES[:60]) < 0.05 for s in range(200)]
    assert 1 <= sum(passed) <= 20


@pytest.mark.parametrize("classes", [np.array([0, 1, 2]), np.zeros(50, np.int64)])
def test_rows_that_cannot_tell_give_no_number(classes: NDArray[np.int64]) -> None:
    assert np.isnan(by_chance(answering(classes, 1.0, 0), classes))


def test_of_several_labels_the_ranking_counts_and_no_threshold() -> None:
    target = (RNG.random((150, 4)) < 0.1).astype(np.int64)
    scores = 0.01 + 0.2 * target * RNG.random((150, 4))
    assert scores.max() < 0.5
    assert by_chance(scores, target) < 0.05
    assert by_chance(RNG.random((150, 4)), target) > 0.05


def test_as_many_rows_get_a_label_as_have_it() -> None:
    target = np.array([[1, 0], [0, 0], [1, 1]])
    assert most_likely(np.array([[0.1, 0.9], [0.2, 0.1], [0.3, 0.2]]), target).tolist() == [[0, 1], [1, 0], [1, 0]]


def test_pixels_that_nobody_labelled_do_not_count_and_a_few_of_many_suffice() -> None:
    target = RNG.integers(0, 2, (9, 400, 400))
    assert target.size > MOST_ANSWERS
    target[:, 200:] = -1
    right = np.moveaxis(np.eye(2)[np.maximum(target, 0)], -1, 1)
    assert by_chance(right, target) == pytest.approx(1 / 200)
    assert by_chance(np.roll(right, 3, axis=0), target) > 0.05
