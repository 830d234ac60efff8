"""What a detector learns of a row: its boxes with their classes under a draw, padded, and where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xkd.data.augment import corners
from xkd.data.rows import Row
from xkd.geometry import Box, Matrix

PADDING: Final = -1  # class of what fills a target up
IGNORED: Final = -2  # class of a region within which nothing is learned or measured
_REACH: Final = 0.5  # of a box's side may lie outside its image: objects at an edge are drawn whole by some


@dataclass(frozen=True)
class Boxes:
    """Which boxes count: of which a share of `visible` or more is in view, with sides of `smallest` pixels of the first view or more.

    What is left of all others is a region to ignore: nothing is learned or measured there. It is `smallest` pixels wider on each side for
    the small ones, within which a detection may be theirs.
    """

    visible: float = 0.3
    smallest: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.visible <= 1 or self.smallest < 0:
            raise ValueError(f"visible is a share, 0..1, and smallest pixels, 0 or more; got {self.visible} and {self.smallest}")


def room_of(rows: Sequence[Row]) -> int:
    """Objects and regions that any of the rows has at most, at least 1: all targets of a dataset have one shape."""
    return max([1, *(len(row.boxes or ()) + len(row.ignored) for row in rows)])


def no_boxes(room: int) -> Float[Tensor, "m 5"]:
    """The target of a row without one."""
    target = torch.zeros(room, 5)
    target[:, 4] = PADDING
    return target


def box_target(
    row: Row, classes: Sequence[str], matrix: Matrix, crop: Box, size: tuple[int, int], rules: Boxes, room: int
) -> Float[Tensor, "m 5"]:
    """x1 y1 x2 y2 in 0..1 of the view of `size` (height, width), and the number of the class; -1 pads, -2 is a region to ignore.

    A box of no class (`*`) is such a region, as are the row's own.
    """
    boxes = [(box, classes.index(name) if name in classes else IGNORED) for box, name in row.boxes or ()]
    boxes += [(box, IGNORED) for box in row.ignored]
    target = no_boxes(room)
    if not boxes:
        return target
    placed = corners(np.array([box for box, _ in boxes], np.float64), matrix, crop)
    whole = np.concatenate([placed.min(1), placed.max(1)], axis=1)
    labels = np.array([label for _, label in boxes])
    seen = whole.clip(0.0, 1.0)
    sides = (seen[:, 2:] - seen[:, :2]) * (size[1], size[0])
    small = (sides < rules.smallest).any(1)
    labels[small | (_area(seen) < rules.visible * _area(whole))] = IGNORED
    margin = np.where(small & (sides > 0).all(1), rules.smallest, 0.0)[:, None] / np.array([[size[1], size[0]]])
    grown = np.concatenate([seen[:, :2] - margin, seen[:, 2:] + margin], axis=1).clip(0.0, 1.0)
    there = (sides > 0).all(1)
    count = int(there.sum())
    target[:count, :4] = torch.from_numpy(grown[there])
    target[:count, 4] = torch.from_numpy(labels[there])
    return target


def check_boxes(manifest: Path, row: Row, shape: tuple[int, int]) -> None:
    """`ValueError` for a box that lies outside its image of `shape` (height, width), or reaches out of it by half of its side or more."""
    height, width = shape
    for box in (*(box for box, _ in row.boxes or ()), *row.ignored):
        across, down = max(-box.x1, box.x2 - width), max(-box.y1, box.y2 - height)
        if across > _REACH * (box.x2 - box.x1) or down > _REACH * (box.y2 - box.y1):
            edges = " ".join(f"{edge:g}" for edge in box)
            raise ValueError(
                f"{manifest}: row '{row.id}': box {edges} (left, top, right, bottom) lies outside its image of {width}x{height}, half of it"
                " or more: was it drawn on an image of another size ([pairs] size of manifest.toml), or turned?"
            )


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return area
