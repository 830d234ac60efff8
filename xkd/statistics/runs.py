"""What a trained network said of the test rows, and rows that all networks have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TestRun:
    """One trained network on the labelled test rows that have its sensor."""

    rows: NDArray[np.str_]  # (N,) ids
    probabilities: NDArray[np.float32]  # (N, K), of pixels (N, K, H, W)
    target: NDArray[np.int64]  # (N,) class index, (N, K) 0/1, or (N, H, W) class index of each pixel, -1 where it does not count
    clusters: NDArray[np.str_]  # (N,) what is resampled together: the image that a crop is from, the plant, the drive
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)  # (N,) each, such as "epg"; not a number where undefined

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.rows, self.probabilities, self.target, self.clusters, *self.scores.values())}
        if len(lengths) != 1:
            raise ValueError(f"a run's columns have unlike lengths {sorted(lengths)}")

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) class index, (N, H, W) of each pixel, or (N, K) 0/1 at a threshold of one half."""
        return (self.probabilities > 0.5).astype(np.int64) if self.multilabel else self.probabilities.argmax(1)

    @property
    def multilabel(self) -> bool:
        return self.target.ndim == 2

    def at(self, chosen: NDArray[np.int64]) -> TestRun:
        """The same with these rows alone, in this order."""
        scores = {name: score[chosen] for name, score in self.scores.items()}
        return TestRun(self.rows[chosen], self.probabilities[chosen], self.target[chosen], self.clusters[chosen], scores)

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


def fidelity(student: TestRun, teacher: TestRun) -> dict[str, NDArray[np.float64]]:
    """How near each row's answer is to the teacher's of the same row: "agreement" on the likeliest class, "kl" of teacher and student.

    Both are means over pixels, or over labels, where a row has many answers. As in Stanton et al., "Does Knowledge Distillation Really
    Work?", NeurIPS 2021, arXiv:2106.05945, equations 4 and 5. `ValueError` where the rows are not the same.
    """
    if not np.array_equal(student.rows, teacher.rows) or student.probabilities.shape != teacher.probabilities.shape:
        shapes = f"{student.probabilities.shape} and {teacher.probabilities.shape}"
        raise ValueError(f"fidelity compares answers to the same rows in the same order, of one shape; got {shapes}")
    ours, theirs = _as_classes(student), _as_classes(teacher)
    kl = (theirs * (np.log(theirs) - np.log(ours))).sum(1)
    same = (student.predicted == teacher.predicted).astype(float)
    rows = len(student.rows)
    return {"agreement": same.reshape(rows, -1).mean(1), "kl": kl.reshape(rows, -1).mean(1)}


def _as_classes(run: TestRun) -> NDArray[np.float64]:
    """(N, K, ...) probabilities over classes; of several labels, yes and no for each."""
    given = run.probabilities.astype(np.float64)
    shares = np.stack([1 - given, given], axis=1) if run.multilabel else given
    return np.maximum(shares, np.finfo(np.float32).tiny)
