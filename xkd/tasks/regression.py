"""Regression: one number or several of a whole image, such as a severity, a share of the leaf or a temperature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from xkd.batch import Annotation, Batch, Number
from xkd.losses.precision import widen
from xkd.networks.logits import no_tensor
from xkd.statistics.chance import by_chance
from xkd.statistics.measures import SHARE, Each, Measure, Measures, Near, RowScore
from xkd.statistics.metrics import Summed, Sums, Weighted, mean_of
from xkd.statistics.runs import TestRun, check_same_rows
from xkd.tasks.task import TOLERANCE, Reply, Task

ROWS_NOTE: Final = "The images whose number changed most, mean over seeds: above those that came nearer to the truth, below the others."
_MINUS: Final = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Regression(Task):
    """Outputs (B, D) are the numbers in their units, or (B, 2 D) with the logarithm of each one's variance behind them.

    The network's own outputs are shares of half of each number's range, counted from its middle, so that a fresh head begins inside and
    rates of learning do not depend on the unit; of a variance, the logarithm of its square in that measure. Targets are (B, D). In a
    config `numbers=dict(type=xkd.numbers, root=data)` takes the names, units and ranges from the manifest.

    Judged by the mean absolute error first. Several numbers of unlike units are measured as shares of their ranges, and each on its own.
    """

    numbers: tuple[Number, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", tuple(self.numbers))
        if not self.numbers or len(set(self.names)) < len(self.numbers):
            raise ValueError(f"regression needs one number or several of different names, got {list(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(number.name for number in self.numbers)

    @property
    def noun(self) -> str:
        return "numbers"

    @property
    def annotation(self) -> Annotation:
        return Annotation("numbers", self.names, self.numbers)

    @property
    def described(self) -> tuple[str, ...]:
        return tuple(number.described for number in self.numbers)

    @classmethod
    def of_labels(cls, annotation: Annotation) -> Regression | None:
        return cls(annotation.numbers) if annotation.kind == "numbers" else None

    def misfit(self, annotation: Annotation, where: str) -> str:
        if annotation.kind != "numbers" or annotation == self.annotation:
            return super().misfit(annotation, where)
        return f"the task's numbers {list(self.described)} are not those of {where}: {[number.described for number in annotation.numbers]}"

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b d"]:
        output, count = model(images), len(self.numbers)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.shape[1:] not in ((count,), (2 * count,)):
            raise ValueError(
                f"the network gives {tuple(output.shape)}, regression of {count} numbers {list(self.names)} needs (batch, {count}), or"
                f" (batch, {2 * count}) with the logarithm of each one's variance: make it with num_classes={count}"
            )
        return self.in_units(output)

    def in_units(self, raw: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        raw = widen(raw)  # half precision has 3 digits: too few for a small deviation from a middle of 300
        middle, half, count = raw.new_tensor(self._middles), raw.new_tensor(self._spans) / 2, len(self.numbers)
        numbers = middle + half * raw[:, :count]
        return numbers if raw.shape[1] == count else torch.cat([numbers, raw[:, count:] + 2 * half.log()], 1)

    def predict(self, output: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        return output[:, : len(self.numbers)].float()

    def choose(self, output: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        return torch.zeros(len(output), dtype=torch.long, device=output.device)

    def score(self, output: Float[Tensor, "b d"], chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        """Of all numbers together, as shares of their ranges."""
        return (output[:, : len(self.numbers)] / output.new_tensor(self._spans)).sum()

    def loss(self, output: Float[Tensor, "b d"], target: Float[Tensor, "b n"]) -> Float[Tensor, ""]:
        """Mean square of the errors, as shares of the ranges."""
        return ((self.predict(output) - target) / target.new_tensor(self._spans)).square().mean()

    def example_target(self, rows: int, size: tuple[int, int]) -> Float[Tensor, "b n"]:
        place = (torch.arange(rows)[:, None] + 0.5) / rows - 0.5
        return torch.tensor(self._middles) + place * torch.tensor(self._spans)

    @property
    def _spans(self) -> list[float]:
        return [number.range[1] - number.range[0] for number in self.numbers]

    @property
    def _middles(self) -> list[float]:
        return [(number.range[1] + number.range[0]) / 2 for number in self.numbers]

    @property
    def _unit(self) -> str:
        """Of errors of all numbers together: theirs, or a share of the range where they have several."""
        units = {number.unit for number in self.numbers}
        return units.pop() if len(units) == 1 else SHARE

    def measures(self) -> Measures:
        unit = self._unit
        return Measures(
            main=(
                Measure("mae", Summed(self._absolute, mean_of), "MAE", unit, higher=False),
                Measure("rmse", Summed(self._squares, lambda sums: np.sqrt(mean_of(sums))), "RMSE", unit, higher=False),
                Measure("r2", Summed(self._deviations, _explained), "R2", ""),
                Measure("spearman", Weighted(_rank_correlation), "Spearman's rho", ""),
            ),
            each=Each("mae", "MAE of each number", self.names, self._mae_of) if len(self.numbers) > 1 else None,
            probed="r2",
            rows=RowScore(
                lambda run: -self._errors(run).mean(1),
                by_degrees=True,
                show=lambda score: f"{self._shown(-score)}",
                change=lambda change: f"{self._shown(-change, '+')}".replace("-", _MINUS),
                columns=("image", "error alone", "error distilled", "change of the error"),
                note=ROWS_NOTE,
            ),
            near=Near(self._distance, {"distance": ("distance from its numbers", unit)}),
            chance=lambda run: by_chance(run.predictions, run.target, lambda ours, truth: -float(np.abs(self._share(ours - truth)).mean())),
            scale=self._share,
        )

    def _share(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(values.reshape(len(values), -1) / np.array(self._spans))

    def _errors(self, run: TestRun) -> NDArray[np.float64]:
        """(N, D) absolute ones, in the unit of all numbers together."""
        errors = np.abs(run.predictions.astype(np.float64) - run.target)
        return np.asarray(self._share(errors) if self._unit == SHARE else errors, np.float64)

    def _absolute(self, run: TestRun) -> Sums:
        return _with_count(self._errors(run).mean(1))

    def _squares(self, run: TestRun) -> Sums:
        return _with_count(np.square(self._errors(run)).mean(1))

    def _mae_of(self, k: int) -> Measure:
        def sums(run: TestRun) -> Sums:
            return _with_count(np.abs(run.predictions[:, k].astype(np.float64) - run.target[:, k]))

        number = self.numbers[k]
        return Measure(f"mae {number.name}", Summed(sums, mean_of), number.name, number.unit, higher=False)

    def _deviations(self, run: TestRun) -> Sums:
        """(N, D, 4): squared error, target from the range's middle, its square, one."""
        target = run.target.astype(np.float64) - np.array(self._middles)
        error = run.predictions.astype(np.float64) - run.target
        return np.stack([np.square(error), target, np.square(target), np.ones_like(target)], axis=-1)

    def _distance(self, student: TestRun, teacher: TestRun) -> dict[str, NDArray[np.float64]]:
        check_same_rows(student, teacher)
        return {"distance": self._errors(TestRun(student.rows, student.predictions, teacher.predictions, student.clusters)).mean(1)}

    def _shown(self, value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f} % of the range" if self._unit == SHARE else f"{value:{sign}.3g} {self._unit}".rstrip()

    def answer(self, prediction: Float[Tensor, " n"], target: Float[Tensor, " n"] | None = None) -> Reply:
        values = dict(zip(self.names, prediction.tolist(), strict=True))
        said = self._said(prediction)
        off = "" if target is None else f", off by {self._said((prediction - target).abs(), units=False)}"
        return Reply(said, f"{said}{off}", values=values, cells=tuple(f"{value:.6g}" for value in values.values()))

    def truth(self, target: Float[Tensor, " n"]) -> Reply:
        return Reply(self._said(target), values=dict(zip(self.names, target.tolist(), strict=True)))

    def _said(self, values: Tensor, units: bool = True) -> str:
        shown = [
            f"{value:.3g} {number.unit if units else ''}".rstrip() for number, value in zip(self.numbers, values.tolist(), strict=True)
        ]
        return shown[0] if len(shown) == 1 else ", ".join(f"{name} {text}" for name, text in zip(self.names, shown, strict=True))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{number.name} [{number.unit}]" if number.unit else number.name for number in self.numbers)

    @property
    def recipe(self) -> Mapping[str, Any]:
        return {"kind": "numbers", "names": list(self.names), "columns": list(self.columns)}

    @property
    def outputs(self) -> Mapping[str, str]:
        return {"numbers": f"(batch, {len(self.numbers)}) float32: {', '.join(self.described)}"}

    @property
    def tolerance(self) -> float:
        return TOLERANCE * max(self._spans)


