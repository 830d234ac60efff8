"""What a comparison found: every arm's numbers, the gain, what the controls leave of it, and one sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from xkd.statistics.attention import UNMEASURED, Attention, attention, sentence
from xkd.statistics.bootstrap import Comparison
from xkd.statistics.estimate import UNDEFINED, Estimate
from xkd.statistics.measures import Each, Measure, Measures
from xkd.statistics.metrics import Statistic, mean_score, undefined_rate

SIGNIFICANT = 0.05
FEW_CLUSTERS = 10  # a bootstrap of fewer draws little but the same ones again: its intervals are too narrow
# arm -> what it means where the distilled student is not better than it; nothing, where the gain is no less the teacher's
BEYOND: Mapping[str, str] = {
    "shuffled": "beyond shuffled pairs it is {}: not shown to be the pairing's",
    "shuffled_within": "",
    "shuffled_masks": "beyond masks of other rows it is {}: not shown to be what the masks show",
    "masks": "beyond what masks alone bring it is {}: not shown to be the teacher's",
    "same_sensor": "beyond the same teacher on the student's own sensor it is {}: not shown to be the second sensor's",
    "self_taught": "beyond a student that is its own teacher it is {}: not shown to be more than regularisation",
    "smoothed": "beyond smoothed labels it is {}: not shown to be more than regularisation",
    "scratch": "beyond the student from scratch it is {}: not shown that it needs any weights",
    "longer": "beyond the student alone with as many steps it is {}: not shown to be the pairs'",
}

About = Literal["gain", "attention"]
ABOUT: Final[tuple[About, ...]] = ("gain", "attention")


@dataclass(frozen=True)
class Purpose:
    """What a comparison's first sentence is about, and what its student is called."""

    about: About = "gain"
    student: str = "distilled"


@dataclass(frozen=True)
class Summary:
    """What a comparison found; `share`, `gain` and the differences are in the measure that it is judged by.

    Differences are as they are subtracted: of a measure of which less is better, a gain is below zero.
    """

    measure: Measure
    measures: Measures
    arms: Mapping[str, Mapping[str, Estimate]]  # arm -> measure -> estimate; those that have their own table come last
    each: Mapping[str, tuple[Estimate, ...]]  # arm -> the task's measure of each name, such as the recall of a class
    scores: Mapping[str, Mapping[str, Estimate]]  # arm -> score of its rows, such as "epg" -> estimate
    each_scores: Mapping[str, Mapping[str, tuple[Estimate, ...]]]  # the same over the rows of each name
    undefined: Mapping[str, Mapping[str, float]]  # arm -> score -> share of rows without one
    gain: Estimate  # distilled - alone
    each_gain: tuple[Estimate, ...]  # distilled - alone, of each name
    share: Estimate  # of the gap between alone and teacher; undefined without a teacher's arm
    control: Estimate | None  # shuffled - alone: must not be better
    control_smoothed: Estimate | None  # shuffled - alone with smoothed labels: the same
    beyond: Mapping[str, Estimate]  # distilled - each arm of BEYOND
    minus_alone: Mapping[str, Estimate]  # every other arm
    minus_alone_p: Mapping[str, float]  # of a paired t-test over seeds; not a number for one
    objections: tuple[str, ...]  # what the controls say against the gain
    attention: Attention | None  # None where nobody asked where the networks look
    purpose: Purpose
    finding: str

    @property
    def metric(self) -> str:
        return self.measure.name

    @property
    def gain_p(self) -> float:
        return self.minus_alone_p["distilled"]

    @property
    def names(self) -> tuple[str, ...]:
        """Of what is measured one by one; () for a task that measures nothing so."""
        return self.measures.each.names if self.measures.each else ()


