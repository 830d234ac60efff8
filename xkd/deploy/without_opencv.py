"""What run.py needs of OpenCV, by Pillow and numpy, where that is not installed: this file stands beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Weights = Callable[[int, int], NDArray[np.float64]]


def decoded(data: bytes, colours: bool) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(H, W, C), upright, colours red first, and its alpha (H, W) or None; of a JPEG a count may be one or two away from OpenCV's."""
    with Image.open(io.BytesIO(data)) as file:
        picture = ImageOps.exif_transpose(file)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        values = np.asarray(picture.convert("RGBA"))
        return values[..., :3], values[..., 3]
    counts = picture.mode[0] in "IF"  # more than 8 bits
    image = np.asarray(picture.convert("RGB") if picture.mode == "P" or (colours and not counts) else picture)
    return image if image.ndim == 3 else image[..., None], None


def resized(image: NDArray[Any], size: Sequence[int], small: Sequence[int] = ()) -> NDArray[Any]:
    """First by area to `small`, then bilinearly to `size` (height, width): a count may be one away from OpenCV's, which rounds twice."""
    if small:
        image = _weighted(image, small, _areas)
    return _weighted(image, size, _neighbours)


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W) as a grey PNG."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return png.getvalue()


def _weighted(image: NDArray[Any], size: Sequence[int], weights: Weights) -> NDArray[Any]:
    down, across = weights(image.shape[0], size[0]), weights(image.shape[1], size[1])
    values: NDArray[np.float64] = np.einsum("yh,hxc->yxc", down, np.einsum("xw,hwc->hxc", across, image.astype(np.float64)))
    return np.floor(values + 0.5).astype(np.uint8) if image.dtype == np.uint8 else values.astype(np.float32)


def _areas(old: int, new: int) -> NDArray[np.float64]:
    """(new, old) the share that each old pixel has in each new one."""
    edges, pixels = np.arange(new + 1) * (old / new), np.arange(old)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(shared.clip(0) * (new / old), np.float64)


def _neighbours(old: int, new: int) -> NDArray[np.float64]:
    """(new, old) the weights of the two nearest pixels' centres."""
    at = ((np.arange(new) + 0.5) * (old / new) - 0.5).clip(0, old - 1)
    return np.asarray((1 - np.abs(at[:, None] - np.arange(old))).clip(0), np.float64)
