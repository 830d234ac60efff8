"""The frame of a row: how large it is, and which part of an image the row is about."""

from __future__ import annotations

from typing import Any

from xkd.data.manifest import Manifest
from xkd.data.registration import unlike_sizes
from xkd.data.rows import Row
from xkd.geometry import Box


def frame_shape(manifest: Manifest, row: Row, readings: dict[str, Any]) -> tuple[int, int]:
    """(height, width) of the frame in which the row's crop and boxes are given."""
    sizes = {name: (reading.shape[0], reading.shape[1]) for name, reading in readings.items()}
    if differ := unlike_sizes(sizes, manifest.pairs.same_size, manifest.registrations):
        raise ValueError(f"{manifest.root}: row '{row.id}': {differ}")
    if not manifest.pairs.same_size and manifest.pairs.size is not None:
        width, height = manifest.pairs.size
        return height, width
    return next(iter(sizes.values()), (1, 1))  # of a row without files, which has no frame


def crop_of(manifest: Manifest, row: Row, shape: tuple[int, ...]) -> Box:
    """The row's crop, or the whole, in pixels of an image of this (height, width, ...)."""
    height, width = shape[:2]
    frame = manifest.pairs.size
    if row.crop is None:
        return Box(0, 0, width, height)
    outer = (width, height) if manifest.pairs.same_size or frame is None else frame
    if row.crop.x2 <= 0 or row.crop.y2 <= 0 or row.crop.x1 >= outer[0] or row.crop.y1 >= outer[1]:
        raise ValueError(f"{manifest.root}: row '{row.id}': crop {tuple(row.crop)} lies outside its frame of {outer[0]}x{outer[1]}")
    if manifest.pairs.same_size or frame is None or frame == (width, height):
        return row.crop
    across, down = width / frame[0], height / frame[1]
    return Box(row.crop.x1 * across, row.crop.y1 * down, row.crop.x2 * across, row.crop.y2 * down)
