"""How sure an exit must be: temperatures, where rows stop, and the thresholds that save most for what may be lost. Numbers alone.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599: one temperature for the logits of each exit, of least
negative log-likelihood on val. Teerapittayanon et al., "BranchyNet", ICPR 2016, arXiv:1709.01686: a threshold for each exit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

_TEMPERATURES: Final = np.geomspace(0.05, 20, 241)  # steps of 2.5 %
_TRIALS: Final = 10_000
NEVER: Final = math.inf
_ROUNDING: Final = 1e-12


def temperature_of(probabilities: Float[NDArray[Any], "n k"], target: Int[NDArray[Any], " n"]) -> float:
    """What the logits of these probabilities are divided by where they are calibrated; between 0.05 and 20."""
    logits = np.log(probabilities.astype(np.float64).clip(np.finfo(np.float32).tiny))
    logits -= logits.max(1, keepdims=True)
    of_target = logits[np.arange(len(target)), target]
    losses = [float((np.log(np.exp(logits / t).sum(1)) - of_target / t).mean()) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def stopping(sure: Float[NDArray[Any], "k n"], thresholds: Sequence[float]) -> Int[NDArray[Any], " n"]:
    """The exit at which each row stops: the first that is at least as sure as its threshold, else the last, which has none."""
    enough = np.concatenate([sure[:-1] >= np.asarray(thresholds)[:, None], np.ones((1, sure.shape[1]), bool)])
    first: NDArray[Any] = enough.argmax(0)
    return first


@dataclass(frozen=True)
class Trial:
    """Thresholds of all exits but the last, the accuracy of rows that stop by them and what one costs in the mean."""

    thresholds: tuple[float, ...]
    cost: float
    accuracy: float


def trials(sure: Float[NDArray[Any], "k n"], right: Bool[NDArray[Any], "k n"], cost: Float[NDArray[Any], " k"]) -> list[Trial]:
    """Every combination of some thresholds for each exit, at most 10,000 in all: 0, `NEVER`, and between them numbers half-way from the

    confidence of one row to that of another, so that rounding on another machine stops no row elsewhere.
    """
    most = max(int(_TRIALS ** (1 / max(len(sure) - 1, 1)) + 1e-9), 2)
    legal = [_between(of, most) for of in sure[:-1]]
    rows = np.arange(sure.shape[1])
    every = []
    for thresholds in itertools.product(*legal):
        stops = stopping(sure, thresholds)
        every.append(Trial(thresholds, float(cost[stops].mean()), float(right[stops, rows].mean())))
    return every


def _between(sure: Float[NDArray[Any], " n"], most: int) -> list[float]:
    values = np.unique(sure)
    every = np.array([0.0, *(values[1:] + values[:-1]) / 2, NEVER])
    return [float(one) for one in every[np.unique(np.linspace(0, len(every) - 1, min(most, len(every))).astype(int))]]


def cheapest(every: Iterable[Trial], least: float) -> Trial:
    """Of the trials that are at least so accurate the one of least cost; of equals the most accurate, with the highest thresholds."""
    legal = [one for one in every if one.accuracy >= least - _ROUNDING]
    return min(legal, key=lambda one: (one.cost, -one.accuracy, [-threshold for threshold in one.thresholds]))


def hand_on_below(sure: Float[NDArray[Any], " n"], share: float) -> float:
    """The confidence below which at most this share of the rows is; between those of two rows, or 0."""
    most, rising = int(share * len(sure) + _ROUNDING), np.sort(sure)
    return float((rising[most - 1] + rising[most]) / 2) if most else 0.0