def _with_count(values: NDArray[np.float64]) -> Sums:
    return np.stack([values, np.ones_like(values)], axis=-1)


def _explained(sums: Sums) -> NDArray[np.float64]:
    """1 - squared error / squared deviation from the mean, mean over the numbers; not a number where all targets are the same."""
    error, target, square, count = np.moveaxis(sums, -1, 0)
    spread = square - target**2 / count
    with np.errstate(invalid="ignore", divide="ignore"):
        explained: NDArray[np.float64] = np.where(spread > 1e-12 * square, 1 - error / spread, np.nan).mean(-1)
    return explained


def _rank_correlation(run: TestRun, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) Spearman's, of rows that stand as often as their weight says, ties sharing a rank; mean over the numbers."""
    values = []
    for ours, truth in zip(run.predictions.T, run.target.T, strict=True):
        one, other = (_centred(_ranks(of, weights), weights) for of in (ours, truth))
        with np.errstate(invalid="ignore", divide="ignore"):
            together = (weights * one * other).sum(1)
            values.append(together / np.sqrt((weights * one**2).sum(1) * (weights * other**2).sum(1)))
    return np.asarray(np.mean(values, axis=0))


def _ranks(values: NDArray[np.floating], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R, N) the middle of the places that a row and those of its value take."""
    place = np.unique(values, return_inverse=True)[1].reshape(-1)
    held = np.zeros((len(weights), int(place.max()) + 1))
    np.add.at(held.T, place, weights.T)
    return np.asarray((held.cumsum(1) - held / 2)[:, place])


def _centred(ranks: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(ranks - (weights * ranks).sum(1, keepdims=True) / weights.sum(1, keepdims=True))
