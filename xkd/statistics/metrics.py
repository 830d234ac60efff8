"""Numbers of a test split, and how they come out on resamples of its rows: from sums over the rows, or from weights of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xkd.statistics.runs import TestRun

Sums = NDArray[np.float64]  # (..., whatever is summed over rows)
_MOST_WEIGHTS: Final = 2**24  # of rows in resamples that are in memory at once


@runtime_checkable  # beartype asks for it where tests check types
class Statistic(Protocol):
    """One number of a run."""

    def __call__(self, run: TestRun) -> float: ...

    def drawn(self, run: TestRun, weights: NDArray[np.float64], cluster: NDArray[np.int64]) -> NDArray[np.float64]:
        """(R,) of resamples: how often each cluster is in each, (R, clusters), and which cluster each row is of, (N,)."""


@dataclass(frozen=True)
class Summed:
    """`sums` is what each row adds, (N, ...); `value` makes a number of each sum, (R, ...) -> (R,): a resample is a weighted sum."""

    sums: Callable[[TestRun], Sums]
    value: Callable[[Sums], NDArray[np.float64]]

    def __call__(self, run: TestRun) -> float:
        return float(self.value(self.sums(run).sum(0)[None])[0])

    def drawn(self, run: TestRun, weights: NDArray[np.float64], cluster: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = self.sums(run)
        totals = np.zeros((weights.shape[1], *sums.shape[1:]))
        np.add.at(totals, cluster, sums)
        return self.value(np.tensordot(weights, totals, 1))


@dataclass(frozen=True)
class Weighted:
    """`of` gives the number for weights of the rows, (R, N) -> (R,): what no sums make, such as a correlation of ranks."""

    of: Callable[[TestRun, NDArray[np.float64]], NDArray[np.float64]]

    def __call__(self, run: TestRun) -> float:
        return float(self.of(run, np.ones((1, len(run.rows))))[0])

    def drawn(self, run: TestRun, weights: NDArray[np.float64], cluster: NDArray[np.int64]) -> NDArray[np.float64]:
        parts = max(1, -(-len(weights) * len(cluster) // _MOST_WEIGHTS))
        return np.concatenate([self.of(run, part[:, cluster]) for part in np.array_split(weights, parts)])


def mean_score(name: str, members: NDArray[np.bool_] | None = None) -> Summed:
    """The mean of a score over the rows, or over the `members` (N,) among them, that have one."""

    def sums(run: TestRun) -> Sums:
        score = run.scores.get(name, np.full(len(run.rows), np.nan))
        counts = np.isfinite(score) & (True if members is None else members)
        return np.stack([np.where(counts, score, 0), counts], axis=-1)

    return Summed(sums, mean_of)


def undefined_rate(name: str) -> Summed:
    """The share of rows without a score."""
    return Summed(lambda run: np.stack([~np.isfinite(run.scores[name]), np.ones(len(run.rows))], axis=-1), mean_of)


def mean_of(sums: Sums) -> NDArray[np.float64]:
    """Of (..., 2), a total and a count; not a number where nothing counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return mean
