"""Windows of whole frames in the place of rows: without labels, a network can learn from any part of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import Final

from xkd.data.frame import frame_shape
from xkd.data.manifest import Manifest
from xkd.data.recording import Recordings
from xkd.data.rows import Row
from xkd.geometry import Box
from xkd.modality import check_finite

Place = tuple[float, float, float]  # of a window, 0..1: of the logarithm of its side, of its ways across and down the frame
MIDDLE: Final[Place] = (1.0, 0.5, 0.5)  # where nothing is drawn: the largest
TYPICAL: Final[Place] = (0.5, 0.5, 0.5)  # half of the windows are smaller


@dataclass(frozen=True)
class Windows:
    """Unlabelled rows in the place of a split's, `per_frame` of each of its frames; every draw of such a row shows another window.

    Where rows are crops around objects, most of their frames is in none of them. A window is a square on whole pixels inside its frame:
    its side is drawn evenly in the logarithm, between the shares `smallest` and `largest` (above 0, at most 1) of the frame's shorter side,
    its place evenly. All views of the row show it, and the augmentation changes what they show as it changes a crop. Without a draw
    (evaluation) it is the largest one in the middle. Rows of the same files are one frame.
    """

    per_frame: int = 4
    smallest: float = 0.2
    largest: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self, "windows")
        if type(self.per_frame) is not int or self.per_frame < 1:
            raise ValueError(f"windows: per_frame is how many rows each frame has, a whole number from 1 on; got {self.per_frame!r}")
        if not 0 < self.smallest <= self.largest <= 1:
            raise ValueError(
                "windows: smallest and largest are sides as shares of the frame's shorter one, 0 < smallest <= largest <= 1; got"
                f" {self.smallest} and {self.largest}"
            )

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """`per_frame` rows of each frame among these, in their order, with its files and its group and nothing that anybody said of it."""
        frames: dict[object, Row] = {}
        for row in rows:
            frames.setdefault(frame_of(row), row)
        return [_bare(row, f"{row.id}/{number}") for row in frames.values() for number in range(self.per_frame)]

    def box(self, place: Place, shape: tuple[int, ...]) -> Box:
        """The window in pixels of a frame of this (height, width, ...)."""
        height, width = shape[:2]
        share = self.smallest * (self.largest / self.smallest) ** place[0]
        side = max(1, round(share * min(height, width)))
        left, top = (floor(along * (whole - side + 1)) for along, whole in zip(place[1:], (width, height), strict=True))
        return Box(left, top, left + side, top + side)

    def shown(self, place: Place, sources: Mapping[str, Row], recordings: Recordings, manifest: Manifest) -> dict[str, Row]:
        """The rows that views are read from, each with the window of its own frame as its crop."""
        cropped = dict(sources)
        for (view, sensor), recording in recordings.items():
            row = sources[view]
            cropped[view] = replace(row, crop=self.box(place, frame_shape(manifest, row, {sensor: recording})))
        return cropped


def frame_of(row: Row) -> object:
    """The same for rows of the same files."""
    return tuple(sorted(row.files.items()))


def _bare(row: Row, name: str) -> Row:
    """Further columns may be about the object of the row's crop."""
    meta = {"id": name, "group": row.group}
    return replace(row, id=name, labels=None, mask="", crop=None, boxes=None, scores=(), meta=meta, ignored=())
