"""Grey counts back from a picture in false colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

_PREFIX: Final = "COLORMAP_"
_SOME: Final = 10_000  # pixels are enough to tell palettes apart
_FARTHEST: Final = 30.0  # counts from the palette within which nine pixels of ten lie; a JPEG of quality 75 costs up to 24


def palettes() -> list[str]:
    """Names of OpenCV's colour maps."""
    return sorted(name.removeprefix(_PREFIX).lower() for name in vars(cv2) if name.startswith(_PREFIX))


def invert_palette(path: Path, image: NDArray[Any], palette: str) -> NDArray[np.uint8]:
    """(H, W, 3) `uint8`, B first, to the (H, W) counts 0..255 whose colours in OpenCV's `palette` come nearest.

    Raises `ValueError` that names the file for an unknown palette and for a picture that was made with another one, where colours
    tell: those of autumn lie within hot, hsv, jet and rainbow, and the two twilights have the same.
    """
    if palette.lower() not in palettes():
        raise ValueError(f"{path}: unknown palette '{palette}'; OpenCV has {palettes()}")
    if image.dtype != np.uint8 or image.shape[2] not in (3, 4):
        raise ValueError(f"{path}: a picture in false colours has 8 bits and three channels, this one is {image.dtype} {image.shape}")
    colours = _colours(palette)
    pixels = np.ascontiguousarray(image[..., :3]).reshape(-1, 3)
    unique, places = np.unique(pixels, axis=0, return_inverse=True)
    counts, distance = _nearest(unique.astype(np.float32), colours)
    away = float(np.percentile(distance[places], 90))
    if away > _FARTHEST:
        raise ValueError(
            f"{path}: a tenth of its colours lie {away:.0f} counts and more from palette '{palette}'; it was made with another one"
        )
    return counts[places].reshape(image.shape[:2])


def likely_palettes(image: NDArray[np.uint8]) -> list[str]:
    """Of (H, W, 3) `uint8`, B first: the palettes that a picture may have been made with, the one that comes nearest first."""
    pixels = image.reshape(-1, 3).astype(np.float32)
    some = pixels[:: max(len(pixels) // _SOME, 1)]
    away = {palette: float(np.percentile(_nearest(some, _colours(palette))[1], 90)) for palette in palettes()}
    return sorted((palette for palette in away if away[palette] <= _FARTHEST), key=lambda palette: away[palette])


def _colours(palette: str) -> NDArray[np.float32]:
    """(256, 3), B first."""
    counts = np.arange(256, dtype=np.uint8)[None]
    return np.asarray(cv2.applyColorMap(counts, getattr(cv2, _PREFIX + palette.upper()))[0], np.float32)


def _nearest(points: NDArray[np.float32], colours: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Of (N, 3) points the nearest of (256, 3) colours and the distance, in pieces that fit a cache."""
    counts, distance = np.empty(len(points), np.uint8), np.empty(len(points), np.float32)
    for start in range(0, len(points), 4096):
        part = points[start : start + 4096]
        squares = (part**2).sum(1)[:, None] - 2 * part @ colours.T + (colours**2).sum(1)
        best = squares.argmin(1)
        counts[start : start + 4096] = best
        distance[start : start + 4096] = np.sqrt(np.maximum(squares[np.arange(len(part)), best], 0))
    return counts, distance
