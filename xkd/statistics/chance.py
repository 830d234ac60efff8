"""Whether answers have anything to do with the rows that they are given to, by permutation.

As Ojala and Garriga, "Permutation Tests for Studying Classifier Performance", JMLR 11, 2010, test 1, of a classifier that is trained
already: under the null its answers are dealt to the rows at random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 199
MOST_ANSWERS = 2**18  # of pixels, drawn from all


def by_chance(probabilities: NDArray[np.floating], target: NDArray[np.int64]) -> float:
    """The share of random pairings of answers and rows that agree as often as the true one (never 0).

    `probabilities` (N, K) and `target` (N,) of class indices, (N, K) of 0/1, or (N, K, H, W) and (N, H, W); targets below 0 do not count.
    An answer is the likeliest class; of several labels, each is given to as many rows as have it, the likeliest ones, since a cautious
    network may pass no threshold. Not a number where rows are so few, or so alike, that right answers dealt at random may still be right.
    """
    answers = most_likely(probabilities, target) if target.ndim == 2 else probabilities.argmax(1)
    rng = np.random.default_rng(0)
    answers, truth = answers.reshape(len(target), -1), target.reshape(len(target), -1)
    if truth.size > MOST_ANSWERS:
        places = rng.choice(truth.shape[1], max(1, MOST_ANSWERS // len(truth)), replace=False)
        answers, truth = answers[:, places], truth[:, places]
    orders = [rng.permutation(len(truth)) for _ in range(PERMUTATIONS)]
    perfect = _share(truth, truth, orders)
    return _share(answers, truth, orders) if perfect * len(orders) <= 1 else np.nan


def most_likely(scores: NDArray[np.floating], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, K) 0/1: of each label the rows with the highest scores, as many as have it."""
    ranks = scores.argsort(0, kind="stable").argsort(0)
    return np.asarray(ranks >= len(target) - target.sum(0), np.int64)


def _share(answers: NDArray[np.int64], truth: NDArray[np.int64], orders: list[NDArray[np.int64]]) -> float:
    known = truth >= 0
    hits = int(((answers == truth) & known).sum())
    reached = sum(int(((answers[order] == truth) & known).sum()) >= hits for order in orders)
    return (1 + reached) / (1 + len(orders))
