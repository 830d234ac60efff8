"""Evidence: did the teacher help? Arms over seeds, intervals by bootstrap over images, the share of the gap that was recovered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]  # (R, K, K): rows are true classes, columns predicted ones; multi-label: (R, K, 2, 2)
Metric = Callable[[Counts], NDArray[np.float64]]

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class TestRun:
    """One trained network on the labelled test rows that have its sensor."""

    rows: NDArray[np.str_]  # (N,) ids
    probabilities: NDArray[np.float32]  # (N, K), of pixels (N, K, H, W)
    target: NDArray[np.int64]  # (N,) class index, (N, K) 0/1, or (N, H, W) class index of each pixel, -1 where it does not count
    clusters: NDArray[np.str_]  # (N,) what is resampled together: the image that a crop is from, the plant, the drive
    energy: NDArray[np.float64]  # (N,) attention energy inside the mask, not a number where there is none

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.rows, self.probabilities, self.target, self.clusters, self.energy)}
        if len(lengths) != 1:
            raise ValueError(f"a run's columns have unlike lengths {sorted(lengths)}")


def on_common_rows(arms: Mapping[str, Sequence[TestRun]]) -> dict[str, list[TestRun]]:
    """Every run on the rows that all have, in one order; `ValueError` where there are none."""
    runs = [run for arm in arms.values() for run in arm]
    common = sorted(set.intersection(*({str(row) for row in run.rows} for run in runs)))
    if not common:
        raise ValueError(f"no labelled test row has the sensors of all arms {list(arms)}, so they cannot be compared")
    return {name: [_pick(run, common) for run in arm] for name, arm in arms.items()}


def _pick(run: TestRun, rows: list[str]) -> TestRun:
    place = {str(row): at for at, row in enumerate(run.rows)}
    chosen = np.array([place[row] for row in rows])
    return TestRun(**{column.name: getattr(run, column.name)[chosen] for column in fields(run)})


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with their standard deviation and a 95 % bootstrap interval; `defined` false means that it means nothing."""

    mean: float
    std: float
    low: float
    high: float
    defined: bool = True

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.defined else "undefined"


UNDEFINED = Estimate(np.nan, np.nan, np.nan, np.nan, defined=False)


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """Share of right answers; multi-label: over all (row, class) decisions."""
    right: NDArray[np.float64] = np.einsum("...ii->...", counts)
    total: NDArray[np.float64] = counts.sum((-2, -1))
    if counts.ndim == 4:
        right, total = right.sum(-1), total.sum(-1)
    share: NDArray[np.float64] = right / total
    return share


def balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    """Mean recall over the classes that occur."""
    return _mean_defined(recall(counts))


def recall(counts: Counts) -> NDArray[np.float64]:
    """(R, K) per class; not a number for a class that does not occur."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if counts.ndim == 4:
            per_class: NDArray[np.float64] = counts[..., 1, 1] / counts[..., 1, :].sum(-1)
        else:
            per_class = np.einsum("...ii->...i", counts) / counts.sum(-1)
    return per_class


def of_class(k: int) -> Metric:
    """The recall of one class."""

    def recall_of_class(counts: Counts) -> NDArray[np.float64]:
        per_class: NDArray[np.float64] = recall(counts)[..., k]
        return per_class

    return recall_of_class


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean over classes of 2 TP / (2 TP + FP + FN), over the classes that occur or are predicted."""
    if counts.ndim == 4:
        hits, wrong = counts[..., 1, 1], counts[..., 0, 1] + counts[..., 1, 0]
    else:
        hits = np.einsum("...ii->...i", counts)
        wrong = counts.sum(-1) + counts.sum(-2) - 2 * hits
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean_defined(2 * hits / (2 * hits + wrong))


def mean_iou(counts: Counts) -> NDArray[np.float64]:
    """Mean over classes of TP / (TP + FP + FN), over the classes that occur or are predicted."""
    hits = np.einsum("...ii->...i", counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean_defined(hits / (counts.sum(-1) + counts.sum(-2) - hits))


# the first is what a comparison is judged by unless told otherwise
METRICS: Mapping[str, Metric] = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}
# most pixels are background: accuracy rises where a network sees less of the rest
PIXEL_METRICS: Mapping[str, Metric] = {"mean_iou": mean_iou, "macro_f1": macro_f1, "accuracy": accuracy}


