"""Points under a geometric draw: moved, not resampled, and drawn with the nearest one in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix, pixel_matrix

_FAR: Final = np.iinfo(np.int64).max
_DEPTH_STEPS: Final = 1000.0  # depths are told apart to a millimetre


@dataclass(frozen=True)
class Points:
    """A scan as its camera sees it: what is left of it inside the frame, before any draw.

    `pixels` (N, 2) are positions in the frame of `shape` (height, width), pixel (0, 0) covering 0..1; of points that fall on one
    pixel the one with the least `depth` (N,) is seen; `values` (N, C) are its channels.
    """

    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]
    values: NDArray[np.float32]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Splat:
    """Points on a raster: `values` (H, W, C), 0 where there is none, and `count` (H, W), how many points fell on each pixel."""

    values: NDArray[np.float32]
    count: NDArray[np.int64]


def splat(points: Points, matrix: Matrix, size: tuple[int, int], crop: Box) -> Splat:
    """Draw points on an image of `size` (height, width) by a z-buffer."""
    height, width = size
    place = pixel_matrix(matrix, crop, size).astype(np.float32)
    column = np.floor(points.pixels @ place[0, :2] + place[0, 2]).astype(np.int32)
    row = np.floor(points.pixels @ place[1, :2] + place[1, 2]).astype(np.int32)
    inside = np.flatnonzero((column >= 0) & (column < width) & (row >= 0) & (row < height))
    pixel = row[inside].astype(np.int64) * width + column[inside]
    # depth in the upper bits, the point's number in the lower ones: the least key is the nearest point
    keys = ((points.depth[inside] * _DEPTH_STEPS).astype(np.int64) << 32) | inside
    nearest = np.full(height * width, _FAR)
    np.minimum.at(nearest, pixel, keys)
    hit = np.flatnonzero(nearest != _FAR)
    values = np.zeros((height * width, points.values.shape[1]), np.float32)
    values[hit] = points.values[nearest[hit] & 0xFFFFFFFF]
    count = np.bincount(pixel, minlength=height * width)
    return Splat(values.reshape(height, width, -1), count.reshape(height, width))


def unoccluded(points: Points, reach: int, tolerance: float) -> Points:
    """Without the points behind others: a scanner that sits beside the camera sees past edges that the camera does not.

    A point is dropped if one within `reach` pixels of it, across or down, is nearer by more than `tolerance` of its depth.
    """
    height, width = points.shape
    column, row = np.floor(points.pixels).astype(np.int32).T
    nearest = np.full((height, width), np.inf, np.float32)
    np.minimum.at(nearest, (row, column), points.depth)
    front = cv2.erode(nearest, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8), borderType=cv2.BORDER_REPLICATE)
    kept = points.depth <= front[row, column] * (1 + tolerance)
    return Points(points.pixels[kept], points.depth[kept], points.values[kept], points.shape)


def densify(drawn: Splat, reach: int) -> NDArray[np.bool_]:
    """Give each empty pixel within `reach` pixels of a point the values of the nearest one, in place; returns where there are values."""
    empty = (drawn.count == 0).astype(np.uint8)
    if not reach or empty.all():
        return np.asarray(empty == 0, np.bool_)
    distance, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    source = np.zeros(int(label.max()) + 1, np.int64)
    there = np.flatnonzero(empty == 0)
    source[label.ravel()[there]] = there
    near = distance <= reach
    flat = drawn.values.reshape(-1, drawn.values.shape[2])
    drawn.values[near] = flat[source[label[near]]]
    return np.asarray(near, np.bool_)
