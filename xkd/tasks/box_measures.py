"""What a detector is judged by: average precision, and of each image the share of boxes that are right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.statistics.average_precision import Matched, average_precision, match, verdicts
from xkd.statistics.measures import Each, Measure, Measures, RowScore
from xkd.statistics.metrics import Weighted
from xkd.statistics.runs import TestRun

SHOWN: Final = 0.3  # least score of a box that is drawn, written down or counted for one image
_TITLES: Final = {"ap50": "AP50", "ap": "AP", "ap75": "AP75"}
_PLACES: Final = {"ap50": slice(0, 1), "ap": slice(None), "ap75": slice(5, 6)}  # of OVERLAPS
_RUNS: Final = 64  # whose boxes stay matched: a comparison asks each of its runs many times
IMAGES_NOTE: Final = (
    "The images whose own share of right boxes (F1 at an overlap of one half) changed most, mean over seeds: above those that gained,"
    " below those that lost."
)

Floats = NDArray[np.float64]


def box_measures(classes: tuple[str, ...]) -> Measures:
    """AP50 first: with few objects it says most; a class without an object in the test split is left out of the mean."""
    count = len(classes)
    main = tuple(Measure(name, Weighted(MeanPrecision(count, name)), title) for name, title in _TITLES.items())
    return Measures(
        main=main,
        each=Each("ap50", "AP50", classes, lambda k: Measure("ap50", Weighted(ClassPrecision(count, k)), "AP50")),
        rows=RowScore(
            ImageScore(count),
            by_degrees=True,
            show=lambda share: f"{100 * share:.0f}",
            change=lambda share: f"{100 * share:+.0f}".replace("-", "\N{MINUS SIGN}"),
            columns=("image", "alone, % of boxes right", "distilled, % of boxes right", "change, points"),
            note=IMAGES_NOTE,
        ),
    )


@dataclass(frozen=True)
class MeanPrecision:
    """Of a run under weights of its rows (R, N), (R,): mean over the classes that are there, and over the overlaps of a measure."""

    classes: int
    name: str

    def __call__(self, run: TestRun, weights: Floats) -> Floats:
        values = np.stack([average_precision(of, weights)[:, _PLACES[self.name]].mean(1) for of in matched(run, self.classes)])
        known = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            mean: Floats = np.where(known, values, 0).sum(0) / known.sum(0)
        return mean


@dataclass(frozen=True)
class ClassPrecision:
    """AP50 of one class; not a number where no image of the resample has it."""

    classes: int
    k: int

    def __call__(self, run: TestRun, weights: Floats) -> Floats:
        value: Floats = average_precision(matched(run, self.classes)[self.k], weights)[:, 0]
        return value


@dataclass(frozen=True)
class ImageScore:
    """(N,) F1 of each image's boxes of a score of `SHOWN` or more at an overlap of one half; 1 where nothing is there, nor found."""

    classes: int

    def __call__(self, run: TestRun) -> Floats:
        return np.array([f1(found, truth, self.classes) for found, truth in zip(run.predictions, run.target, strict=True)])


def f1(found: NDArray[Any], truth: NDArray[Any], classes: int) -> float:
    """Of one image's boxes (M, 6) and targets (M, 5)."""
    right, wrong, objects = counts(found, truth, classes)
    whole = right + 0.5 * (wrong + objects - right)
    return right / whole if whole else 1.0


def counts(found: NDArray[Any], truth: NDArray[Any], classes: int) -> tuple[int, int, int]:
    """Boxes of an image that are right and wrong at an overlap of one half, and its objects."""
    right = wrong = objects = 0
    for k in range(classes):
        own = found[(found[:, 5] == k) & (found[:, 4] >= SHOWN)].astype(np.float64)
        said = verdicts(own[np.argsort(-own[:, 4], kind="stable")], truth.astype(np.float64), k)[0]
        right, wrong, objects = right + int((said == 1).sum()), wrong + int((said == 0).sum()), objects + int((truth[:, 4] == k).sum())
    return right, wrong, objects


class _Run:
    """A run as a key: it is the same where it holds the same arrays."""

    def __init__(self, run: TestRun) -> None:
        self.predictions, self.target = run.predictions, run.target

    def __hash__(self) -> int:
        return hash((id(self.predictions), id(self.target)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Run) and self.predictions is other.predictions and self.target is other.target


def matched(run: TestRun, classes: int) -> list[Matched]:
    return _matched(_Run(run), classes)


@lru_cache(maxsize=_RUNS)
def _matched(run: _Run, classes: int) -> list[Matched]:
    return match(run.predictions.astype(np.float64), run.target.astype(np.float64), classes)
