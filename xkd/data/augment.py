"""One geometric draw for all views: a matrix in relative coordinates, and the warp that samples any image, mask or box by it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.manifest import Box

Matrix = NDArray[np.float64]  # (3, 3): output position in [0, 1]^2 to position in the source crop's [0, 1]^2

_Row = tuple[float, float, float]

IDENTITY: Final[Matrix] = np.eye(3)
IDENTITY.setflags(write=False)

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
        flip, vertical, turn, zoom, dx, dy = rng.random(6)
        angle = math.radians(self.rotate) * (2 * turn - 1)
        low, high = math.log(self.scale[0]), math.log(self.scale[1])
        side = math.exp(low + (high - low) * zoom)
        cos, sin = side * math.cos(angle), side * math.sin(angle)
        mirror = np.array([-1.0 if flip < self.flip else 1.0, -1.0 if vertical < self.vertical_flip else 1.0])
        linear = np.array([[cos, -sin / aspect], [sin * aspect, cos]]) * mirror
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = 0.5 - linear @ (0.5, 0.5) + self.shift * (2 * np.array([dx, dy]) - 1)
        return matrix


def warp(image: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box, fill: tuple[float, ...] = (0.0,)) -> NDArray[Any]:
    """Sample the crop of a (H, W, C) image at `size` (height, width); pixels outside the image get `fill`; dtype is kept.

    Bilinear; where the step is two source pixels or more the source is first averaged down (INTER_AREA), so nothing
    aliases. With `IDENTITY` and a crop on whole pixels it is `cv2.resize` of the crop, by area if that halves it or
    more, else bilinear.
    """
    if matrix is IDENTITY and all(edge.is_integer() for edge in map(float, crop)):
        return _channels_last(_resize(_cut(image, crop, fill), size))
    return _affine(image, _to_source(matrix, size, crop), size, fill)


def warp_boxes(boxes: NDArray[np.float64], matrix: Matrix, crop: Box) -> NDArray[np.float32]:
    """(N, 4, 2) `corners` of boxes, clipped to the output: (M, 4) x1 y1 x2 y2 in 0..1; boxes that lie outside are left out."""
    if len(boxes) == 0:
        return np.zeros((0, 4), np.float32)
    placed = corners(boxes, matrix, crop)
    clipped = np.concatenate([placed.min(1), placed.max(1)], axis=1).clip(0.0, 1.0)
    return clipped[(clipped[:, 2:] > clipped[:, :2]).all(1)].astype(np.float32)


def draw_boxes(boxes: NDArray[np.float64], matrix: Matrix, crop: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, 1) share of each output pixel that lies in any of the boxes (N, 4)."""
    height, width = size[0] * _SUBPIXELS, size[1] * _SUBPIXELS
    canvas = np.zeros((height, width), np.uint8)
    if len(boxes):
        points = corners(boxes, matrix, crop) * (width, height) - 0.5
        # OpenCV also fills the pixels that the outline touches: draw it half a (sub)pixel further in
        across, down = points[:, 1] - points[:, 0], points[:, 3] - points[:, 0]
        across, down = (0.5 * side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1.0) for side in (across, down))
        points += across[:, None] * _SIGNS[:, :1] + down[:, None] * _SIGNS[:, 1:]
        for quad in np.round(points * 16).astype(np.int32):
            cv2.fillConvexPoly(canvas, quad, 255, shift=4)
    return (cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0)[..., None]


