"""Frames of two clocks: which belong together, and by how much one clock is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]  # (N,) seconds, rising

_FEWEST = 5  # matches below which an offset is an accident
_ALIKE: Final = 0.8  # share of the best score from which a second offset is as good an answer
_STEPS = 4  # of the search per width of an optimum
_MOST_SHIFTS = 200_000


@dataclass(frozen=True)
class Optimum:
    """A shift of the other clock in seconds, with what it gives: matched frames and the median of their absolute differences."""

    shift: float
    matches: int
    residual: float

    def __str__(self) -> str:
        return f"{self.shift:+.4f} s ({self.matches} matches, median residual {self.residual * 1000:.1f} ms)"


def match(anchor: Times, other: Times, tolerance: float) -> list[tuple[int, int]]:
    """Pairs of places that are each other's nearest, at most `tolerance` seconds apart; a frame is in one pair at most."""
    if not len(anchor) or not len(other):
        return []
    forth, back = _nearest(anchor, other), _nearest(other, anchor)
    own = np.arange(len(anchor))
    kept = (back[forth] == own) & (np.abs(other[forth] - anchor) <= tolerance)
    return list(zip(own[kept].tolist(), forth[kept].tolist(), strict=True))


def estimate_offset(anchor: Times, other: Times, tolerance: float, centre: float, reach: float) -> tuple[Optimum, Optimum]:
    """Seconds to add to the other clock, within `reach` of `centre`, and the second best answer that is not next to it.

    The score of a shift is the number of matches, each weighed from 1 (no residual) down to 0 at the width: `tolerance`, or
    half the median frame interval where that is less (further off, a frame meets another partner). Raises `ValueError`
    where the second score is close to the first: with an even frame rate every whole interval is as good an answer.
    """
    width = min(tolerance, *(float(np.median(np.diff(times))) / 2 for times in (anchor, other) if len(times) > 1))
    step = width / _STEPS
    if reach / step * 2 > _MOST_SHIFTS:
        raise ValueError(f"a search of +-{reach:g} s in steps of {step:g} s is too long; lower --max-offset, or start it with --offset")
    shifts = centre + np.arange(-np.ceil(reach / step), np.ceil(reach / step) + 1) * step
    scores = np.array([_score(anchor, other + shift, width) for shift in shifts])
    best = _refined(anchor, other, float(shifts[scores.argmax()]), width)
    away = np.abs(shifts - best) > width
    second = _refined(anchor, other, float(shifts[away][scores[away].argmax()]), width) if away.any() else best
    first, runner = (_optimum(anchor, other, shift, tolerance) for shift in (best, second))
    if first.matches < _FEWEST:
        raise ValueError(f"no offset within {reach:g} s of {centre:g} s gives {_FEWEST} matches; the best is {first}; see --max-offset")
    if abs(best - centre) > reach - width:
        raise ValueError(f"the best offset, {first}, lies at the end of the search of +-{reach:g} s about {centre:g} s; raise --max-offset")
    if _score(anchor, other + second, width) > _ALIKE * _score(anchor, other + best, width):
        raise ValueError(
            f"the offset is ambiguous: {first}, but also {runner}; times alone do not tell (an even frame rate never does): "
            "measure it, and give it with --offset"
        )
    return first, runner


def _nearest(times: Times, among: Times) -> NDArray[np.int64]:
    right = np.clip(np.searchsorted(among, times), 1, max(len(among) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(among) - 1)
    return np.where(times - among[left] <= among[right] - times, left, right)


def _differences(anchor: Times, other: Times, within: float) -> Times:
    pairs = np.array(match(anchor, other, within), np.int64).reshape(-1, 2)
    return anchor[pairs[:, 0]] - other[pairs[:, 1]]


def _score(anchor: Times, other: Times, width: float) -> float:
    return float((1 - np.abs(_differences(anchor, other, width)) / width).sum())


def _refined(anchor: Times, other: Times, shift: float, width: float) -> float:
    differences = _differences(anchor, other + shift, width)
    return shift + float(np.median(differences)) if len(differences) else shift


def _optimum(anchor: Times, other: Times, shift: float, tolerance: float) -> Optimum:
    differences = np.abs(_differences(anchor, other + shift, tolerance))
    return Optimum(shift, len(differences), float(np.median(differences)) if len(differences) else float("nan"))
