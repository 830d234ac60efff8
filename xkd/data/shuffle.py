"""Shuffled pairs, the negative control of a comparison: each row gets the other views of a stranger, by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xkd.data.choose import strata
from xkd.data.manifest import Manifest
from xkd.data.request import check_choice
from xkd.data.rows import Row
from xkd.data.windows import frame_of


@dataclass(frozen=True)
class Shuffle:
    """Label, mask, boxes and the view `anchor` stay together; every other view comes from another row, always the same.

    With `within="class"` that row is of the same class, as the manifest knows it, labels that training does not see included. Rows
    without the anchor are left out.
    """

    anchor: str
    within: Literal["all", "class"] = "all"

    def __post_init__(self) -> None:
        check_choice("within", self.within, ("all", "class"))

    def strangers(self, rows: Sequence[Row], manifest: Manifest, seed: int, framed: bool) -> NDArray[np.int64]:
        """(N,) another row's place for each of the rows, of another frame if they are windows (`framed`)."""
        if framed and self.within == "class":
            raise ValueError("shuffle.within='class' needs rows that have a class, and windows have none: use within='all'")
        if framed:
            return derangement_of_frames(rows, seed)
        if self.within == "all":
            return derangement(len(rows), seed)
        known = {row.id: row for row in manifest.rows}
        kinds = strata([known[row.id] for row in rows], manifest.classes)
        if (kinds < 0).all():
            raise ValueError(
                f"{manifest.root}: shuffle.within='class' goes by the column 'label', which is empty in all {len(rows)} rows of train"
                " (masks and boxes are no class of a row): use within='all'"
            )
        return derangement_within(kinds, seed)


def derangement(count: int, seed: int, of: str = "rows") -> NDArray[np.int64]:
    """A random permutation of `count` places that leaves none in place: one cycle (Sattolo 1986)."""
    if count < 2:
        raise ValueError(f"shuffling needs at least two {of}, got {count}")
    return _cycle(np.arange(count), np.random.default_rng([seed, 0x5A77]))


def derangement_of_frames(rows: Sequence[Row], seed: int) -> NDArray[np.int64]:
    """For each row the first one of another frame, the same for all rows of its own: another window of one frame is no stranger."""
    numbers: dict[object, int] = {}
    frames = np.array([numbers.setdefault(frame_of(row), len(numbers)) for row in rows])
    firsts = np.unique(frames, return_index=True)[1]
    return np.asarray(firsts[derangement(len(firsts), seed, "frames")][frames], np.int64)


def derangement_within(kinds: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The same within each kind; the one row of a kind stays in place."""
    order, rng = np.arange(len(kinds)), np.random.default_rng([seed, 0x5A77])
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        order[members] = _cycle(members, rng)
    return order


def _cycle(places: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    order = places.copy()
    for last in range(len(order) - 1, 0, -1):
        other = int(rng.integers(last))
        order[last], order[other] = order[other], order[last]
    return order
