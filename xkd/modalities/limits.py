"""How much is made of one image file at most."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

_PIXEL_BYTES = 8  # the largest pixel of a PNG: four channels of 16 bits; no image of any kind comes to more than the largest PNG


def check_size(path: Path, pixels: int, size: int) -> None:
    """`ValueError` for more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels (179 million), or 8 bytes for each of so many (1.4 GB)."""
    most = 2 * (Image.MAX_IMAGE_PIXELS or float("inf"))
    if pixels > most:
        raise ValueError(f"{path}: {pixels} pixels, at most {most:.0f} are decoded at once; cut it into tiles")
    if size > most * _PIXEL_BYTES:
        raise ValueError(f"{path}: {size} bytes of values, at most {most * _PIXEL_BYTES:.0f} are decoded at once; cut it into tiles")
