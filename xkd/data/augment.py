"""One geometric draw for all views: a matrix in relative coordinates, and boxes placed by it.

Ours, because Kornia, torchvision's v2 transforms and albumentations draw for images of one frame and hide the matrix: here sensors
of unlike sizes, points and calibrations share it, and it is a pure function of (seed, row, draw), so that a resumed run sees the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix, to_output
from xkd.modality import check_finite

_SIGNS: Final = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])  # into a box, from each of its `corners`
_SUBPIXELS: Final = 4  # per side, where boxes are drawn as area shares


@dataclass(frozen=True)
class Augment:
    """How far a draw may go; the defaults flip left to right and vary the photometry, no more.

    `flip` and `vertical_flip` are probabilities, `rotate` the largest angle in degrees, `scale` the least and largest
    side of the sampled window as a share of the crop's (below 1 zooms in, drawn evenly in the logarithm), `shift` the
    largest offset of its centre as a share of the crop's side, `jitter` the probability of photometric jitter, for each
    view on its own.
    """

    flip: float = 0.5
    vertical_flip: float = 0.0
    rotate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    jitter: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self, "augment")
        for name in ("flip", "vertical_flip", "jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0..1; got {getattr(self, name)}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is (least, largest) side of the window as a share of the crop, above 0; got {self.scale}")
        if self.rotate < 0 or self.shift < 0:
            raise ValueError(f"rotate and shift are the largest change, 0 or more; got {self.rotate} and {self.shift}")

    def geometry(self, rng: np.random.Generator, aspect: float = 1.0) -> Matrix:
        """Draw a matrix; `aspect` (width / height of the crop) keeps a rotation free of shear."""
        # always six numbers, so that one setting does not change another's draws
        flip, vertical, turn, zoom, dx, dy = rng.random(6).tolist()  # plain numbers cost less than numpy's small arrays
        angle = math.radians(self.rotate) * (2 * turn - 1)
        low, high = math.log(self.scale[0]), math.log(self.scale[1])
        side = math.exp(low + (high - low) * zoom)
        cos, sin = side * math.cos(angle), side * math.sin(angle)
        across, down = -1.0 if flip < self.flip else 1.0, -1.0 if vertical < self.vertical_flip else 1.0
        xx, xy, yx, yy = cos * across, -sin / aspect * down, sin * aspect * across, cos * down
        x = 0.5 - (0.5 * xx + 0.5 * xy) + self.shift * (2 * dx - 1)
        y = 0.5 - (0.5 * yx + 0.5 * yy) + self.shift * (2 * dy - 1)
        return np.array([[xx, xy, x], [yx, yy, y], [0.0, 0.0, 1.0]])


def warp_boxes(boxes: NDArray[np.float64], matrix: Matrix, crop: Box) -> NDArray[np.float32]:
    """(N, 4, 2) `corners` of boxes, clipped to the output: (M, 4) x1 y1 x2 y2 in 0..1; boxes that lie outside are left out."""
    if len(boxes) == 0:
        return np.zeros((0, 4), np.float32)
    placed = corners(boxes, matrix, crop)
    clipped = np.concatenate([placed.min(1), placed.max(1)], axis=1).clip(0.0, 1.0)
    return clipped[(clipped[:, 2:] > clipped[:, :2]).all(1)].astype(np.float32)


def draw_boxes(
    boxes: NDArray[np.float64], matrix: Matrix, crop: Box, size: tuple[int, int], scores: Sequence[float] = ()
) -> NDArray[np.float32]:
    """(H, W, 1) share of each output pixel that lies in any of the boxes (N, 4), times the highest of their `scores`, if given."""
    height, width = size[0] * _SUBPIXELS, size[1] * _SUBPIXELS
    canvas = np.zeros((height, width), np.uint8)
    if len(boxes):
        points = corners(boxes, matrix, crop) * (width, height) - 0.5
        # OpenCV also fills the pixels that the outline touches: draw it half a (sub)pixel further in
        across, down = points[:, 1] - points[:, 0], points[:, 3] - points[:, 0]
        across, down = (0.5 * side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1.0) for side in (across, down))
        points += across[:, None] * _SIGNS[:, :1] + down[:, None] * _SIGNS[:, 1:]
        shades = np.round(255 * np.array(scores or [1.0] * len(boxes))).astype(int)
        for place in np.argsort(shades, kind="stable"):  # the highest last
            cv2.fillConvexPoly(canvas, np.round(points[place] * 16).astype(np.int32), int(shades[place]), shift=4)
    return (cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0)[..., None]


def corners(boxes: NDArray[np.float64], matrix: Matrix, crop: Box) -> NDArray[np.float64]:
    """(N, 4) boxes in pixels of the full image to their (N, 4, 2) corners in relative coordinates of the output."""
    return to_output(boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], matrix, crop)
