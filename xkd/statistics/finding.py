"""What a comparison found: every arm's numbers, the gain, what the controls leave of it, and one sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xkd.statistics.bootstrap import UNDEFINED, Comparison, Estimate
from xkd.statistics.metrics import calibration_error, mean_score, metrics_of, recall_of, undefined_rate

SIGNIFICANT = 0.05
FEW_CLUSTERS = 10  # a bootstrap of fewer draws little but the same ones again: its intervals are too narrow
# arm -> what it means where the distilled student is not better than it; nothing, where the gain is no less the teacher's
BEYOND: Mapping[str, str] = {
    "shuffled": "beyond shuffled pairs it is {}: not shown to be the pairing's",
    "shuffled_within": "",
    "masks": "beyond what masks alone bring it is {}: not shown to be the teacher's",
    "same_sensor": "beyond the same teacher on the student's own sensor it is {}: not shown to be the second sensor's",
    "self_taught": "beyond a student that is its own teacher it is {}: not shown to be more than regularisation",
    "smoothed": "beyond smoothed labels it is {}: not shown to be more than regularisation",
    "scratch": "beyond the student from scratch it is {}: not shown that it needs any weights",
    "longer": "beyond the student alone with as many steps it is {}: not shown to be the pairs'",
}


@dataclass(frozen=True)
class Summary:
    """What a comparison found; `share`, `gain` and the differences are in the metric that it is judged by."""

    metric: str
    arms: Mapping[str, Mapping[str, Estimate]]  # arm -> metric -> estimate; "calibration_error" is the last
    recall: Mapping[str, tuple[Estimate, ...]]  # arm -> one per class
    scores: Mapping[str, Mapping[str, Estimate]]  # arm -> score of its rows, such as "epg" -> estimate
    class_scores: Mapping[str, Mapping[str, tuple[Estimate, ...]]]  # the same, one per class
    undefined: Mapping[str, Mapping[str, float]]  # arm -> score -> share of rows without one
    gain: Estimate  # distilled - alone
    recall_gain: tuple[Estimate, ...]  # distilled - alone, one per class
    share: Estimate  # of the gap between alone and teacher; undefined without a teacher's arm
    control: Estimate | None  # shuffled - alone: must cover or lie below zero
    control_smoothed: Estimate | None  # shuffled - alone with smoothed labels: the same
    beyond: Mapping[str, Estimate]  # distilled - each arm of BEYOND
    minus_alone: Mapping[str, Estimate]  # every other arm
    minus_alone_p: Mapping[str, float]  # of a paired t-test over seeds; not a number for one
    objections: tuple[str, ...]  # what the controls say against the gain
    finding: str

    @property
    def gain_p(self) -> float:
        return self.minus_alone_p["distilled"]


def summarise(comparison: Comparison, metric: str, teacher: str, has_pairs: bool = True) -> Summary:
    """`KeyError` for a metric or an arm that is not there; without pairs there is nothing to shuffle, and nobody misses it.

    `teacher` is the arm whose gap is closed, "" where none is trained for the task: what is learned from pairs alone has none.
    """
    alone, distilled = "alone", "distilled"
    first = comparison.arms[alone][0]
    metrics = metrics_of(first)
    if metric not in metrics:
        raise KeyError(f"unknown metric '{metric}'; there are {list(metrics)}")
    measure, classes = metrics[metric], range(first.probabilities.shape[1])
    scores = {arm: list(runs[0].scores) for arm, runs in comparison.arms.items()}
    minus_alone = {arm: comparison.difference(arm, alone, measure) for arm in comparison.arms if arm != alone}
    both = {"shuffled", "smoothed"} <= set(comparison.arms)
    minus_alone_p = {arm: comparison.paired_test(arm, alone, measure) for arm in minus_alone}
    control = minus_alone.get("shuffled")
    control_smoothed = comparison.difference("shuffled", "smoothed", measure) if both else None
    beyond = {arm: comparison.difference(distilled, arm, measure) for arm in BEYOND if arm in comparison.arms}
    share = comparison.gap_share(alone, distilled, teacher, measure) if teacher else UNDEFINED
    against = objections(control, control_smoothed, beyond)
    missing = doubts(comparison, has_pairs and control is None, minus_alone_p[distilled])
    every = {**metrics, "calibration_error": calibration_error}
    by_class = {} if first.target.ndim == 3 else scores
    return Summary(
        metric=metric,
        arms={arm: {name: comparison.estimate(arm, of) for name, of in every.items()} for arm in comparison.arms},
        recall={arm: tuple(comparison.estimate(arm, recall_of(k)) for k in classes) for arm in comparison.arms},
        scores={arm: {name: comparison.estimate(arm, mean_score(name)) for name in names} for arm, names in scores.items()},
        class_scores={
            arm: {name: tuple(comparison.estimate(arm, mean_score(name, k)) for k in classes) for name in names}
            for arm, names in by_class.items()
        },
        undefined={
            arm: {name: float(np.mean([undefined_rate(name)(run) for run in comparison.arms[arm]])) for name in names}
            for arm, names in scores.items()
        },
        gain=minus_alone[distilled],
        recall_gain=tuple(comparison.difference(distilled, alone, recall_of(k)) for k in classes),
        share=share,
        control=control,
        control_smoothed=control_smoothed,
        beyond=beyond,
        minus_alone=minus_alone,
        minus_alone_p=minus_alone_p,
        objections=against,
        finding=finding(minus_alone[distilled], share, metric, against, missing),
    )


def finding(gain: Estimate, share: Estimate, metric: str, against: Sequence[str], missing: Sequence[str]) -> str:
    """One sentence for the top of a report, and more where a control takes it back or is missing."""
    size = f"{points(gain)} of {metric.replace('_', ' ')} {span(gain)}"
    if gain.low <= 0 <= gain.high:
        return f"No evidence of a gain: distilled against the student alone is {size}, and the interval covers zero."
    if gain.mean < 0:
        return f"The distilled student is worse than the student alone by {size}."
    rest = f", {100 * share.mean:.0f} % of the gap to the teacher recovered" if share.defined else ""
    sentence = f"The distilled student is better than the student alone by {size}{rest}."
    sentence = " ".join([sentence, *(f"But {one}." for one in against)])
    return f"{sentence} ({_listed(missing)}: suggestive, not conclusive.)" if missing else sentence


def objections(control: Estimate | None, control_smoothed: Estimate | None, beyond: Mapping[str, Estimate]) -> tuple[str, ...]:
    """What takes a gain back: a control that gains as well, or one that the distilled student is not better than."""
    reasons = []
    if control is not None and control.low > 0:
        reasons.append(f"shuffled pairs gain too, {points(control)} {span(control)}: it is not the pairing that helps")
    if control_smoothed is not None and control_smoothed.low > 0:
        size = f"{points(control_smoothed)} {span(control_smoothed)}"
        reasons.append(f"shuffled pairs gain over smoothed labels too, {size}: it is not the pairing that helps")
    for arm, difference in beyond.items():
        if BEYOND[arm] and difference.low <= 0:
            reasons.append(BEYOND[arm].format(f"{points(difference)} {span(difference)}"))
    return tuple(reasons)


def doubts(comparison: Comparison, unshuffled: bool, gain_p: float) -> list[str]:
    """What makes a gain a sign and no proof."""
    reasons = ["one seed"] * (comparison.num_seeds == 1) + ["no shuffled pairs"] * unshuffled
    if comparison.num_clusters < FEW_CLUSTERS:
        reasons.append(f"only {comparison.num_clusters} groups of test rows")
    # so few seeds, drawn again and again, look steadier than they are: the interval alone is too sure
    return reasons + [f"p = {gain_p:.2g} over the seeds"] * (gain_p >= SIGNIFICANT)


def _listed(reasons: Sequence[str]) -> str:
    text = " and ".join(reasons)
    return text[0].upper() + text[1:]


def points(difference: Estimate) -> str:
    return f"{100 * difference.mean:+.1f} points"


def span(difference: Estimate) -> str:
    return f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
