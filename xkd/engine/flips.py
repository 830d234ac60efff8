"""The samples that distillation changed: wrong alone and right distilled, or the other way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xkd.compare import TestRun


@dataclass(frozen=True)
class Flips:
    """Rows by id, those that flipped in most seeds first; `gained[id]` is the number of seeds."""

    gained: dict[str, int]
    lost: dict[str, int]


def flips(alone: Sequence[TestRun], distilled: Sequence[TestRun]) -> Flips:
    """Of runs on the same rows, seed by seed; a row with many answers (pixels, labels) counts by whether all are right."""
    before, after = (np.stack([_right(run) for run in runs]) for runs in (alone, distilled))
    return Flips(_counted(alone[0].rows, (~before & after).sum(0)), _counted(alone[0].rows, (before & ~after).sum(0)))


def _right(run: TestRun) -> NDArray[np.bool_]:
    right = (run.predicted == run.target) | (run.target < 0)
    every: NDArray[np.bool_] = right.reshape(len(right), -1).all(1)
    return every


def _counted(rows: NDArray[np.str_], seeds: NDArray[np.int64]) -> dict[str, int]:
    order = np.lexsort((rows, -seeds))
    return {str(rows[at]): int(seeds[at]) for at in order if seeds[at]}
