"""Thresholds of exits: where rows stop, which combination costs least, temperatures that calibrate, who is handed on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from xkd.deploy.exits import confidence
from xkd.evidence.thresholds import NEVER, cheapest, hand_on_below, stopping, temperature_of, trials


def test_a_row_stops_at_the_first_exit_that_is_sure_enough() -> None:
    sure = np.array([[0.9, 0.5, 0.4, 0.8], [0.3, 0.8, 0.5, 0.9], [0.2, 0.2, 0.2, 0.2]])
    assert stopping(sure, (0.8, 0.8)).tolist() == [0, 1, 2, 0]
    assert stopping(sure, (0.85, 0.5)).tolist() == [0, 1, 1, 1]
    assert stopping(sure, (0.0, 0.0)).tolist() == [0, 0, 0, 0]
    assert stopping(sure, (1.01, NEVER)).tolist() == [2, 2, 2, 2]


def test_the_cheapest_that_loses_no_more_is_chosen() -> None:
    sure = np.array([[0.9, 0.8, 0.7, 0.6], [1.0, 1.0, 1.0, 1.0]])
    right = np.array([[True, True, False, True], [True, True, True, False]])
    cost = np.array([1.0, 4.0])

    def chosen(lose: float) -> float:
        return cheapest(trials(sure, right, cost), right[-1].mean() - lose).thresholds[0]

    assert chosen(0.0) == 0.0, "what it loses in one row it gains in another"
    right[0, 3] = False
    assert chosen(0.0) == pytest.approx(0.75), "half-way between two rows"
    assert chosen(0.25) == 0.0
    right[0] = False
    assert chosen(0.0) == NEVER


def test_nothing_is_cheaper_than_what_was_chosen() -> None:
    rng = np.random.default_rng(0)
    sure, cost = rng.random((3, 20)), np.array([1.0, 2.0, 5.0])
    right = rng.random((3, 20)) < np.array([[0.6], [0.7], [0.8]])
    least = right[2].mean() - 0.1
    chosen = cheapest(trials(sure, right, cost), least)
    outcomes = []
    for pair in itertools.product([*sure[0], 2.0], [*sure[1], 2.0]):
        at = [next((k for k in range(2) if sure[k, row] >= pair[k]), 2) for row in range(20)]
        outcomes.append((np.mean([cost[k] for k in at]), np.mean([right[k, row] for row, k in enumerate(at)])))
    assert chosen.accuracy >= least - 1e-12
    assert chosen.cost == pytest.approx(min(spent for spent, accuracy in outcomes if accuracy >= least - 1e-12))


def test_many_rows_and_exits_are_tried_on_a_grid() -> None:
    sure = np.random.default_rng(0).random((4, 300))
    every = trials(sure, sure > 0.5, np.arange(4.0))
    assert len(every) == 21**3
    assert {one.thresholds[0] for one in every} > {0.0, NEVER}


def test_temperatures_calibrate() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = np.array([rng.choice(3, p=row) for row in honest])
    bold = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    assert temperature_of(bold.astype(np.float32), target) == pytest.approx(3, rel=0.15)
    np.testing.assert_allclose(confidence(bold, 3.0), honest.max(1))
    np.testing.assert_allclose(confidence(bold, 1.0), bold.max(1))
    assert confidence(np.array([1.0, 0.0], np.float32), 2.0) == 1
    sure = temperature_of(np.array([[1.0, 0.0], [1.0, 0.0]], np.float32), np.array([0, 1]))
    assert math.isclose(sure, 20), "a probability of zero is no logarithm of zero"


@pytest.mark.parametrize(("share", "below"), [(0.0, 0.0), (0.2, 0.0), (0.25, 0.25), (0.5, 0.45), (0.99, 0.75)])
def test_at_most_a_share_is_handed_on(share: float, below: float) -> None:
    assert hand_on_below(np.array([0.9, 0.2, 0.6, 0.3]), share) == pytest.approx(below)