def summarise(
    comparison: Comparison, measures: Measures, metric: str, teacher: str, has_pairs: bool = True, purpose: Purpose = Purpose()
) -> Summary:
    """`KeyError` for a metric or an arm that is not there; without pairs there is nothing to shuffle, and nobody misses it.

    `teacher` is the arm whose gap is closed, "" where none is trained for the task: what is learned from pairs alone has none.
    """
    alone, distilled = "alone", "distilled"
    measure, arms = measures.named(metric), comparison.arms
    judged = measure.statistic
    minus_alone = {arm: comparison.difference(arm, alone, judged) for arm in arms if arm != alone}
    minus_alone_p = {arm: comparison.paired_test(arm, alone, judged) for arm in minus_alone}
    control = minus_alone.get("shuffled")
    control_smoothed = comparison.difference("shuffled", "smoothed", judged) if {"shuffled", "smoothed"} <= set(arms) else None
    beyond = {arm: comparison.difference(distilled, arm, judged) for arm in BEYOND if arm in arms}
    share = comparison.gap_share(alone, distilled, teacher, measure) if teacher else UNDEFINED
    against = objections(measure, control, control_smoothed, beyond)
    missing = doubts(comparison, has_pairs and (control is None or not control.defined), minus_alone_p[distilled])
    gain, looks = minus_alone[distilled], attention(comparison)
    gap = no_gap(measure, minus_alone[teacher], beyond.get("shuffled"), purpose.student) if teacher else ""
    gains = f"{finding(measure, gain, share, against, missing, purpose.student)} {gap}".strip()
    scores = {arm: list(runs[0].scores) for arm, runs in arms.items()}
    each = [measures.each.measure(k).statistic for k in range(len(measures.each.names))] if measures.each else []
    return Summary(
        measure=measure,
        measures=measures,
        arms={arm: {of.name: comparison.estimate(arm, of.statistic) for of in (*measures.main, *measures.aside)} for arm in arms},
        each={arm: tuple(comparison.estimate(arm, of) for of in each) for arm in arms},
        scores={arm: {name: comparison.estimate(arm, mean_score(name)) for name in names} for arm, names in scores.items()},
        each_scores=_each_scores(comparison, measures.each, scores),
        undefined={
            arm: {name: float(np.mean([undefined_rate(name)(run) for run in arms[arm]])) for name in names} for arm, names in scores.items()
        },
        gain=gain,
        each_gain=tuple(comparison.difference(distilled, alone, of) for of in each),
        share=share,
        control=control,
        control_smoothed=control_smoothed,
        beyond=beyond,
        minus_alone=minus_alone,
        minus_alone_p=minus_alone_p,
        objections=against,
        attention=looks,
        purpose=purpose,
        finding=in_order(purpose.about, gains, beside(measure, gain, minus_alone_p[distilled], against), gap, looks, comparison),
    )


def _each_scores(
    comparison: Comparison, each: Each | None, scores: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, tuple[Estimate, ...]]]:
    if each is None or each.members is None:
        return {}
    first = next(iter(comparison.arms.values()))[0]  # all have its rows and targets
    members = [each.members(first, k) for k in range(len(each.names))]

    def one_by_one(arm: str, name: str) -> tuple[Estimate, ...]:
        statistics: list[Statistic] = [mean_score(name, those) for those in members]
        return tuple(comparison.estimate(arm, of) for of in statistics)

    return {arm: {name: one_by_one(arm, name) for name in names} for arm, names in scores.items()}


def in_order(about: About, gains: str, aside: str, gap: str, looks: Attention | None, comparison: Comparison) -> str:
    """The whole finding: what it is about comes first; a gain that it is not about stands `aside`, in the sentence on attention."""
    if looks is None or not looks.measured:
        return f"{UNMEASURED} {gains}" if about == "attention" else gains
    sure = looks.moved.toward or looks.moved.away
    missing = doubts(comparison, False, looks.moved.p) if sure else []
    rest = [*(f"But {one}." for one in looks.objections), *([suggestive(missing)] if missing else [])]
    if about == "gain":
        return " ".join([gains, f"{sentence(looks)}.", *rest])
    return " ".join([f"{sentence(looks)}, {aside}", *rest, *([gap] if gap else [])])