def corners(boxes: NDArray[np.float64], matrix: Matrix, crop: Box) -> NDArray[np.float64]:
    """(N, 4) boxes in pixels of the full image to their (N, 4, 2) corners in relative coordinates of the output."""
    inside = (boxes - np.tile(crop[:2], 2)) / np.tile([crop.x2 - crop.x1, crop.y2 - crop.y1], 2)
    points = inside[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    back = np.linalg.inv(matrix)
    placed: NDArray[np.float64] = points @ back[:2, :2].T + back[:2, 2]
    return placed


def _to_source(matrix: Matrix, size: tuple[int, int], crop: Box) -> tuple[_Row, _Row]:
    """Output pixel index to source pixel index, one row for x and one for y; a pixel's centre lies half a pixel past its index in both."""
    height, width = size
    (xx, xy, x0), (yx, yy, y0), _ = matrix.tolist()  # plain numbers: a few of them cost less than numpy's small arrays
    across, down = crop.x2 - crop.x1, crop.y2 - crop.y1
    to_x = (xx / width, xy / height, xx * 0.5 / width + xy * 0.5 / height + x0)
    to_y = (yx / width, yy / height, yx * 0.5 / width + yy * 0.5 / height + y0)
    return (
        (to_x[0] * across, to_x[1] * across, to_x[2] * across + crop.x1 - 0.5),
        (to_y[0] * down, to_y[1] * down, to_y[2] * down + crop.y1 - 0.5),
    )


def _affine(image: NDArray[Any], rows: tuple[_Row, _Row], size: tuple[int, int], fill: tuple[float, ...]) -> NDArray[Any]:
    """Sample by a matrix of pixel indices: cut out the window that is read, average it down to steps below two pixels, warp."""
    left, right, wide = _span(rows[0], size, image.shape[1])
    top, bottom, high = _span(rows[1], size, image.shape[0])
    window = image[top:bottom, left:right]
    if window.size == 0:
        return _blank(size, fill, image)
    if (wide, high) != (right - left, bottom - top):
        window = cv2.resize(window, (wide, high), interpolation=cv2.INTER_AREA)
    margin = 0
    if min(_step(row) for row in rows) < 1:
        # magnified: without a margin the outermost half pixel inside the image would fade into the fill
        margin = 1
        window = cv2.copyMakeBorder(window, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    x, y = wide / (right - left), high / (bottom - top)
    (xx, xy, x0), (yx, yy, y0) = rows
    to_window = np.array(
        [
            [xx * x, xy * x, (x0 + 0.5 - left) * x - 0.5 + margin],
            [yx * y, yy * y, (y0 + 0.5 - top) * y - 0.5 + margin],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return _channels_last(cv2.warpAffine(window, to_window, size[::-1], flags=flags, borderValue=fill))


def _step(row: _Row) -> float:
    """Source pixels along this axis per output pixel."""
    return math.hypot(row[0], row[1])


def _span(row: _Row, size: tuple[int, int], length: int) -> tuple[int, int, int]:
    """Along one axis: the first and the last + 1 source pixel that are read, and the number they are averaged down to."""
    reduce = max(int(_step(row)), 1)
    ends = [row[0] * x + row[1] * y + row[2] for x in (0, size[1] - 1) for y in (0, size[0] - 1)]
    start = max(math.floor(min(ends)) - reduce, 0)
    stop = min(math.ceil(max(ends)) + reduce + 1, length)
    if stop <= start:
        return 0, 0, 0
    stop = min(stop + (start - stop) % reduce, length)
    return start, stop, max(round((stop - start) / reduce), 1)


def _cut(image: NDArray[Any], crop: Box, fill: tuple[float, ...]) -> NDArray[Any]:
    x1, y1, x2, y2 = (int(edge) for edge in crop)
    height, width = image.shape[:2]
    part = image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    if part.size == 0:
        return _blank((y2 - y1, x2 - x1), fill, image)
    left, top, right, bottom = max(-x1, 0), max(-y1, 0), max(x2 - width, 0), max(y2 - height, 0)
    if left or top or right or bottom:
        return cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT, value=fill)
    return part


def _resize(part: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    height, width = part.shape[:2]
    if height >= 2 * size[0] or width >= 2 * size[1]:
        # OpenCV averages by area only where neither side grows
        part = cv2.resize(part, (min(width, size[1]), min(height, size[0])), interpolation=cv2.INTER_AREA)
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR)


def _blank(size: tuple[int, int], fill: tuple[float, ...], like: NDArray[Any]) -> NDArray[Any]:
    value = np.rint(fill) if like.dtype.kind in "ui" else np.asarray(fill)
    return np.full((*size, like.shape[2]), value, like.dtype)


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """OpenCV drops the axis of a single channel."""
    return image if image.ndim == 3 else image[..., None]
