"""Images under a geometric draw: sampled without aliasing, and without mixing in what was not seen."""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix

_Row = tuple[float, float, float]

_MOST_CHANNELS: Final = 4  # that OpenCV 5 resizes, fills and warps at once
_WHOLE: Final = {(1.0, 0.0): False, (-1.0, 1.0): True}  # slope and start of an axis that is seen whole, and whether it is mirrored


def warp(image: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box, fill: tuple[float, ...] = (0.0,)) -> NDArray[Any]:
    """Sample the crop of a (H, W, C) image at `size` (height, width); pixels outside the image get `fill`; dtype is kept.

    Bilinear; where the step is two source pixels or more the source is first averaged down (INTER_AREA), so nothing
    aliases. A draw that at most mirrors, of a crop on whole pixels, is `cv2.resize` of the crop, by area if that halves it or
    more, else bilinear: a fifth of the time. Where a rotated or shifted image is magnified its outermost pixel reaches 1.5
    source pixels beyond its centre before `fill` begins.
    """
    if image.shape[2] > _MOST_CHANNELS:
        parts = range(0, image.shape[2], _MOST_CHANNELS)
        warped = [warp(image[..., at : at + _MOST_CHANNELS], matrix, size, crop, fill[at : at + _MOST_CHANNELS] or fill) for at in parts]
        return np.concatenate(warped, axis=2)
    (xx, xy, x0), (yx, yy, y0), _ = matrix.tolist()  # plain numbers cost less than numpy's small arrays
    across, down = _WHOLE.get((xx, x0)), _WHOLE.get((yy, y0))
    if across is not None and down is not None and xy == yx == 0 and all(edge.is_integer() for edge in map(float, crop)):
        return _channels_last(_mirrored(_resize(_cut(image, crop, fill), size), across, down))
    return _affine(image, _to_source(matrix, size, crop), size, fill)


def shrink_of(matrix: Matrix, size: tuple[int, int], crop: Box) -> int:
    """How many times smaller (1, 2, 4 or 8) a file may be decoded, so that two pixels or more for each of the output are left.

    Then it is still `warp` that averages last; left with less than two it would take one of them, and fine detail would alias.
    """
    step = min(map(_step, _to_source(matrix, size, crop)))
    return next((times for times in (8, 4, 2) if 2 * times <= step), 1)


def warp_seen(image: NDArray[np.float32], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[np.float32]:
    """`warp` for images in which NaN says "not seen": an output pixel is the mean of what was seen, NaN where that is less than half.

    Nothing bleeds: the edge of an object before missing background keeps its value.
    """
    seen = np.isfinite(image)
    nothing = (0.0,) * image.shape[2]
    if seen.all() and _is_inside(matrix, crop, image.shape[:2]):
        return np.asarray(warp(image, matrix, size, crop, nothing), np.float32)
    values = warp(np.where(seen, image, np.float32(0)), matrix, size, crop, nothing)
    share = warp(seen.astype(np.float32), matrix, size, crop, nothing)
    known = share >= 0.5
    return np.where(known, values / np.where(known, share, np.float32(1)), np.float32(np.nan))


def warp_plane(image: NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> NDArray[np.float32]:
    """Sample a (H, W, C) image by a homography from pixel indices of the output, of `size` (height, width), to pixel indices of the image.

    Bilinear; where the step at the output's middle is two pixels or more the image is first averaged down (INTER_AREA). As in
    `warp_seen` an output pixel is the mean of what was seen, NaN outside the image and where that is less than half.
    """
    if image.shape[2] > _MOST_CHANNELS:
        starts = range(0, image.shape[2], _MOST_CHANNELS)
        return np.concatenate([warp_plane(image[..., at : at + _MOST_CHANNELS], matrix, size) for at in starts], axis=2)
    seen = np.isfinite(image)
    whole = np.ones((*image.shape[:2], 1), np.float32)
    parts: list[NDArray[Any]] = [np.where(seen, image, 0).astype(np.float32), whole if seen.all() else seen.astype(np.float32)]
    height, width = image.shape[:2]
    down, across = (max(int(step), 1) for step in _plane_steps(matrix, size))
    small = max(round(width / across), 1), max(round(height / down), 1)
    if small != (width, height):
        parts = [cv2.resize(part, small, interpolation=cv2.INTER_AREA) for part in parts]
    x, y = small[0] / width, small[1] / height
    to_small = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ matrix
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values, share = (_channels_last(cv2.warpPerspective(part, to_small, size[::-1], flags=flags)) for part in parts)
    known = share >= 0.5
    return np.asarray(np.where(known, values / np.where(known, share, np.float32(1)), np.float32(np.nan)), np.float32)


def _plane_steps(matrix: Matrix, size: tuple[int, int]) -> tuple[float, float]:
    """Pixels of the image per output pixel at the output's middle, down and across."""
    x, y, w = matrix @ ((size[1] - 1) / 2, (size[0] - 1) / 2, 1.0)
    slopes = (matrix[:2, :2] - np.outer((x / w, y / w), matrix[2, :2])) / w
    return float(np.hypot(*slopes[1])), float(np.hypot(*slopes[0]))


def _is_inside(matrix: Matrix, crop: Box, shape: tuple[int, ...]) -> bool:
    """Whether the output shows nothing beyond the image."""
    ends = np.array([(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)]) @ matrix[:2].T
    x = crop.x1 + ends[:, 0] * (crop.x2 - crop.x1)
    y = crop.y1 + ends[:, 1] * (crop.y2 - crop.y1)
    return bool(x.min() >= 0 and y.min() >= 0 and x.max() <= shape[1] and y.max() <= shape[0])


def _to_source(matrix: Matrix, size: tuple[int, int], crop: Box) -> tuple[_Row, _Row]:
    """Output pixel index to source pixel index, one row for x and one for y; a pixel's centre lies half a pixel past its index in both."""
    height, width = size
    (xx, xy, x0), (yx, yy, y0), _ = matrix.tolist()
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
        # halfway between two pixels a bilinear value is their mean, in a fifth of the time
        halved = right - left <= 2 * wide and bottom - top <= 2 * high
        window = cv2.resize(window, (wide, high), interpolation=cv2.INTER_LINEAR if halved else cv2.INTER_AREA)
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


def _mirrored(image: NDArray[Any], across: bool, down: bool) -> NDArray[Any]:
    if not (across or down):
        return image
    return np.asarray(cv2.flip(image, -1 if across and down else int(across)))


def _blank(size: tuple[int, int], fill: tuple[float, ...], like: NDArray[Any]) -> NDArray[Any]:
    value = np.rint(fill) if like.dtype.kind in "ui" else np.asarray(fill)
    return np.full((*size, like.shape[2]), value, like.dtype)


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """OpenCV drops the axis of a single channel."""
    return image if image.ndim == 3 else image[..., None]