def metrics_of(run: TestRun) -> Mapping[str, Metric]:
    """What a run is judged by: `PIXEL_METRICS` where each pixel has a class."""
    return PIXEL_METRICS if run.target.ndim == 3 else METRICS


def confusion(run: TestRun, rows: NDArray[np.bool_] | slice = slice(None)) -> Counts:
    """Counts of a run over some rows, or over their pixels: (K, K), or (K, 2, 2) for multi-label at a threshold of one half."""
    probabilities, target = run.probabilities[rows], run.target[rows]
    classes = probabilities.shape[1]
    if target.ndim != 2:  # one class per row, or per pixel
        predicted, known = probabilities.argmax(1), target >= 0
        pairs = target[known] * classes + predicted[known]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.float64)
    counts = np.zeros((classes, 2, 2))
    for k in range(classes):
        np.add.at(counts[k], (target[:, k].astype(int), (probabilities[:, k] > 0.5).astype(int)), 1)
    return counts


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
            if not all(all(map(np.array_equal, (run.rows, run.target, run.clusters), known)) for run in runs):
                raise ValueError(f"arm '{name}' was tested on other rows than '{next(iter(self.arms))}', so they cannot be compared")

    @property
    def num_seeds(self) -> int:
        return len(next(iter(self.arms.values())))

    def resamples(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How often each cluster, and which seed, is drawn in each resample: (R, clusters) and (R, seeds)."""
        rng = np.random.default_rng(self.seed)
        clusters = len(self._clusters())
        weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=NUM_RESAMPLES).astype(np.float64)
        return weights, rng.integers(self.num_seeds, size=(NUM_RESAMPLES, self.num_seeds))

    def values(self, arm: str, metric: Metric) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The metric per seed (S,), and per resample averaged over its seeds (R,)."""
        weights, seeds = self.resamples()
        runs = self.arms[arm]
        per_seed = metric(np.stack([confusion(run) for run in runs]))
        # a resample's confusion counts are a weighted sum of the clusters' counts
        per_cluster = [np.stack([confusion(run, rows) for rows in self._rows(run)]) for run in runs]
        drawn = np.stack([metric(np.tensordot(weights, counts, 1)) for counts in per_cluster])
        return per_seed, np.take_along_axis(drawn.T, seeds, axis=1).mean(1)

    def estimate(self, arm: str, metric: Metric) -> Estimate:
        return interval(*self.values(arm, metric))

    def difference(self, arm: str, other: str, metric: Metric) -> Estimate:
        (a, a_drawn), (b, b_drawn) = self.values(arm, metric), self.values(other, metric)
        return interval(a - b, a_drawn - b_drawn)

    def gap_share(self, alone: str, distilled: str, teacher: str, metric: Metric) -> Estimate:
        """(distilled - alone) / (teacher - alone) of the means; undefined where the gap's own interval touches zero."""
        names = (alone, distilled, teacher)
        (a, a_drawn), (d, d_drawn), (t, t_drawn) = (self.values(name, metric) for name in names)
        gap = interval(t - a, t_drawn - a_drawn)
        if gap.low <= 0:
            return UNDEFINED
        with np.errstate(invalid="ignore", divide="ignore"):  # one seed, or one resample, may have no gap
            estimate = interval((d - a) / (t - a), (d_drawn - a_drawn) / (t_drawn - a_drawn))
        return replace(estimate, mean=float((d.mean() - a.mean()) / (t.mean() - a.mean())))

    def energy(self, arm: str) -> Estimate:
        """Attention energy inside the mask (EPG), over the rows that have one; undefined without masks."""
        weights, seeds = self.resamples()
        sums = np.array([[np.nansum(run.energy[rows]) for rows in self._rows(run)] for run in self.arms[arm]])
        counts = np.array([[np.isfinite(run.energy[rows]).sum() for rows in self._rows(run)] for run in self.arms[arm]])
        if not counts.sum():
            return UNDEFINED
        with np.errstate(invalid="ignore"):  # a resample may hold no row with a mask; the interval leaves it out
            drawn = (weights @ sums.T) / (weights @ counts.T)
        return interval(sums.sum(1) / counts.sum(1), np.take_along_axis(drawn, seeds, axis=1).mean(1))

    def _clusters(self) -> list[str]:
        return sorted({str(name) for runs in self.arms.values() for run in runs for name in run.clusters})

    def _rows(self, run: TestRun) -> list[NDArray[np.bool_]]:
        return [run.clusters == name for name in self._clusters()]


def interval(per_seed: NDArray[np.float64], drawn: NDArray[np.float64]) -> Estimate:
    """Undefined where no resample gives a number, as the recall of a class that no test row has."""
    if not np.isfinite(drawn).any():
        return UNDEFINED
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    std = float(per_seed.std(ddof=1)) if len(per_seed) > 1 else float("nan")
    return Estimate(float(per_seed.mean()), std, float(low), float(high))


def finding(gain: Estimate, share: Estimate, metric: str, control: Estimate | None, beyond_masks: Estimate | None, num_seeds: int) -> str:
    """One sentence for the top of a report, and more where a control takes it back or is missing."""
    size = f"{_points(gain)} of {metric.replace('_', ' ')} {_span(gain)}"
    if gain.low <= 0 <= gain.high:
        return f"No evidence of a gain: distilled against the student alone is {size}, and the interval covers zero."
    verb = "better" if gain.mean > 0 else "worse"
    rest = f", {100 * share.mean:.0f} % of the gap to the teacher recovered" if share.defined and gain.mean > 0 else ""
    said = f"The distilled student is {verb} than the student alone by {size}{rest}."
    if gain.mean > 0 and control is not None and control.low > 0:
        said += f" But shuffled pairs gain too, {_points(control)} {_span(control)}: it is not the pairing that helps."
    if gain.mean > 0 and beyond_masks is not None and beyond_masks.low <= 0:
        said += f" But beyond what masks alone bring it is {_points(beyond_masks)} {_span(beyond_masks)}: not shown to be the teacher's."
    missing = ["one seed"] * (num_seeds == 1) + ["no shuffled pairs"] * (control is None)
    return said if gain.mean <= 0 or not missing else f"{said} ({' and '.join(missing).capitalize()}: a sign, no proof.)"


def _points(difference: Estimate) -> str:
    return f"{100 * difference.mean:+.1f} points"


def _span(difference: Estimate) -> str:
    return f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def _mean_defined(per_class: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is a number."""
    known = np.isfinite(per_class)
    mean: NDArray[np.float64] = np.where(known, per_class, 0).sum(-1) / np.maximum(known.sum(-1), 1)
    return mean


@dataclass(frozen=True)
class Summary:
    """What a comparison found; `share`, `gain` and `control` are in the metric that it is judged by."""

    metric: str
    arms: Mapping[str, Mapping[str, Estimate]]  # arm -> metric -> estimate
    recall: Mapping[str, tuple[Estimate, ...]]  # arm -> one per class
    energy: Mapping[str, Estimate]
    gain: Estimate  # distilled - alone
    share: Estimate  # of the gap between alone and teacher
    control: Estimate | None  # shuffled - alone: must cover or lie below zero
    beyond_masks: Estimate | None  # distilled - masks: what the teacher adds to the masks
    minus_alone: Mapping[str, Estimate]  # every other arm
    finding: str


def summarise(comparison: Comparison, metric: str, teacher: str, alone: str = "alone", distilled: str = "distilled") -> Summary:
    """`KeyError` for a metric or an arm that is not there."""
    metrics = metrics_of(comparison.arms[alone][0])
    if metric not in metrics:
        raise KeyError(f"unknown metric '{metric}'; there are {list(metrics)}")
    measure = metrics[metric]
    classes = comparison.arms[alone][0].probabilities.shape[1]
    minus_alone = {arm: comparison.difference(arm, alone, measure) for arm in comparison.arms if arm != alone}
    gain, control = minus_alone[distilled], minus_alone.get("shuffled")
    beyond_masks = comparison.difference(distilled, "masks", measure) if "masks" in comparison.arms else None
    share = comparison.gap_share(alone, distilled, teacher, measure)
    return Summary(
        metric=metric,
        arms={arm: {name: comparison.estimate(arm, of) for name, of in metrics.items()} for arm in comparison.arms},
        recall={arm: tuple(comparison.estimate(arm, of_class(k)) for k in range(classes)) for arm in comparison.arms},
        energy={arm: comparison.energy(arm) for arm in comparison.arms},
        gain=gain,
        share=share,
        control=control,
        beyond_masks=beyond_masks,
        minus_alone=minus_alone,
        finding=finding(gain, share, metric, control, beyond_masks, len(comparison.arms[alone])),
    )
