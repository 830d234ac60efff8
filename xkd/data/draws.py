"""What is drawn for a row: the geometry, the window, the moment and the jitter, each a pure function of (seed, row, draw)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.clips import Moment
from xkd.data.rows import Row
from xkd.data.sample import NO_DRAW
from xkd.data.windows import MIDDLE, Place
from xkd.geometry import IDENTITY, Matrix

_GEOMETRY: Final = crc32(b"geometry")
_WINDOW: Final = crc32(b"window")
_DRAWS: Final = 2**32
_MOMENT: Final = crc32(b"moment")


@dataclass(frozen=True)
class Draws:
    """Of a dataset. What one view is given changes nothing in another's."""

    seed: int
    augment: Augment

    def geometry(self, row: Row, draw: int, aspect: float) -> Matrix:
        return IDENTITY if draw == NO_DRAW else self.augment.geometry(self._rng(row, draw, _GEOMETRY), aspect)

    def window(self, row: Row, draw: int) -> Place:
        if draw == NO_DRAW:
            return MIDDLE
        side, across, down = self._rng(row, draw, _WINDOW).random(3).tolist()
        return side, across, down

    def moment(self, row: Row, draw: int) -> Moment:
        """Without a draw the middle; a shuffled clip is shuffled in any case."""
        if draw == NO_DRAW:
            return Moment(crc32(row.id.encode()))
        rng = self._rng(row, draw, _MOMENT)
        return Moment(int(rng.integers(2**32)), rng.random(), lossy=True)

    def jitter(self, row: Row, draw: int, view: View) -> np.random.Generator | None:
        """For the photometry of a view, None where none is varied."""
        return self._rng(row, draw, crc32(b"view " + view.name.encode())) if draw != NO_DRAW and self.augment.jitter > 0 else None

    def made(self, row: Row, draw: int, view: View) -> np.random.Generator:
        """For a view that no file holds, without a draw too."""
        return self._rng(row, draw % _DRAWS, crc32(b"made " + view.name.encode()))

    def _rng(self, row: Row, draw: int, stream: int) -> np.random.Generator:
        key = [self.seed, crc32(row.id.encode()), draw, stream]
        # an array costs less, and is the same key where each number fits
        return np.random.default_rng(np.array(key, np.uint32) if max(key) < 2**32 else key)
