"""Which annotations a dataset serves, of those that its manifest has: labels are expensive, masks more so, pairs are cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xkd.data import choose
from xkd.data.request import check_choice
from xkd.data.rows import Row
from xkd.data.shuffle import derangement


@dataclass(frozen=True)
class Labels:
    """The share of labels that training keeps: `fraction` (above 0, at most 1) of each class among the labelled rows, chosen by `seed`.

    A row that loses its label loses its mask and its boxes too, unless a detector drew them: pixels are all that it has left.
    """

    fraction: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def kept(self, rows: Sequence[Row], classes: Sequence[str]) -> list[Row]:
        """The same rows in the same order, with the labels that are kept."""
        if self.fraction == 1:
            return list(rows)
        ids = choose.labelled_share(rows, classes, self.fraction, self.seed)
        # a mask is an annotation too, what a detector drew is none
        return [row if row.id in ids else replace(row, labels=None, mask="", boxes=row.boxes if row.scores else None) for row in rows]


@dataclass(frozen=True)
class Masks:
    """What the region of interest is made of: the files of the column `mask`, or the `boxes`; with "none" no row has a region.

    Training keeps the masks and boxes of `fraction` (above 0, at most 1) of the rows that have a region, classes in turn, chosen by
    `seed`. `positive` are the names of the codes that make the region of a mask file, if not those that the manifest says. `shuffled` is
    the negative control: every row of training that has a region is given that of another one, always the same.
    """

    source: Literal["mask", "boxes", "none"] = "mask"
    fraction: float = 1.0
    seed: int = 0
    positive: Sequence[str] = ()
    shuffled: bool = False

    def __post_init__(self) -> None:
        check_choice("source", self.source, ("mask", "boxes", "none"))
        _check_fraction(self.fraction)

    def shows(self, row: Row) -> bool:
        """Whether the row says where its region of interest is."""
        if self.source == "boxes":
            return row.boxes is not None and not row.ignored  # within what is ignored nobody knows
        return bool(row.mask) and self.source == "mask"

    def kept(self, rows: Sequence[Row], classes: Sequence[str]) -> list[Row]:
        """The same rows in the same order, with the masks and boxes that are kept."""
        if self.fraction == 1:
            return list(rows)
        ids = choose.shown_share([row for row in rows if self.shows(row)], classes, self.fraction, self.seed)
        return [row if row.id in ids else replace(row, mask="", boxes=None) for row in rows]

    def places(self, rows: Sequence[Row], split: str, seed: int) -> NDArray[np.int64]:
        """(N,) whose region each of the rows is given: its own, or another row's."""
        places = np.arange(len(rows))
        if self.shuffled and split != "train":
            raise ValueError(f"masks.shuffled is for split 'train', since rows that are tested keep their own; got it in '{split}'")
        if self.shuffled:
            having = np.flatnonzero([self.shows(row) for row in rows])
            places[having] = having[derangement(len(having), seed, "rows with a mask")]
        return places


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is above 0 and at most 1, got {fraction}")
