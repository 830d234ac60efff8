"""The samples that distillation changed: wrong alone and right distilled, or the other way; of pixels, those that changed most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xkd.statistics import TestRun


@dataclass(frozen=True)
class Flips:
    """Rows by id, those that changed most first: with the number of seeds in which they flipped, or of pixels the share that did.

    The share is the change of the image's own accuracy, mean over seeds, above zero in both.
    """

    gained: dict[str, float]
    lost: dict[str, float]
    pixels: bool = False


def flips(alone: Sequence[TestRun], distilled: Sequence[TestRun]) -> Flips:
    """Of runs on the same rows, seed by seed; a row with many labels counts by whether all are right, an image of pixels by their share."""
    rows, pixels = alone[0].rows, alone[0].target.ndim == 3
    if pixels:
        # hardly an image has every pixel right, before or after
        change = np.mean([pixel_accuracy(after) - pixel_accuracy(before) for before, after in zip(alone, distilled, strict=True)], axis=0)
        return Flips(_ordered(rows, change), _ordered(rows, -change), pixels)
    before, after = (np.stack([_right(run) for run in runs]) for runs in (alone, distilled))
    return Flips(_ordered(rows, (~before & after).sum(0)), _ordered(rows, (before & ~after).sum(0)))


def pixel_accuracy(run: TestRun) -> NDArray[np.float64]:
    """(N,) share of right pixels among those of each image that count; not a number where none does."""
    counts = (run.target >= 0).sum((1, 2))
    right = ((run.predicted == run.target) & (run.target >= 0)).sum((1, 2))
    share: NDArray[np.float64] = np.divide(right, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return share


def _right(run: TestRun) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = (run.predicted == run.target).reshape(len(run.rows), -1).all(1)
    return right


def _ordered(rows: NDArray[np.str_], size: NDArray[np.int64] | NDArray[np.float64]) -> dict[str, float]:
    order = np.lexsort((rows, -size))
    return {str(rows[at]): size[at].item() for at in order if size[at] > 0}
