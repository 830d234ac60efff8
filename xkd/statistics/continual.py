"""What a network that learns one thing after the other has kept: scores of every test after every stage, and three numbers of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from xkd.statistics.bootstrap import ROUNDING, in_all_seeds
from xkd.statistics.estimate import UNDEFINED, Estimate

Scores = NDArray[np.float64]  # (..., T stages, N tests), not a number where a stage cannot answer; higher is better


def average_score(scores: Scores) -> NDArray[np.float64]:
    """The mean over tests after the last stage, (...): ACC of Lopez-Paz & Ranzato."""
    mean: NDArray[np.float64] = scores[..., -1, :].mean(-1)
    return mean


def forgetting(scores: Scores, learned: Sequence[int]) -> NDArray[np.float64]:
    """The best score of any earlier stage minus that after the last one, mean over the tests learned before it, (...).

    Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, arXiv:1801.10112, section 3. `learned` (N,) says after which
    stage, counted from 0, each test was learned. Negative where the network got better at what it had learned. Not a number where the last
    stage is the first.
    """
    earlier = _before_the_last(scores, learned)
    if not earlier:
        return np.full(scores.shape[:-2], np.nan)
    kept = scores[..., earlier]
    best = np.fmax.reduce(kept[..., :-1, :], axis=-2)  # a stage that could not answer counts as none
    lost: NDArray[np.float64] = (best - kept[..., -1, :]).mean(-1)
    return lost


def backward_transfer(scores: Scores, learned: Sequence[int]) -> NDArray[np.float64]:
    """The score after the last stage minus that just after the test was learned, mean over the tests learned before the last, (...).

    BWT of Lopez-Paz & Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017, arXiv:1706.08840, equation 3: there test i
    is learned in stage i. Below 0 where later stages have made the network worse at it.
    """
    earlier = _before_the_last(scores, learned)
    if not earlier:
        return np.full(scores.shape[:-2], np.nan)
    first = np.stack([scores[..., learned[test], test] for test in earlier], axis=-1)
    gained: NDArray[np.float64] = (scores[..., -1, earlier] - first).mean(-1)
    return gained


def _before_the_last(scores: Scores, learned: Sequence[int]) -> list[int]:
    """The tests that an earlier stage than the last has learned."""
    stages, tests = scores.shape[-2:]
    if len(learned) != tests or any(not 0 <= at < stages for at in learned):
        raise ValueError(f"learned names a stage of 0..{stages - 1} for each of {tests} tests, got {list(learned)}")
    return [test for test, at in enumerate(learned) if at < stages - 1]


@dataclass(frozen=True)
class Learned:
    """The scores of a chain of stages: of each seed, and of each resample of the test rows; what is derived has intervals over both.

    `after` says after which stage each test was learned; it is empty where nobody said it, and what is forgotten is then undefined.
    """

    per_seed: NDArray[np.float64]  # (S, T, N), in the measure's own direction
    drawn: NDArray[np.float64]  # (R, S, T, N)
    after: tuple[int, ...] = ()
    higher: bool = True
    seed: int = 0

    def average(self) -> Estimate:
        return self._estimate(average_score(self.per_seed), average_score(self.drawn))

    def forgetting(self) -> Estimate:
        """Above 0 where something was lost, whichever way the measure is better."""
        if not self.after:
            return UNDEFINED
        return self._estimate(forgetting(self._better(self.per_seed), self.after), forgetting(self._better(self.drawn), self.after))

    def backward_transfer(self) -> Estimate:
        if not self.after:
            return UNDEFINED
        of_seeds, of_draws = (backward_transfer(self._better(scores), self.after) for scores in (self.per_seed, self.drawn))
        return self._estimate(of_seeds, of_draws)

    def minus(self, other: Learned) -> tuple[Estimate, float]:
        """The difference of the averages, paired over seeds, and the p of a paired t-test over them, not a number for one seed."""
        ours, theirs = average_score(self.per_seed), average_score(other.per_seed)
        change = ours - theirs
        p = float(ttest_rel(ours, theirs).pvalue) if len(change) > 1 and np.ptp(change) > ROUNDING else float("nan")
        return self._estimate(change, average_score(self.drawn) - average_score(other.drawn)), p

    def _better(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores if self.higher else -scores

    def _estimate(self, per_seed: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
        """Of (S,) and (R, S), the seeds drawn alike for all chains."""
        chosen = np.random.default_rng(self.seed).integers(drawn.shape[1], size=drawn.shape)
        return in_all_seeds(per_seed, np.take_along_axis(drawn, chosen, axis=1).mean(1))
