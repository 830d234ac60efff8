"""How far numbers of pixels are from what a sensor measured, of the pixels that it did measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xkd.batch import Number
from xkd.statistics.chance import by_chance
from xkd.statistics.measures import SHARE, Each, Measure, Measures, Near, RowScore
from xkd.statistics.metrics import Summed, Sums, mean_of
from xkd.statistics.runs import TestRun, check_same_rows

CLOSE: Final = 1.25  # the factor of "delta < 1.25"
ROWS_NOTE: Final = "The images whose error changed most, mean over seeds: above those that came nearer to the sensor, below the others."
_MINUS: Final = "\N{MINUS SIGN}"
_Errors = Callable[[TestRun], NDArray[np.float64]]


@dataclass(frozen=True)
class PixelErrors:
    """Of predictions and targets (N, C, H, W), C quantities, NaN where nobody knows.

    An error is the mean of each image's known pixels, then over the quantities, then over the images in which something is known, as
    benchmarks of depth average: an image with few returns counts as much as one with many.
    """

    quantities: tuple[Number, ...]
    ratios: bool

    @property
    def _spans(self) -> NDArray[np.float64]:
        return np.array([number.range[1] - number.range[0] for number in self.quantities]).reshape(-1, 1, 1)

    @property
    def unit(self) -> str:
        """Of errors of all quantities together: theirs, or a share of the range where they have several."""
        units = {number.unit for number in self.quantities}
        return units.pop() if len(units) == 1 else SHARE

    def measures(self) -> Measures:
        return Measures(
            main=self._of_ratios() if self.ratios else self._of_differences(),
            each=Each(self._main, f"{self._title} of each quantity", tuple(number.name for number in self.quantities), self._of_one)
            if len(self.quantities) > 1
            else None,
            rows=RowScore(
                lambda run: -self._by_image(run),
                by_degrees=True,
                show=lambda score: self._shown(-score),
                change=lambda change: self._shown(-change, "+").replace("-", _MINUS),
                columns=("image", "error alone", "error distilled", "change of the error"),
                note=ROWS_NOTE,
            ),
            near=Near(self._distance, {"distance": ("distance from its numbers", self.unit)}),
            chance=lambda run: by_chance(self.share(run.predictions), self.share(run.target), _agree),
            scale=self.share,
        )

    def _of_ratios(self) -> tuple[Measure, ...]:
        """As in Eigen et al., NeurIPS 2014, arXiv:1406.2283, section 4.2."""
        return (
            Measure("abs_rel", _mean(self._relative), "AbsRel", SHARE, higher=False),
            Measure("rmse", _mean(self._root), "RMSE", self.unit, higher=False),
            Measure("delta", _mean(self._close), f"delta < {CLOSE}", SHARE),
        )

    def _of_differences(self) -> tuple[Measure, ...]:
        return (
            Measure("mae", _mean(self._absolute), "MAE", self.unit, higher=False),
            Measure("rmse", _mean(self._root), "RMSE", self.unit, higher=False),
            Measure("r2", Summed(self._deviations, _explained), "R2", ""),
        )

    @property
    def _main(self) -> str:
        return "abs_rel" if self.ratios else "mae"

    @property
    def _title(self) -> str:
        return "AbsRel" if self.ratios else "MAE"

    @property
    def _errors(self) -> _Errors:
        """(N, C), of the measure that counts first."""
        return self._relative if self.ratios else self._absolute

    def _by_image(self, run: TestRun) -> NDArray[np.float64]:
        return _over_known(self._errors(run))

    def _of_one(self, k: int) -> Measure:
        number = self.quantities[k]
        own = PixelErrors((number,), self.ratios)

        def of_one(run: TestRun) -> Sums:
            one = TestRun(run.rows, run.predictions[:, k : k + 1], run.target[:, k : k + 1], run.clusters)
            return _counted(own._by_image(one))

        return Measure(f"{self._main} {number.name}", Summed(of_one, mean_of), number.name, SHARE if self.ratios else number.unit, False)

    def share(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(values / self._spans)

    def _differences(self, run: TestRun) -> NDArray[np.float64]:
        """(N, C, H, W) in the unit of all quantities together, NaN where nobody knows."""
        differences = _answers(run) - run.target
        return np.asarray(self.share(differences) if self.unit == SHARE else differences, np.float64)

    def _absolute(self, run: TestRun) -> NDArray[np.float64]:
        return _over_pixels(np.abs(self._differences(run)))

    def _root(self, run: TestRun) -> NDArray[np.float64]:
        return np.sqrt(_over_pixels(np.square(self._differences(run))))

    def _relative(self, run: TestRun) -> NDArray[np.float64]:
        target = _positive(run)
        return _over_pixels(np.abs(_answers(run) - target) / target)

    def _close(self, run: TestRun) -> NDArray[np.float64]:
        target, ours = _positive(run), run.predictions.astype(np.float64)
        near = (ours < CLOSE * target) & (target < CLOSE * ours)
        return _over_pixels(np.where(np.isnan(target), np.nan, near))

    def _deviations(self, run: TestRun) -> Sums:
        """(N, C, 4), added up over known pixels: squared error, target from the range's middle, its square, one."""
        middles = np.array([sum(number.range) / 2 for number in self.quantities]).reshape(-1, 1, 1)
        target = run.target.astype(np.float64) - middles
        error = run.predictions.astype(np.float64) - run.target
        parts = np.stack([np.square(error), target, np.square(target), np.ones_like(target)], axis=-1)
        return np.asarray(np.where(np.isnan(target)[..., None], 0.0, parts).sum((2, 3)))

    def _distance(self, student: TestRun, teacher: TestRun) -> dict[str, NDArray[np.float64]]:
        """Over all pixels, those that the sensor did not measure too."""
        check_same_rows(student, teacher)
        theirs = TestRun(student.rows, student.predictions, teacher.predictions, student.clusters)
        return {"distance": _over_known(self._absolute(theirs))}

    def _shown(self, value: float, sign: str = "") -> str:
        if self.ratios:
            return f"{100 * value:{sign}.1f} %"
        return f"{100 * value:{sign}.1f} % of the range" if self.unit == SHARE else f"{value:{sign}.3g} {self.unit}".rstrip()


