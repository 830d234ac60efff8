"""What a trained network said of the test rows, and rows that all networks have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TestRun:
    """One trained network on the labelled test rows that have its sensor; predictions and targets are as its task has them."""

    rows: NDArray[np.str_]  # (N,) ids
    predictions: NDArray[np.float32]  # (N, ...)
    target: NDArray[Any]  # (N, ...)
    clusters: NDArray[np.str_]  # (N,) what is resampled together: the image that a crop is from, the plant, the drive
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # (N,) each, such as "epg"; not a number where undefined

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.rows, self.predictions, self.target, self.clusters, *self.scores.values())}
        if len(lengths) != 1:
            raise ValueError(f"a run's columns have unlike lengths {sorted(lengths)}")

    def at(self, chosen: NDArray[np.int64]) -> TestRun:
        """The same with these rows alone, in this order."""
        scores = {name: score[chosen] for name, score in self.scores.items()}
        return TestRun(self.rows[chosen], self.predictions[chosen], self.target[chosen], self.clusters[chosen], scores)

    def scored(self, more: Mapping[str, NDArray[np.float64]]) -> TestRun:
        """The same with further scores."""
        return replace(self, scores={**self.scores, **more})


def on_common_rows(arms: Mapping[str, Sequence[TestRun]]) -> dict[str, list[TestRun]]:
    """Every run on the rows that all have, in one order; `ValueError` where there are none."""
    runs = [run for arm in arms.values() for run in arm]
    common = sorted(set.intersection(*({str(row) for row in run.rows} for run in runs)))
    if not common:
        raise ValueError(f"no labelled test row has the sensors of all arms {list(arms)}, so they cannot be compared")
    return {name: [_pick(run, common) for run in arm] for name, arm in arms.items()}


def _pick(run: TestRun, rows: list[str]) -> TestRun:
    place = {str(row): at for at, row in enumerate(run.rows)}
    return run.at(np.array([place[row] for row in rows]))


def check_same_rows(student: TestRun, teacher: TestRun) -> None:
    """`ValueError` where two runs cannot be compared row by row."""
    if not np.array_equal(student.rows, teacher.rows) or student.predictions.shape != teacher.predictions.shape:
        shapes = f"{student.predictions.shape} and {teacher.predictions.shape}"
        raise ValueError(f"fidelity compares answers to the same rows in the same order, of one shape; got {shapes}")


def run_of(predictions: NDArray[np.float32], target: NDArray[Any]) -> TestRun:
    """Rows without names, each on its own."""
    names = np.arange(len(target)).astype(str)
    return TestRun(names, predictions, target, names)
