"""The numbers of a comparison in files: summary.json holds everything, summary.csv a line for each arm and number."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.page.charts import Bins, losses
from xkd.evidence.particulars import Particulars
from xkd.statistics import LIFT, Attention, Estimate, Summary

COLUMNS = ("arm", "number", "mean", "std", "low", "high", "undefined")
_Line = tuple[str, Estimate, float]  # a number's name, its estimate, the share of rows without it


def as_json(arms: list[Arm], runs: Mapping[str, list[ArmRun]], summary: Summary, details: Particulars, seeds: int) -> dict[str, Any]:
    """Everything that the table and the page say, and where the checkpoints are."""
    return {
        "finding": summary.finding,
        "metric": summary.metric,
        "seeds": seeds,
        "gain": plain(summary.gain),
        "gain_p": number(summary.gain_p),
        **({f"{each.key}_gain": [plain(change) for change in summary.each_gain]} if (each := summary.measures.each) else {}),
        "share_of_gap": plain(summary.share),
        "shuffled_minus_alone": plain(summary.control),
        "shuffled_minus_smoothed": plain(summary.control_smoothed),
        "distilled_minus": {name: plain(difference) for name, difference in summary.beyond.items()},
        "minus_alone": {name: plain(difference) for name, difference in summary.minus_alone.items()},
        "minus_alone_p": {name: number(p) for name, p in summary.minus_alone_p.items()},
        # seeds in which each sample flipped, or the change of its score where answers are right by degrees
        "flips": {"gained": details.changed.gained, "lost": details.changed.lost},
        "cka": {readings: {"alone": number(alone), "distilled": number(after)} for readings, (alone, after) in details.likeness.items()},
        "about": summary.purpose.about,
        "attention": _attention(summary.attention),
        "arms": {arm.name: _arm(arm, runs[arm.name], summary, details) for arm in arms},
    }


def as_csv(summary: Summary) -> str:
    """One line for each arm and number; an undefined one is empty."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for arm in summary.arms:
        for name, of, undefined in _lines(arm, summary):
            values = (of.mean, of.std, of.low, of.high) if of.defined else (math.nan,) * 4
            table.writerow([arm, name, *("" if math.isnan(value) else f"{value:.6g}" for value in (*values, undefined))])
    return text.getvalue()


def _lines(arm: str, summary: Summary) -> Iterator[_Line]:
    scores, undefined = summary.scores[arm], summary.undefined[arm]
    key = summary.measures.each.key if summary.measures.each else ""
    by_name = {key: summary.each[arm], **summary.each_scores.get(arm, {})}
    if arm == "distilled":
        yield "gain", summary.gain, math.nan
        yield "share_of_gap", summary.share, math.nan
        by_name[f"{key}_gain"] = summary.each_gain
    if arm in summary.minus_alone:
        yield "minus_alone", summary.minus_alone[arm], math.nan
        yield "minus_alone_p", exact(summary.minus_alone_p[arm]), math.nan
    if summary.attention and (moved := summary.attention.arms.get(arm)):
        yield f"{LIFT}_minus_alone", moved.difference, math.nan
        yield f"{LIFT}_minus_alone_p", exact(moved.difference_p), math.nan
        yield f"{LIFT}_times_alone", moved.ratio, math.nan
        yield f"{LIFT}_times_alone_p", exact(moved.ratio_p), math.nan
    yield from ((name, of, math.nan) for name, of in summary.arms[arm].items())
    yield from ((name, of, undefined[name]) for name, of in scores.items())
    for key, each in by_name.items():
        for name, estimate in zip(summary.names, each, strict=True):
            yield f"{key} {name}", estimate, math.nan


def _arm(arm: Arm, runs: list[ArmRun], summary: Summary, details: Particulars) -> dict[str, Any]:
    return {
        "title": arm.title,
        "metrics": {name: plain(value) for name, value in summary.arms[arm.name].items()},
        **({each.key: [plain(value) for value in summary.each[arm.name]]} if (each := summary.measures.each) else {}),
        "scores": {name: plain(value) for name, value in summary.scores[arm.name].items()},
        "class_scores": {name: [plain(value) for value in of] for name, of in summary.each_scores.get(arm.name, {}).items()},
        "undefined": summary.undefined[arm.name],
        "calibration": calibration(runs, summary.measures.bins) if summary.measures.bins else [],
        "cost": asdict(details.costs[arm.name]),
        "training_loss": [losses(run) for run in runs],
        "validation": [run.validation for run in runs],
        "seconds": [run.seconds for run in runs],
        "peak_memory": [run.peak_memory for run in runs],
        "checkpoints": [str(run.checkpoint) for run in runs],
    }


def _attention(attention: Attention | None) -> dict[str, Any] | None:
    """Of every arm that was asked where it looks, against the student alone; None where nobody was."""
    if attention is None:
        return None
    return {
        "score": LIFT,
        "alone": plain(attention.alone),
        "arms": {
            arm: {
                "value": plain(moved.value),
                "minus_alone": plain(moved.difference),
                "minus_alone_p": number(moved.difference_p),
                "times_alone": plain(moved.ratio),
                "times_alone_p": number(moved.ratio_p),
            }
            for arm, moved in attention.arms.items()
        },
        "distilled_times": {arm: plain(ratio) for arm, ratio in attention.beyond.items()},
    }


def calibration(runs: Sequence[ArmRun], bins_of: Bins) -> list[dict[str, float]]:
    """The bins of confidence that have answers, all seeds together: how many, their mean confidence, the share of them that is right."""
    bins = np.sum([bins_of(run.test).sum(0) for run in runs], axis=0)
    return [{"count": count, "confidence": sure / count, "right": right / count} for count, sure, right in bins.tolist() if count]


def plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {key: number(value) for key, value in asdict(estimate).items()}


def number(value: float) -> float | None:
    """JSON has no word for what is not a number."""
    return None if math.isnan(value) else value


def exact(value: float) -> Estimate:
    return Estimate(value, math.nan, math.nan, math.nan, defined=value == value)
