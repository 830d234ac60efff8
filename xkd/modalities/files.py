"""Decode an image file whole, or say why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG"


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """The decoded file, (H, W) or (H, W, C), as OpenCV's `flags` ask; a file that is cut off is an error, not half an image.

    Raises `FileNotFoundError` where there is no file and `ValueError` where it cannot be decoded; both name the file.
    """
    data = path.read_bytes()
    if not _is_whole(data):
        raise ValueError(f"{path}: the file is cut off after {len(data)} bytes")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise ValueError(f"{path}: not an image that OpenCV can decode (JPEG, PNG, TIFF, WebP, ...)")
    return image


def _is_whole(data: bytes) -> bool:
    """OpenCV fills the rest of a truncated JPEG with grey and says nothing, so the end is looked for here."""
    if data.startswith(_JPEG_START):
        # entropy-coded data never hold an end marker, and an embedded thumbnail's lies before the last scan
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    if data.startswith(_PNG_START):
        return data.rfind(b"IEND") > 0
    return True
