"""The samples that distillation changed: wrong alone and right distilled, or the other way; or those that changed most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xkd.statistics import RowScore, TestRun


@dataclass(frozen=True)
class Flips:
    """Rows by id, those that changed most first: with the number of seeds in which they flipped, or with the change of their score.

    The change is the mean over seeds, above zero in both.
    """

    gained: dict[str, float]
    lost: dict[str, float]


def flips(alone: Sequence[TestRun], distilled: Sequence[TestRun], score: RowScore | None) -> Flips:
    """Of runs on the same rows, seed by seed; none where the task has no score of a row."""
    if score is None:
        return Flips({}, {})
    before, after = (np.stack([score.of(run) for run in runs]) for runs in (alone, distilled))
    rows, change = alone[0].rows, after - before
    if score.by_degrees:
        return Flips(_ordered(rows, change.mean(0)), _ordered(rows, -change.mean(0)))
    return Flips(_ordered(rows, (change > 0).sum(0)), _ordered(rows, (change < 0).sum(0)))


def _ordered(rows: NDArray[np.str_], size: NDArray[np.int64] | NDArray[np.float64]) -> dict[str, float]:
    order = np.lexsort((rows, -size))
    return {str(rows[at]): size[at].item() for at in order if size[at] > 0}
