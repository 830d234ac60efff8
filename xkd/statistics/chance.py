"""Whether answers have anything to do with the rows that they are given to, by permutation.

As Ojala and Garriga, "Permutation Tests for Studying Classifier Performance", JMLR 11, 2010, test 1, of a network that is trained
already: under the null its answers are dealt to the rows at random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 199
MOST_ANSWERS = 2**18  # of pixels, drawn from all

Agree = Callable[[NDArray[Any], NDArray[Any]], float]  # of answers and truth (N, ...), higher is better


def hits(answers: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """How many answers are right; what is below 0 in truth does not count."""
    return float(((answers == truth) & (truth >= 0)).sum())


def by_chance(answers: NDArray[Any], truth: NDArray[Any], agree: Agree = hits) -> float:
    """The share of random pairings of answers (N, ...) and rows (N, ...) that agree as well as the true one (never 0).

    Not a number where rows are so few, or so alike, that right answers dealt at random may still be right.
    """
    rng = np.random.default_rng(0)
    answers, truth = answers.reshape(len(truth), -1), truth.reshape(len(truth), -1)
    if truth.size > MOST_ANSWERS:
        places = rng.choice(truth.shape[1], max(1, MOST_ANSWERS // len(truth)), replace=False)
        answers, truth = answers[:, places], truth[:, places]
    orders = [rng.permutation(len(truth)) for _ in range(PERMUTATIONS)]
    perfect = _share(truth, truth, orders, agree)
    return _share(answers, truth, orders, agree) if perfect * len(orders) <= 1 else np.nan


def most_likely(scores: NDArray[np.floating], target: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N, K) 0/1: of each label the rows with the highest scores, as many as have it."""
    ranks = scores.argsort(0, kind="stable").argsort(0)
    return np.asarray(ranks >= len(target) - target.sum(0), np.int64)


def _share(answers: NDArray[Any], truth: NDArray[Any], orders: list[NDArray[np.int64]], agree: Agree) -> float:
    own = agree(answers, truth)
    reached = sum(agree(answers[order], truth) >= own for order in orders)
    return (1 + reached) / (1 + len(orders))