def _answers(run: TestRun) -> NDArray[np.float64]:
    """An answer that is not a number is as wrong as can be, and no pixel that nobody knows."""
    return np.nan_to_num(run.predictions.astype(np.float64), nan=np.inf, posinf=np.inf, neginf=-np.inf)


def _positive(run: TestRun) -> NDArray[np.float64]:
    """Targets that have ratios; others are unknown."""
    target = run.target.astype(np.float64)
    return np.where(target > 0, target, np.nan)


def _mean(of: _Errors) -> Summed:
    return Summed(lambda run: _counted(_over_known(of(run))), mean_of)


def _over_pixels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) of (N, C, H, W): the mean of what is a number, NaN where nothing is."""
    return _over_known(values.reshape(*values.shape[:2], -1))


def _over_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the last axis of what is a number, NaN where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(-1) / known.sum(-1))


def _counted(values: NDArray[np.float64]) -> Sums:
    """What is infinite makes every sum that it is in not a number."""
    known = ~np.isnan(values)
    return np.stack([np.where(known, np.where(np.isinf(values), np.nan, values), 0.0), known], axis=-1)


def _explained(sums: Sums) -> NDArray[np.float64]:
    """1 - squared error / squared deviation from the mean of all known pixels, mean over the quantities."""
    error, target, square, count = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = square - target**2 / count
        explained: NDArray[np.float64] = np.where(spread > 1e-12 * square, 1 - error / spread, np.nan).mean(-1)
    return explained


def _agree(ours: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """The mean error of the pixels that both know, below zero; the least there is where they share none."""
    error = np.abs(ours - truth)
    known = ~np.isnan(error)
    return -float(error[known].mean()) if known.any() else -np.inf
