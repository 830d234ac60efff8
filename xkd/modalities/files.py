"""Decode an image file whole, or say why not: one reader for the images of all sensors."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xkd.modalities.bands import COLOURS, Raster, choose
from xkd.modalities.tiff import UPRIGHT, read_tiff, upright
from xkd.packed import content, opened

TIFFS: Final = (".tif", ".tiff")
IMAGES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".jp2")  # suffixes of what is decoded here

_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG"
_PNG_SIGNATURE = 8  # bytes
_PNG_CHUNK = 12  # bytes beside what it holds: length, kind, checksum
_PNG_BITS, _PNG_KIND = 24, 25  # bytes of its header
_GREY_AND_ALPHA = 4  # a kind
_ANIMATED = ("PNG", "WEBP")  # a JPEG's further images are previews and gain maps
_AS_THEY_ARE = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
_COLOURS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB
_ORIENTATION = 0x0112  # EXIF's and TIFF's tag
_GREY_TOLERANCE = 4  # counts by which the channels of a grey picture stored as colour may differ after JPEG
_EIGHTH = 8  # the smallest fraction that a JPEG is decoded at
_LYING = (5, 6, 7, 8)  # orientations that exchange width and height
# pixels that a byte can hold at most: deflate makes 1032 bytes of one, of 8 pixels each; a block of 64 takes a bit at least
_MOST_PER_BYTE = {"PNG": 8 * 1032, "JPEG": 8 * 64}
# Pillow's words for a header that it cannot read
_NO_HEADER = (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, struct.error)


@dataclass(frozen=True)
class _Header:
    """What stands before the pixels, as far as Pillow can read it."""

    orientation: int = UPRIGHT
    mode: str = ""  # Pillow's
    key: object = None  # the grey, the colour or the palette's entries that are transparent
    frames: int = 1

    @property
    def shows_through(self) -> bool:
        """Whether pixels may be transparent."""
        return self.key is not None or self.mode in ("RGBA", "LA", "PA", "RGBa", "La")


def read_raster(path: Path, chosen: tuple[int, ...] = (), colours: bool = False) -> Raster:
    """All bands of an image file, upright, or those with the `chosen` numbers (the first is 1), and which of their pixels were measured.

    TIFFs are read by tifffile, all else by OpenCV, with `colours` as red, green and blue though the file be grey. An image of one bit
    per pixel is of `bool`. Raises what `read_image` does, and `ValueError` that lists the bands where a choice is missing.
    """
    if path.suffix.lower() in TIFFS:
        return read_tiff(path, chosen)
    data, header = _opened(path, turns=False)
    if header.frames > 1:
        raise ValueError(f"{path}: is an animation of {header.frames} images; write the one that is meant to a file of its own")
    flags = _COLOURS if colours else _AS_THEY_ARE
    image = _decoded(path, data, cv2.IMREAD_UNCHANGED if header.shows_through else flags)
    alpha = None
    if header.shows_through:
        image = upright(image, header.orientation)
        if image.ndim == 3 and image.shape[2] > len(COLOURS):
            image, alpha = image[..., :3], image[..., 3]
    if image.ndim == 3 and (header.shows_through or not colours):
        image = image[..., ::-1]
    if header.mode == "1":
        image = image > 0
    if data.startswith(_PNG_START) and data[_PNG_KIND] == _GREY_AND_ALPHA:
        image = image[..., :1]
    mask = image == _key(data, header.key) if isinstance(header.key, int) and image.ndim == 2 else None
    values = image if image.ndim == 3 else image[..., None]
    names: tuple[str, ...] = COLOURS if values.shape[2] == len(COLOURS) else ("grey",)
    places = choose(path, chosen, names)
    if chosen:
        values, names = values[..., places], tuple(names[place] for place in places)
    return Raster(path, values, names, alpha=alpha, mask=mask)


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """The decoded file, (H, W) or (H, W, C), as OpenCV's `flags` ask; a file that is cut off is an error, not half an image.

    Raises `FileNotFoundError` where there is no file and `ValueError` where it cannot be decoded, or has more pixels than are safe to
    decode (twice `PIL.Image.MAX_IMAGE_PIXELS`, 179 million); both name the file.
    """
    # OpenCV turns an image by its EXIF orientation, except where it is asked for the file's own channels: then pairs would part
    data, header = _opened(path, turns=flags == cv2.IMREAD_UNCHANGED)
    image = _decoded(path, data, flags)
    if header.orientation != UPRIGHT and flags == cv2.IMREAD_UNCHANGED:
        raise ValueError(f"{path}: is stored turned (EXIF orientation {header.orientation}); write it upright")
    return image


def _opened(path: Path, turns: bool) -> tuple[bytes, _Header]:
    data = content(path)
    if not is_whole(data):
        raise ValueError(f"{path}: the file is cut off after {len(data)} bytes")
    return data, _look_at_header(path, data, turns)


def _decoded(path: Path, data: bytes, flags: int) -> NDArray[Any]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(f"{path}: OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ValueError(f"{path}: not an image that OpenCV can decode (JPEG, PNG, WebP, ...)")
    return image


def _key(data: bytes, grey: int) -> int:
    """The transparent grey of a PNG as OpenCV gives it, which spreads less than 8 bits over them."""
    bits = data[_PNG_BITS]
    return grey * (255 // (2**bits - 1)) if bits in (2, 4) else grey


def jpeg_frame(path: Path) -> tuple[int, int] | None:
    """(height, width) of a JPEG that can be decoded at a fraction, turned by its EXIF orientation; None for others and where it is broken.

    A decoder fills up the last pixels of a side that is no multiple of eight; turned, they would be the first, and all would be displaced.
    """
    try:
        with opened(path) as file, Image.open(file) as picture:
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


def _look_at_header(path: Path, data: bytes, turns: bool) -> _Header:
    """Its orientation if `turns` or where pixels may be transparent; `ValueError` for an absurd size, before a byte is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            promised = _MOST_PER_BYTE.get(picture.format or "", math.inf) * len(data) < width * height
            frames = getattr(picture, "n_frames", 1) if picture.format in _ANIMATED else 1
            header = _Header(UPRIGHT, picture.mode, picture.info.get("transparency"), frames)
            # Pillow would decode all of a PNG, to look for the tag behind the pixels
            if (turns or header.shows_through) and (picture.format != "PNG" or b"eXIf" in data):
                header = replace(header, orientation=int(picture.getexif().get(_ORIENTATION, UPRIGHT)))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}; cut it into tiles") from error
    except _NO_HEADER:
        return _Header()  # what Pillow cannot read OpenCV may; it has a limit of its own, 2**30 pixels
    if promised:
        raise ValueError(f"{path}: its header promises {width}x{height} pixels, which {len(data)} bytes cannot hold")
    return header


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
