"""What a network forgets: worked out by hand, after several stages, in either direction of the measure, with intervals over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from xkd.statistics.continual import Learned, average_score, backward_transfer, forgetting

NAN = float("nan")
# three stages, three tests, each learned in its own stage; the first two stages cannot answer what comes later
SCORES = np.array([[0.9, NAN, NAN], [0.7, 0.8, NAN], [0.6, 0.85, 0.5]])
AFTER = (0, 1, 2)


def test_by_hand() -> None:
    assert average_score(SCORES) == pytest.approx((0.6 + 0.85 + 0.5) / 3)
    assert forgetting(SCORES, AFTER) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.85)) / 2)
    assert backward_transfer(SCORES, AFTER) == pytest.approx(((0.6 - 0.9) + (0.85 - 0.8)) / 2)


def test_the_best_earlier_stage_need_not_be_the_one_that_learned_it() -> None:
    scores = np.array([[0.5, 0.1], [0.9, 0.2], [0.6, 0.7]])
    assert forgetting(scores, (0, 2)) == pytest.approx(0.9 - 0.6)
    assert backward_transfer(scores, (0, 2)) == pytest.approx(0.6 - 0.5)


def test_leading_dimensions_are_kept_and_one_stage_forgets_nothing() -> None:
    many = np.broadcast_to(SCORES, (4, 2, 3, 3))
    assert forgetting(many, AFTER).shape == average_score(many).shape == (4, 2)
    assert np.isnan(forgetting(SCORES[:1], (0, 0, 0))).all()
    assert np.isnan(backward_transfer(SCORES[:1], (0, 0, 0))).all()


@pytest.mark.parametrize("after", [(0, 1), (0, 1, 3), (-1, 1, 2)])
def test_a_test_that_no_stage_learned_is_refused(after: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a stage of 0\.\.2 for each of 3 tests"):
        forgetting(SCORES, after)


def of(*last: float, higher: bool = True) -> Learned:
    """Two stages; what the last one says of the first test differs by seed."""
    per_seed = np.array([[[0.9, NAN], [value, 0.5]] for value in last])
    return Learned(per_seed, np.broadcast_to(per_seed, (50, *per_seed.shape)), (0, 1), higher)


def test_intervals_are_over_seeds() -> None:
    chain = of(0.5, 0.6, 0.7)
    lost = chain.forgetting()
    assert lost.mean == pytest.approx(0.3)
    assert 0.2 <= lost.low < lost.mean < lost.high < 0.41
    assert chain.average().mean == pytest.approx(0.55)
    assert chain.backward_transfer().mean == pytest.approx(-lost.mean)
    assert of(0.7, higher=False).forgetting().mean == pytest.approx(-0.2)  # an error that fell
    assert not Learned(chain.per_seed, chain.drawn).forgetting().defined, "nobody said what was learned when"


def test_chains_are_compared_seed_by_seed() -> None:
    change, p = of(0.6, 0.7, 0.8).minus(of(0.5, 0.6, 0.7))
    assert (change.mean, change.low, change.high) == pytest.approx((0.05, 0.05, 0.05))
    assert np.isnan(p), "all differences are the same"
    assert of(0.9, 0.7, 0.8).minus(of(0.5, 0.6, 0.7))[1] < 0.2
    assert np.isnan(of(0.9).minus(of(0.5))[1])
