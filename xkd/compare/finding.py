"""What a comparison found: every arm's numbers, the gain, what the controls leave of it, and one sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xkd.compare.bootstrap import Comparison, Estimate
from xkd.compare.statistics import calibration_error, mean_score, metrics_of, recall_of, undefined_rate

SIGNIFICANT = 0.05
# arm -> what it means where the distilled student is not better than it; nothing, where the gain is no less the teacher's
BEYOND: Mapping[str, str] = {
    "shuffled": "beyond shuffled pairs it is {}: not shown to be the pairing's",
    "shuffled_within": "",
    "masks": "beyond what masks alone bring it is {}: not shown to be the teacher's",
    "same_sensor": "beyond the same teacher on the student's own sensor it is {}: not shown to be the second sensor's",
    "self_taught": "beyond a student that is its own teacher it is {}: not shown to be more than regularisation",
    "smoothed": "beyond smoothed labels it is {}: not shown to be more than regularisation",
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
    gain_p: float  # of a paired t-test over seeds
    recall_gain: tuple[Estimate, ...]  # distilled - alone, one per class
    share: Estimate  # of the gap between alone and teacher
    control: Estimate | None  # shuffled - alone: must cover or lie below zero
    control_smoothed: Estimate | None  # shuffled - alone with smoothed labels: the same
    beyond: Mapping[str, Estimate]  # distilled - each arm of BEYOND
    minus_alone: Mapping[str, Estimate]  # every other arm
    finding: str


def summarise(comparison: Comparison, metric: str, teacher: str, alone: str = "alone", distilled: str = "distilled") -> Summary:
    """`KeyError` for a metric or an arm that is not there."""
    first = comparison.arms[alone][0]
    metrics = metrics_of(first)
    if metric not in metrics:
        raise KeyError(f"unknown metric '{metric}'; there are {list(metrics)}")
    measure, classes = metrics[metric], range(first.probabilities.shape[1])
    scores = {arm: list(runs[0].scores) for arm, runs in comparison.arms.items()}
    minus_alone = {arm: comparison.difference(arm, alone, measure) for arm in comparison.arms if arm != alone}
    both = {"shuffled", "smoothed"} <= set(comparison.arms)
    control, gain_p = minus_alone.get("shuffled"), comparison.paired_test(distilled, alone, measure)
    beyond = {arm: comparison.difference(distilled, arm, measure) for arm in BEYOND if arm in comparison.arms}
    share = comparison.gap_share(alone, distilled, teacher, measure)
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
        gain_p=gain_p,
        recall_gain=tuple(comparison.difference(distilled, alone, recall_of(k)) for k in classes),
        share=share,
        control=control,
        control_smoothed=comparison.difference("shuffled", "smoothed", measure) if both else None,
        beyond=beyond,
        minus_alone=minus_alone,
        finding=finding(minus_alone[distilled], share, metric, control, beyond, comparison.num_seeds, gain_p),
    )


def finding(
    gain: Estimate, share: Estimate, metric: str, control: Estimate | None, beyond: Mapping[str, Estimate], num_seeds: int, gain_p: float
) -> str:
    """One sentence for the top of a report, and more where a control takes it back or is missing."""
    size = f"{points(gain)} of {metric.replace('_', ' ')} {span(gain)}"
    if gain.low <= 0 <= gain.high:
        return f"No evidence of a gain: distilled against the student alone is {size}, and the interval covers zero."
    if gain.mean < 0:
        return f"The distilled student is worse than the student alone by {size}."
    rest = f", {100 * share.mean:.0f} % of the gap to the teacher recovered" if share.defined else ""
    said = f"The distilled student is better than the student alone by {size}{rest}."
    if control is not None and control.low > 0:
        said += f" But shuffled pairs gain too, {points(control)} {span(control)}: it is not the pairing that helps."
    for arm, difference in beyond.items():
        if BEYOND[arm] and difference.low <= 0:
            said += f" But {BEYOND[arm].format(f'{points(difference)} {span(difference)}')}."
    missing = ["one seed"] * (num_seeds == 1) + ["no shuffled pairs"] * (control is None)
    # so few seeds, drawn again and again, look steadier than they are: the interval alone is too sure
    missing += [f"p = {gain_p:.2g} over the seeds"] * (gain_p >= SIGNIFICANT)
    return f"{said} ({_listed(missing)}: a sign, no proof.)" if missing else said


def _listed(reasons: list[str]) -> str:
    text = " and ".join(reasons)
    return text[0].upper() + text[1:]


def points(difference: Estimate) -> str:
    return f"{100 * difference.mean:+.1f} points"


def span(difference: Estimate) -> str:
    return f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
