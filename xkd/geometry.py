"""Where things are: boxes in pixels of the full image, and the matrix of one geometric draw."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]  # (3, 3): output position in [0, 1]^2 to position in the source crop's [0, 1]^2

IDENTITY: Final[Matrix] = np.eye(3)
IDENTITY.setflags(write=False)


class Box(NamedTuple):
    """Corners in pixels of the full image; pixel (0, 0) covers 0..1."""

    x1: float
    y1: float
    x2: float
    y2: float


def overlap(one: Box, other: Box) -> bool:
    """Whether they share any area."""
    return max(one.x1, other.x1) < min(one.x2, other.x2) and max(one.y1, other.y1) < min(one.y2, other.y2)


def square(box: Box, margin: float) -> Box:
    """The crop of an object's box: a square about its centre, `margin` times its longest side; it may reach outside the image."""
    half = margin * max(box.x2 - box.x1, box.y2 - box.y1) / 2
    x, y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return Box(x - half, y - half, x + half, y + half)


def to_output(points: NDArray[np.floating], matrix: Matrix, crop: Box) -> NDArray[np.float64]:
    """(..., 2) points in pixels of the full image to relative coordinates of the output, where [0, 1]^2 is inside."""
    inside = (np.asarray(points, np.float64) - crop[:2]) / (crop.x2 - crop.x1, crop.y2 - crop.y1)
    back = np.linalg.inv(matrix)
    placed: NDArray[np.float64] = inside @ back[:2, :2].T + back[:2, 2]
    return placed


def pixel_matrix(matrix: Matrix, crop: Box, size: tuple[int, int]) -> Matrix:
    """(3, 3): homogeneous pixels of the full image to pixels of the output of `size` (height, width).

    Multiplied from the left to a pinhole camera's intrinsic or projection matrix it gives the camera of the output, so
    what was projected before the draw and what is projected after it fall on the same spot.
    """
    shift = np.array([[1.0, 0.0, -crop.x1], [0.0, 1.0, -crop.y1], [0.0, 0.0, 1.0]])
    relative = np.diag([1.0 / (crop.x2 - crop.x1), 1.0 / (crop.y2 - crop.y1), 1.0])
    placed: Matrix = np.diag([size[1], size[0], 1.0]) @ np.linalg.inv(matrix) @ relative @ shift
    return placed
