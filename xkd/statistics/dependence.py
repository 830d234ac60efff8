"""Whether two readings of the same rows have anything to do with each other beyond the rows' classes, by permutation.

The statistic is linear CKA of what is left of each reading when its class's mean is taken off, over pairs of rows of one class; under the
null, rows are permuted within their class. A kernel independence test (Gretton et al., "A Kernel Statistical Test of Independence", NIPS
2007, with linear kernels, whose HSIC is CKA before its normalisation) made conditional as in Doran et al., "A Permutation-Based Kernel
Conditional Independence Test", UAI 2014: for a discrete condition, permutations that keep it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 999


@dataclass(frozen=True)
class Dependence:
    """`cka` of the rows as they are, the mean of permuted ones, and the share of permutations that reach it (never 0)."""

    cka: float
    chance: float
    p: float


def dependence_within(one: NDArray[np.floating], other: NDArray[np.floating], classes: NDArray[np.int64], seed: int = 0) -> Dependence:
    """Of readings (N, ...) and (N, ...) and the rows' classes (N,); not a number where nothing is left within the classes."""
    if not len(one) == len(other) == len(classes):
        raise ValueError(f"dependence is of the same rows; got {len(one)}, {len(other)} and {len(classes)} classes")
    # among rows of one class alone: what raises one class's score may lower another's, and both would cancel
    alike = classes[:, None] == classes
    first, second = (alike * _gram(_within(reading, classes)) for reading in (one, other))
    scale = np.sqrt((first * first).sum() * (second * second).sum())
    if not scale > 0:
        return Dependence(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(classes == k) for k in np.unique(classes)]
    cka = float((first * second).sum() / scale)
    drawn = np.empty(PERMUTATIONS)
    for number in range(PERMUTATIONS):
        order = np.empty(len(classes), np.int64)
        for rows in members:
            order[rows] = rng.permutation(rows)
        drawn[number] = (first * second[np.ix_(order, order)]).sum() / scale
    return Dependence(cka, float(drawn.mean()), float((1 + (drawn >= cka - 1e-12).sum()) / (PERMUTATIONS + 1)))


def _within(reading: NDArray[np.floating], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    flat = reading.reshape(len(reading), -1).astype(np.float64)
    for k in np.unique(classes):
        flat[classes == k] -= flat[classes == k].mean(0)
    return flat


def _gram(reading: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(reading @ reading.T)
