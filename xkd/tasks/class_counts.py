"""What the tasks of classes share: how probabilities become classes, and all numbers that count right and wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xkd.statistics.chance import by_chance, most_likely
from xkd.statistics.measures import SHARE, Each, Measure
from xkd.statistics.metrics import Statistic, Summed, Sums, Weighted
from xkd.statistics.runs import TestRun, check_same_rows

NUM_BINS: Final = 15  # of confidence, as in Guo et al.

FIDELITY: Final = {"agreement": ("same class as the teacher", SHARE), "kl": ("KL divergence from it, nats", "")}
_HITS, _TRUE, _PREDICTED, _DECISIONS = range(4)
_HALF: Final = 0.5  # from where on a label is said to be there


@dataclass(frozen=True)
class ClassCounts:
    """Of probabilities (N, K, ...): the likeliest class of a row or pixel, or, where rows have `several`, each label on its own.

    Targets are (N, ...) class indices, -1 where a pixel does not count, or (N, K) 0/1.
    """

    several: bool = False

    def decided(self, probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """(N, ...) class index, or (N, K) 0/1 at a threshold of one half."""
        return (probabilities > _HALF).astype(np.int64) if self.several else probabilities.argmax(1)

    def truth(self, run: TestRun) -> NDArray[np.int64]:
        return run.target.astype(np.int64)

    def counts(self, run: TestRun) -> Sums:
        """(N, K, 4): for each class how often it was found, how often it is there, how often it was said, how often it was asked for."""
        rows, classes = run.predictions.shape[:2]
        truth, decided = self.truth(run), self.decided(run.predictions)
        if self.several:
            there, said = truth.astype(float), decided.astype(float)
            return np.stack([there * said, there, said, np.ones_like(there)], axis=-1)
        truth, decided = truth.reshape(rows, -1), decided.reshape(rows, -1)
        row, place = np.nonzero(truth >= 0)
        wanted, given = truth[row, place], decided[row, place]
        right = wanted == given

        def count(of: NDArray[np.int64], chosen: NDArray[np.bool_] | slice = slice(None)) -> NDArray[np.float64]:
            flat = (row * classes + of)[chosen]
            return np.bincount(flat, minlength=rows * classes).reshape(rows, classes).astype(np.float64)

        there = count(wanted)
        asked = np.broadcast_to(there.sum(1, keepdims=True), there.shape)
        return np.stack([count(wanted, right), there, count(given), asked], axis=-1)

    def right(self, run: TestRun) -> NDArray[np.float64]:
        """(N,) 1 where the whole answer is right, else 0."""
        right = self.decided(run.predictions) == self.truth(run)
        return np.asarray(right.reshape(len(run.rows), -1).all(1), np.float64)

    def share_right(self, run: TestRun) -> NDArray[np.float64]:
        """(N,) share of right pixels among those of each image that count; not a number where none does."""
        truth = self.truth(run)
        counts = (truth >= 0).sum((1, 2))
        right = ((self.decided(run.predictions) == truth) & (truth >= 0)).sum((1, 2))
        share: NDArray[np.float64] = np.divide(right, counts, out=np.full(len(counts), np.nan), where=counts > 0)
        return share

    def statistic(self, value: Callable[[Sums], NDArray[np.float64]]) -> Statistic:
        return Summed(self.counts, value)

    def recalls(self, names: tuple[str, ...], members: Callable[[TestRun, int], NDArray[np.bool_]] | None) -> Each:
        def measure(k: int) -> Measure:
            return Measure(f"recall {names[k]}", self.statistic(lambda counts: recall(counts)[..., k]), names[k])

        return Each("recall", "Recall per class", names, measure, members)

    def calibration(self) -> Measure:
        """Expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599, equation 5."""
        return Measure("calibration_error", Summed(self.confidence_bins, _calibration_error), higher=False)

    def confidence_bins(self, run: TestRun) -> Sums:
        """(N, bins, 3): answers by their confidence, in equal steps of it: how many, their confidence added up, how many are right."""
        rows, given = len(run.rows), run.predictions.astype(float)
        confidence = np.maximum(given, 1 - given) if self.several else given.max(1)
        truth = self.truth(run)
        right, counted = self.decided(run.predictions) == truth, truth >= 0
        confidence, right, counted = (each.reshape(rows, -1) for each in (confidence, right, counted))
        row, place = np.nonzero(counted)
        chosen = confidence[row, place]
        bins = np.minimum((chosen * NUM_BINS).astype(int), NUM_BINS - 1)
        counts = np.zeros((rows, NUM_BINS, 3))
        for column, value in enumerate((np.ones_like(chosen), chosen, right[row, place].astype(float))):
            np.add.at(counts[..., column], (row, bins), value)
        return counts

    def confusion(self, run: TestRun) -> NDArray[np.float64]:
        """(K, K) counts, rows are true classes and columns predicted ones; of several labels (K, 2, 2), no and yes."""
        classes = run.predictions.shape[1]
        truth, decided = self.truth(run), self.decided(run.predictions)
        if not self.several:
            known = truth >= 0
            pairs = truth[known] * classes + decided[known]
            return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.float64)
        counts = np.zeros((classes, 2, 2))
        for k in range(classes):
            np.add.at(counts[k], (truth[:, k], decided[:, k]), 1)
        return counts

    def chance(self, run: TestRun) -> float:
        """The share of random pairings of answers and rows that agree as often as the true one.

        Of several labels, each is given to as many rows as have it, the likeliest ones: a cautious network may pass no threshold.
        """
        truth = self.truth(run)
        return by_chance(most_likely(run.predictions, truth) if self.several else self.decided(run.predictions), truth)

    def fidelity(self, student: TestRun, teacher: TestRun) -> dict[str, NDArray[np.float64]]:
        """How near each row's answer is to the teacher's of the same row: "agreement" on the likeliest class, "kl" of teacher and student.

        Both are means over pixels, or over labels, where a row has many answers. As in Stanton et al., "Does Knowledge Distillation Really
        Work?", NeurIPS 2021, arXiv:2106.05945, equations 4 and 5. `ValueError` where the rows are not the same.
        """
        check_same_rows(student, teacher)
        ours, theirs = self._shares(student), self._shares(teacher)
        kl = (theirs * (np.log(theirs) - np.log(ours))).sum(1)
        same = (self.decided(student.predictions) == self.decided(teacher.predictions)).astype(float)
        rows = len(student.rows)
        return {"agreement": same.reshape(rows, -1).mean(1), "kl": kl.reshape(rows, -1).mean(1)}

    def _shares(self, run: TestRun) -> NDArray[np.float64]:
        """(N, K, ...) probabilities over classes; of several labels, yes and no for each."""
        given = run.predictions.astype(np.float64)
        shares = np.stack([1 - given, given], axis=1) if self.several else given
        return np.maximum(shares, np.finfo(np.float32).tiny)


def logarithms(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.log(np.maximum(probabilities, 1e-12)))


def accuracy(counts: Sums) -> NDArray[np.float64]:
    """Share of right answers among rows, or pixels."""
    share: NDArray[np.float64] = counts[..., _HITS].sum(-1) / counts[..., _TRUE].sum(-1)
    return share


def label_accuracy(counts: Sums) -> NDArray[np.float64]:
    """Share of right answers among all (row, label) decisions."""
    wrong = counts[..., _TRUE] + counts[..., _PREDICTED] - 2 * counts[..., _HITS]
    share: NDArray[np.float64] = 1 - wrong.sum(-1) / counts[..., _DECISIONS].sum(-1)
    return share


def recall(counts: Sums) -> NDArray[np.float64]:
    """(R, K) per class; not a number for a class that does not occur."""
    with np.errstate(invalid="ignore", divide="ignore"):
        per_class: NDArray[np.float64] = counts[..., _HITS] / counts[..., _TRUE]
    return per_class


def balanced_accuracy(counts: Sums) -> NDArray[np.float64]:
    """Mean recall over the classes that occur."""
    return _mean_defined(recall(counts))


def label_balanced_accuracy(counts: Sums) -> NDArray[np.float64]:
    """Mean of (recall of positives + recall of negatives) / 2 over the labels that some rows have and others lack; always yes is a half."""
    negatives = counts[..., _DECISIONS] - counts[..., _TRUE]
    false = counts[..., _PREDICTED] - counts[..., _HITS]
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean_defined((recall(counts) + 1 - false / negatives) / 2)


def macro_f1(counts: Sums) -> NDArray[np.float64]:
    """Mean over classes of 2 TP / (2 TP + FP + FN), over the classes that occur or are predicted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean_defined(2 * counts[..., _HITS] / (counts[..., _TRUE] + counts[..., _PREDICTED]))


