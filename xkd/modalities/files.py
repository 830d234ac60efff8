"""Decode an image file whole, or say why not."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xkd.modalities.tiff import UPRIGHT, read_tiff

IMAGES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".jp2")  # suffixes of what is decoded here

_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG"
_PNG_SIGNATURE = 8  # bytes
_PNG_CHUNK = 12  # bytes beside what it holds: length, kind, checksum
_ORIENTATION = 0x0112  # EXIF's and TIFF's tag
_GREY_TOLERANCE = 4  # counts by which the channels of a grey picture stored as colour may differ after JPEG
_EIGHTH = 8  # the smallest fraction that a JPEG is decoded at
_LYING = (5, 6, 7, 8)  # orientations that exchange width and height
# pixels that a byte can hold at most: deflate makes 1032 bytes of one, of 8 pixels each; a block of 64 takes a bit at least
_MOST_PER_BYTE = {"PNG": 8 * 1032, "JPEG": 8 * 64}
# Pillow's words for a header that it cannot read
_NO_HEADER = (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, struct.error)


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """The decoded file, (H, W) or (H, W, C), as OpenCV's `flags` ask; a file that is cut off is an error, not half an image.

    Raises `FileNotFoundError` where there is no file and `ValueError` where it cannot be decoded, or has more pixels than are safe to
    decode (twice `PIL.Image.MAX_IMAGE_PIXELS`, 179 million); both name the file.
    """
    data = path.read_bytes()
    if not is_whole(data):
        raise ValueError(f"{path}: the file is cut off after {len(data)} bytes")
    # OpenCV turns an image by its EXIF orientation, except where it is asked for the file's own channels: then pairs would part
    turned = _look_at_header(path, data, turns=flags == cv2.IMREAD_UNCHANGED)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"{path}: OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ValueError(f"{path}: not an image that OpenCV can decode (JPEG, PNG, TIFF, WebP, ...)")
    if turned != UPRIGHT:
        raise ValueError(f"{path}: is stored turned (EXIF orientation {turned}); write it upright")
    return image


def jpeg_frame(path: Path) -> tuple[int, int] | None:
    """(height, width) of a JPEG that can be decoded at a fraction, turned by its EXIF orientation; None for others and where it is broken.

    A decoder fills up the last pixels of a side that is no multiple of eight; turned, they would be the first, and all would be displaced.
    """
    try:
        with Image.open(path) as picture:
            if picture.format != "JPEG":
                return None
            width, height = picture.size
            exif = Image.Exif()
            exif.load(picture.info.get("exif", b""))  # getexif() would also look into XMP, which OpenCV does not
            orientation = exif.get(_ORIENTATION, UPRIGHT)
            if orientation != UPRIGHT and (width % _EIGHTH or height % _EIGHTH):
                return None
            return (width, height) if orientation in _LYING else (height, width)
    except (Image.DecompressionBombError, *_NO_HEADER):
        return None  # reading it says what is wrong


def _look_at_header(path: Path, data: bytes, turns: bool) -> int:
    """The EXIF orientation if `turns`; `ValueError` for an image of absurd size, before a byte of it is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            promised = _MOST_PER_BYTE.get(picture.format or "", math.inf) * len(data) < width * height
            # Pillow would decode all of a PNG, to look for the tag behind the pixels
            oriented = turns and (picture.format != "PNG" or b"eXIf" in data)
            orientation = int(picture.getexif().get(_ORIENTATION, UPRIGHT)) if oriented else UPRIGHT
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}; cut it into tiles") from error
    except _NO_HEADER:
        return UPRIGHT  # what Pillow cannot read OpenCV may; it has a limit of its own, 2**30 pixels
    if promised:
        raise ValueError(f"{path}: its header promises {width}x{height} pixels, which {len(data)} bytes cannot hold")
    return orientation


def read_bands(path: Path) -> tuple[NDArray[Any], float]:
    """Any number of bands as (H, W, C), in the file's order, and the value that says "no data" (NaN where the file names none).

    TIFF and GeoTIFF through tifffile, in a compression that it lacks through rasterio; all else through OpenCV, in red, green, blue order.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        image = read_image(path, cv2.IMREAD_UNCHANGED)
        if image.ndim == 3 and image.shape[2] in (3, 4):
            image = image[..., [2, 1, 0, 3][: image.shape[2]]]
        return (image if image.ndim == 3 else image[..., None]), float("nan")
    return read_tiff(path)


def is_grey(image: NDArray[Any]) -> bool:
    """Whether all channels of a picture (H, W, C) hold the same, but for what JPEG does to them."""
    return bool(np.ptp(image.astype(np.float32), axis=2).max() <= _GREY_TOLERANCE)


def is_whole(data: bytes) -> bool:
    """OpenCV fills the rest of a truncated JPEG with grey and says nothing, so the end is looked for here."""
    if data.startswith(_JPEG_START):
        # entropy-coded data never hold an end marker, and an embedded thumbnail's lies before the last scan
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    return not data.startswith(_PNG_START) or _png_ends(data)


def _png_ends(data: bytes) -> bool:
    """From chunk to chunk; OpenCV takes memory for what a chunk claims to hold before it looks whether the file has it."""
    at = _PNG_SIGNATURE
    while at + _PNG_CHUNK <= len(data):
        kind = data[at + 4 : at + 8]
        at += int.from_bytes(data[at : at + 4]) + _PNG_CHUNK
        if kind == b"IEND":
            return at <= len(data)
    return False