def beside(measure: Measure, gain: Estimate, p: float, against: Sequence[str]) -> str:
    """What else the student's steering has changed: "and accuracy changes by +4.9 points [-1.4, +11.7], p = 0.19."."""
    if not gain.defined:
        return f"and {measure.words} is not a number in some seed."
    size = f"{measure.change(gain)} {measure.span(gain)}" + (f", p = {p:.2g}" if p == p else "")
    size += "" if measure.higher else ", of which less is better"
    if measure.worse(gain):
        return f"but {measure.words} is worse: {size}."
    if measure.better(gain):
        return " ".join([f"and {measure.words} is better: {size}.", *(f"But {one}." for one in against)])
    return f"and {measure.words} changes by {size}."


def no_gap(measure: Measure, gap: Estimate, beyond_shuffled: Estimate | None, student: str = "distilled") -> str:
    """Of a teacher that is no better than the student alone, and what is left to go by; "" for any other."""
    if not gap.defined or measure.better(gap):
        return ""
    how = "worse" if measure.worse(gap) else "not clearly better"
    left = "the gain"
    if beyond_shuffled is not None and beyond_shuffled.defined:
        left += f", and {student} minus shuffled pairs, {measure.change(beyond_shuffled)} {measure.span(beyond_shuffled)}"
    size = f"{measure.change(gap)} {measure.span(gap)}"
    return f"The teacher is {how} than the student alone ({size}), so there is no gap to share; what is left to go by is {left}."


def finding(
    measure: Measure, gain: Estimate, share: Estimate, against: Sequence[str], missing: Sequence[str], student: str = "distilled"
) -> str:
    """One sentence for the top of a report, and more where a control takes it back or is missing."""
    if not gain.defined:
        return f"No evidence of a gain: {measure.words} of the student alone or of the {student} one is not a number in some seed."
    size = f"{measure.change(gain)} of {measure.words} {measure.span(gain)}"
    if gain.low <= 0 <= gain.high:
        return f"No evidence of a gain: {student} against the student alone is {size}, and the interval covers zero."
    by = f" by {size}" if measure.higher else f": {size}, of which less is better"
    if measure.worse(gain):
        return f"The {student} student is worse than the student alone{by}."
    gap = f"{100 * share.mean:.0f} % of the gap to the teacher recovered" if share.mean <= 1 else "more than the gap to the teacher"
    rest = f", {gap}" if share.defined else ""
    text = f"The {student} student is better than the student alone{by}{rest}."
    text = " ".join([text, *(f"But {one}." for one in against)])
    return f"{text} {suggestive(missing)}" if missing else text


def objections(
    measure: Measure, control: Estimate | None, control_smoothed: Estimate | None, beyond: Mapping[str, Estimate]
) -> tuple[str, ...]:
    """What takes a gain back: a control that gains as well, or one that the distilled student is not better than."""
    reasons = []

    def size(difference: Estimate) -> str:
        if not difference.defined:
            return "not a number in some seed"
        return f"{measure.change(difference)} {measure.span(difference)}"

    if control is not None and measure.better(control):
        reasons.append(f"shuffled pairs gain too, {size(control)}: it is not the pairing that helps")
    if control_smoothed is not None and measure.better(control_smoothed):
        reasons.append(f"shuffled pairs gain over smoothed labels too, {size(control_smoothed)}: it is not the pairing that helps")
    for arm, difference in beyond.items():
        if BEYOND[arm] and not measure.better(difference):
            reasons.append(BEYOND[arm].format(size(difference)))
    return tuple(reasons)


def doubts(comparison: Comparison, unshuffled: bool, gain_p: float) -> list[str]:
    """What makes a gain a sign and no proof."""
    reasons = ["one seed"] * (comparison.num_seeds == 1) + ["no shuffled pairs"] * unshuffled
    if comparison.num_clusters < FEW_CLUSTERS:
        reasons.append(f"only {comparison.num_clusters} groups of test rows")
    # so few seeds, drawn again and again, look steadier than they are: the interval alone is too sure
    return reasons + [f"p = {gain_p:.2g} over the seeds"] * (gain_p >= SIGNIFICANT)


def suggestive(reasons: Sequence[str]) -> str:
    text = " and ".join(reasons)
    return f"({text[0].upper()}{text[1:]}: suggestive, not conclusive.)"
