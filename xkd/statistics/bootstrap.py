"""All arms on the same test rows: means over seeds, intervals by a bootstrap over rows and seeds, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from xkd.statistics.estimate import UNDEFINED, Estimate
from xkd.statistics.measures import Measure
from xkd.statistics.metrics import Statistic
from xkd.statistics.runs import TestRun

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
ROUNDING = 1e-12  # shares that differ by less are the same


@dataclass(frozen=True)
class Comparison:
    """All arms on the same test rows; resampled together, so differences are paired."""

    arms: Mapping[str, Sequence[TestRun]]
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = {name: len(runs) for name, runs in self.arms.items()}
        if len(set(sizes.values())) != 1 or not next(iter(sizes.values())):
            raise ValueError(f"every arm needs the same seeds, at least one; got {sizes}")
        first = next(iter(self.arms.values()))[0]
        for name, runs in self.arms.items():
            known = (first.rows, first.target, first.clusters)
            if not all(all(map(_same, (run.rows, run.target, run.clusters), known)) for run in runs):
                raise ValueError(f"arm '{name}' was tested on other rows than '{next(iter(self.arms))}', so they cannot be compared")

    @property
    def num_seeds(self) -> int:
        return len(next(iter(self.arms.values())))

    @property
    def num_clusters(self) -> int:
        return len(self._clusters[0])

    @cached_property
    def resamples(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How often each cluster, and which seed, is drawn in each resample: (R, clusters) and (R, seeds)."""
        rng = np.random.default_rng(self.seed)
        clusters = self.num_clusters
        weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=NUM_RESAMPLES).astype(np.float64)
        return weights, rng.integers(self.num_seeds, size=(NUM_RESAMPLES, self.num_seeds))

    def values(self, arm: str, statistic: Statistic) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The statistic per seed (S,), and per resample averaged over its seeds (R,)."""
        return self.per_seed(arm, statistic), np.take_along_axis(self.drawn(arm, statistic), self.resamples[1], axis=1).mean(1)

    def drawn(self, arm: str, statistic: Statistic) -> NDArray[np.float64]:
        """The statistic of each resample of the clusters, of every seed: (R, S)."""
        return np.stack([statistic.drawn(run, self.resamples[0], self._clusters[1]) for run in self.arms[arm]], axis=1)

    def estimate(self, arm: str, statistic: Statistic) -> Estimate:
        return in_all_seeds(*self.values(arm, statistic))

    def difference(self, arm: str, other: str, statistic: Statistic) -> Estimate:
        (a, a_drawn), (b, b_drawn) = self.values(arm, statistic), self.values(other, statistic)
        return in_all_seeds(a - b, a_drawn - b_drawn)

    def paired_test(self, arm: str, other: str, statistic: Statistic) -> float:
        """Two-sided p of a paired t-test over the seeds; not a number for one seed, or where all differences are the same."""
        return _paired_t(*(self.per_seed(name, statistic) for name in (arm, other)))

    def ratio(self, arm: str, other: str, statistic: Statistic) -> Estimate:
        """Of the means over seeds; undefined where the other may be nothing, in a seed or in a resample: the ratio has no end there."""
        (a, a_drawn), (b, b_drawn) = self.values(arm, statistic), self.values(other, statistic)
        if np.isnan(a).any() or not (b > 0).all() or (b_drawn <= 0).any():
            return UNDEFINED
        return replace(interval(a / b, a_drawn / b_drawn), mean=float(a.mean() / b.mean()))

    def ratio_test(self, arm: str, other: str, statistic: Statistic) -> float:
        """The paired test of the logarithms, which is that of the ratio; not a number where one of the two is nothing in some seed."""
        a, b = (self.per_seed(name, statistic) for name in (arm, other))
        return _paired_t(np.log(a), np.log(b)) if (a > 0).all() and (b > 0).all() else float("nan")

    def gap_share(self, alone: str, distilled: str, teacher: str, measure: Measure) -> Estimate:
        """(distilled - alone) / (teacher - alone) of the means; undefined where the teacher is not surely better."""
        names = (alone, distilled, teacher)
        (a, a_drawn), (d, d_drawn), (t, t_drawn) = (self.values(name, measure.statistic) for name in names)
        if np.isnan(d).any() or not measure.better(in_all_seeds(t - a, t_drawn - a_drawn)):
            return UNDEFINED
        with np.errstate(invalid="ignore", divide="ignore"):  # one seed, or one resample, may have no gap
            estimate = interval((d - a) / (t - a), (d_drawn - a_drawn) / (t_drawn - a_drawn))
        return replace(estimate, mean=float((d.mean() - a.mean()) / (t.mean() - a.mean())))

    def per_seed(self, arm: str, statistic: Statistic) -> NDArray[np.float64]:
        return np.array([statistic(run) for run in self.arms[arm]])

    @cached_property
    def _clusters(self) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        """Their names, and which of them each row is of."""
        names, rows = np.unique(next(iter(self.arms.values()))[0].clusters, return_inverse=True)
        return names, rows


def _paired_t(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(ttest_rel(a, b).pvalue) if len(a) > 1 and np.ptp(a - b) > ROUNDING else float("nan")


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Numbers that nobody knows are the same ones."""
    return np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f")


def in_all_seeds(per_seed: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    """Undefined where a seed gives no number, as a correlation of answers that are all the same: the interval would be of other seeds."""
    return UNDEFINED if np.isnan(per_seed).any() else interval(per_seed, drawn)


def interval(per_seed: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    """Undefined where no resample gives a number, as the recall of a class that no test row has."""
    if not np.isfinite(drawn).any():
        return UNDEFINED
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    std = float(per_seed.std(ddof=1)) if len(per_seed) > 1 else float("nan")
    return Estimate(float(per_seed.mean()), std, float(low), float(high))