def mean_iou(counts: Sums) -> NDArray[np.float64]:
    """Mean over classes of TP / (TP + FP + FN), over the classes that occur or are predicted."""
    hits = counts[..., _HITS]
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean_defined(hits / (counts[..., _TRUE] + counts[..., _PREDICTED] - hits))


def _weighted_precision(run: TestRun, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) mean over the labels that occur of the area under precision and recall, sum of (R_n - R_{n-1}) P_n over thresholds."""
    values = []
    for scores, target in zip(run.predictions.T, run.target.T, strict=True):
        order = np.argsort(-scores, kind="stable")
        last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of each threshold
        said = weights[:, order].cumsum(1)[:, last]
        found = (weights * (target > 0))[:, order].cumsum(1)[:, last]
        with np.errstate(invalid="ignore", divide="ignore"):
            gained = np.diff(found / found[:, -1:], axis=1, prepend=0)
            values.append((gained * np.where(said > 0, found / said, 0)).sum(1))
    return _mean_defined(np.stack(values, axis=1))


MEAN_AVERAGE_PRECISION: Final = Weighted(_weighted_precision)


def _calibration_error(bins: Sums) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.abs(bins[..., 1] - bins[..., 2]).sum(-1) / bins[..., 0].sum(-1)
    return error


def _mean_defined(per_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is a number; nan where nothing is."""
    known = np.isfinite(per_class)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(known, per_class, 0).sum(-1) / known.sum(-1)
    return mean
