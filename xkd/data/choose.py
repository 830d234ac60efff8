"""Choosing rows by seed: who keeps a label, who keeps a mask, who is in a small subset.

Choices go by a hash of the row's id, never by its place in the file, so that they survive added rows and are the same
for every dataset made from one manifest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.rows import Row

NUM_BINS: Final = 5  # of numbers
MOST_VALUES: Final = 10  # of grades and counts, each of which is a bin of its own


def strata(rows: Sequence[Row], classes: Sequence[str]) -> NDArray[np.int64]:
    """(N,) class index of each row, -1 where unlabelled. With several labels the rarest of them counts; with none, len(classes).

    Rows that are labelled with numbers fall into bins of the first of them, see `bins`.
    """
    if any(row.numbers for row in rows):
        return bins([row.numbers[0] if row.numbers and row.labels is not None else np.nan for row in rows])
    index = {name: number for number, name in enumerate(classes)}
    counts = Counter(label for row in rows for label in row.labels or ())

    def stratum(row: Row) -> int:
        if row.labels is None:
            return -1
        return index[min(row.labels, key=lambda label: (counts[label], index[label]))] if row.labels else len(classes)

    return np.array([stratum(row) for row in rows], np.int64)


def bins(values: Sequence[float]) -> NDArray[np.int64]:
    """(N,) which of a few bins a number is in: its own, where few numbers occur, else one of `NUM_BINS` with equally many; -1 if NaN."""
    numbers = np.asarray(values, np.float64)
    known = np.isfinite(numbers)
    occurring = np.unique(numbers[known])
    if len(occurring) > MOST_VALUES:
        occurring = np.unique(np.quantile(numbers[known], np.arange(NUM_BINS) / NUM_BINS))
    return np.where(known, np.searchsorted(occurring, numbers, side="right") - 1, -1)


def label_sets(rows: Sequence[Row], classes: Sequence[str]) -> NDArray[np.float32]:
    """(N, K) 0/1 of rows with several labels, -1 where unlabelled."""
    return np.array([[name in row.labels if row.labels is not None else -1 for name in classes] for row in rows], np.float32)


def labelled_share(rows: Sequence[Row], classes: Sequence[str], fraction: float, seed: int) -> set[str]:
    """Ids of the labelled rows that keep their label: `fraction` of each stratum, at least one; a larger fraction adds to a smaller."""
    groups: dict[int, list[str]] = defaultdict(list)
    for row, stratum in zip(rows, strata(rows, classes), strict=True):
        if stratum >= 0:
            groups[int(stratum)].append(row.id)
    return {
        row_id for ids in groups.values() for row_id in sorted(ids, key=lambda name: _lot(name, seed))[: max(1, round(fraction * len(ids)))]
    }


def shown_share(rows: Sequence[Row], classes: Sequence[str], fraction: float, seed: int) -> set[str]:
    """Ids of the rows that keep their masks: `fraction` of them, at least one, from the classes in turn; a larger adds to a smaller."""
    return {row.id for row in subset(rows, classes, max(1, round(fraction * len(rows))), seed)}


def subset(rows: Sequence[Row], classes: Sequence[str], count: int, seed: int) -> list[Row]:
    """`count` rows in the manifest's order, drawn from the strata in turn, so that a small subset still holds every class."""
    taken: Counter[int] = Counter()
    turns = {}
    groups = dict(zip((row.id for row in rows), strata(rows, classes).tolist(), strict=True))
    for row in sorted(rows, key=lambda row: _lot(row.id, seed)):
        turns[row.id] = (taken[groups[row.id]], _lot(row.id, seed))
        taken[groups[row.id]] += 1
    chosen = set(sorted(turns, key=lambda row_id: turns[row_id])[:count])
    return [row for row in rows if row.id in chosen]


def drawn(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` rows by lot, or all; a larger count adds to a smaller."""
    return sorted(rows, key=lambda row: _lot(row.id, seed))[:count]


def _lot(row_id: str, seed: int) -> bytes:
    return blake2b(f"{seed}:{row_id}".encode(), digest_size=8).digest()
