"""Numbers of a test split that come from sums over its rows, so that a resample of the rows is a weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xkd.statistics.runs import TestRun

Sums = NDArray[np.float64]  # (..., whatever is summed over rows)
NUM_BINS = 15  # of confidence, as in Guo et al.

_HITS, _TRUE, _PREDICTED, _DECISIONS = range(4)


@dataclass(frozen=True)
class Statistic:
    """`sums` is what each row adds, (N, ...); `value` makes a number of each sum, (R, ...) -> (R,)."""

    sums: Callable[[TestRun], Sums]
    value: Callable[[Sums], NDArray[np.float64]]

    def __call__(self, run: TestRun) -> float:
        return float(self.value(self.sums(run).sum(0)[None])[0])


def class_counts(run: TestRun) -> Sums:
    """(N, K, 4): for each class how often it was found, how often it is there, how often it was said, and how often it was asked for."""
    rows, classes = run.probabilities.shape[:2]
    if run.multilabel:
        there, predicted = run.target.astype(float), run.predicted.astype(float)
        return np.stack([there * predicted, there, predicted, np.ones_like(there)], axis=-1)
    target, predicted = run.target.reshape(rows, -1), run.predicted.reshape(rows, -1)
    counts = np.zeros((rows, classes, 4))
    row, place = np.nonzero(target >= 0)
    truth, answer = target[row, place], predicted[row, place]
    np.add.at(counts[..., _TRUE], (row, truth), 1)
    np.add.at(counts[..., _PREDICTED], (row, answer), 1)
    right = truth == answer
    np.add.at(counts[..., _HITS], (row[right], truth[right]), 1)
    counts[..., _DECISIONS] = counts[..., _TRUE].sum(1, keepdims=True)
    return counts


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


_ACCURACY, _BALANCED, _F1 = Statistic(class_counts, accuracy), Statistic(class_counts, balanced_accuracy), Statistic(class_counts, macro_f1)
# the first is what a comparison is judged by unless told otherwise
METRICS: Mapping[str, Statistic] = {"accuracy": _ACCURACY, "balanced_accuracy": _BALANCED, "macro_f1": _F1}
LABEL_METRICS: Mapping[str, Statistic] = {
    "accuracy": Statistic(class_counts, label_accuracy),
    "balanced_accuracy": Statistic(class_counts, label_balanced_accuracy),
    "macro_f1": _F1,
}
# most pixels are background: accuracy rises where a network sees less of the rest
PIXEL_METRICS: Mapping[str, Statistic] = {"mean_iou": Statistic(class_counts, mean_iou), "macro_f1": _F1, "accuracy": _ACCURACY}


def metrics_of(run: TestRun) -> Mapping[str, Statistic]:
    """What a run is judged by, as its rows have one class, several labels or a class for each pixel."""
    return metrics_for(run.target.ndim)


def metrics_for(dimensions: int) -> Mapping[str, Statistic]:
    """The same by the dimensions of the targets: 1 of one class each, 2 of several labels, 3 of pixels."""
    return {1: METRICS, 2: LABEL_METRICS, 3: PIXEL_METRICS}[dimensions]


def recall_of(k: int) -> Statistic:
    """The recall of one class."""
    return Statistic(class_counts, lambda counts: recall(counts)[..., k])


def mean_score(name: str, k: int | None = None) -> Statistic:
    """The mean of a score over the rows, or those of class `k`, that have one."""

    def sums(run: TestRun) -> Sums:
        score = run.scores.get(name, np.full(len(run.rows), np.nan))
        counts = np.isfinite(score)
        if k is not None:
            counts = counts & (run.target[:, k] > 0 if run.multilabel else run.target == k)
        return np.stack([np.where(counts, score, 0), counts], axis=-1)

    return Statistic(sums, _mean)


def undefined_rate(name: str) -> Statistic:
    """The share of rows without a score."""
    return Statistic(lambda run: np.stack([~np.isfinite(run.scores[name]), np.ones(len(run.rows))], axis=-1), _mean)


def confidence_bins(run: TestRun) -> Sums:
    """(N, bins, 3): answers by their confidence, in equal steps of it: how many, their confidence added up, how many of them right."""
    rows = len(run.rows)
    given = run.probabilities.astype(float)
    confidence = np.maximum(given, 1 - given) if run.multilabel else given.max(1)
    right, counted = run.predicted == run.target, np.broadcast_to(run.target >= 0, run.target.shape)
    confidence, right, counted = (each.reshape(rows, -1) for each in (confidence, right, counted))
    row, place = np.nonzero(counted)
    chosen = confidence[row, place]
    bins = np.minimum((chosen * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.zeros((rows, NUM_BINS, 3))
    for column, value in enumerate((np.ones_like(chosen), chosen, right[row, place].astype(float))):
        np.add.at(counts[..., column], (row, bins), value)
    return counts


def _calibration_error(bins: Sums) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.abs(bins[..., 1] - bins[..., 2]).sum(-1) / bins[..., 0].sum(-1)
    return error


# Expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599, equation 5
calibration_error = Statistic(confidence_bins, _calibration_error)


def confusion(run: TestRun) -> Sums:
    """(K, K) counts, rows are true classes and columns predicted ones; of several labels (K, 2, 2), no and yes."""
    classes = run.probabilities.shape[1]
    if not run.multilabel:
        known = run.target >= 0
        pairs = run.target[known] * classes + run.predicted[known]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.float64)
    counts = np.zeros((classes, 2, 2))
    for k in range(classes):
        np.add.at(counts[k], (run.target[:, k].astype(int), run.predicted[:, k]), 1)
    return counts


def _mean(sums: Sums) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return mean


def _mean_defined(per_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is a number."""
    known = np.isfinite(per_class)
    mean: NDArray[np.float64] = np.where(known, per_class, 0).sum(-1) / np.maximum(known.sum(-1), 1)
    return mean
