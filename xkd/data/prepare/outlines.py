"""Polygons and run lengths of COCO as masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_segmentation(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) of `size` (height, width) from COCO's `segmentation`: a list of polygons, or run lengths.

    A polygon is x1 y1 x2 y2 ... where pixel (0, 0) covers 0..1; it holds the pixels whose centres lie inside, so its area is
    right to a pixel. Raises `ValueError` for anything else.
    """
    if isinstance(segmentation, Mapping):
        return _run_lengths(segmentation, size)
    inside = np.zeros(size, bool)
    for polygon in segmentation:
        if not isinstance(polygon, Sequence) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon is x1 y1 x2 y2 x3 y3 ..., three corners or more; got {polygon}")
        _fill(inside, np.asarray(polygon, np.float64).reshape(-1, 2))
    return inside


def _fill(inside: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
    """Between the first and the second, the third and the fourth ... crossing of each row's middle line with the edges."""
    height, width = inside.shape
    begin, end = corners, np.roll(corners, -1, 0)
    top, bottom = max(int(np.floor(corners[:, 1].min())), 0), min(int(np.ceil(corners[:, 1].max())), height)
    for row in range(top, bottom):
        middle = row + 0.5
        crossed = (begin[:, 1] <= middle) != (end[:, 1] <= middle)
        (x1, y1), (x2, y2) = begin[crossed].T, end[crossed].T
        crossings = np.sort(x1 + (middle - y1) / (y2 - y1) * (x2 - x1))
        edges = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            inside[row, left:right] = True


def _run_lengths(table: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Lengths of runs of 0 and 1 in turn, column by column."""
    counts, stated = table.get("counts"), table.get("size")
    if stated is None or tuple(stated) != size:
        raise ValueError(f"run lengths of size {stated} in an image of (height, width) {size}")
    if isinstance(counts, str):
        counts = decompress(counts)
    if not isinstance(counts, list) or sum(counts) != size[0] * size[1] or min(counts) < 0:
        raise ValueError(f"run lengths do not add up to the image's {size[0] * size[1]} pixels")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(size[::-1]).T


def decompress(text: str) -> list[int]:
    """COCO's compressed run lengths, after `rleFrString` in cocoapi's maskApi.c.

    A letter holds five bits of a number, low ones first; from the fourth number on it is the difference to the last but one.

    Raises `ValueError` where the text breaks off.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - ord("0")
        if not 0 <= code < 64:
            raise ValueError(f"compressed run lengths hold no {letter!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:  # more to come
            continue
        if code & 16:  # negative
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths break off")
    return counts
