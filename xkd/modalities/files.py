"""Decode an image file whole, or say why not."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

_JPEG_START = b"\xff\xd8"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_ORIENTATION = 0x0112  # EXIF's and TIFF's tag
_UPRIGHT = 1


def read_image(path: Path, flags: int) -> NDArray[Any]:
    """The decoded file, (H, W) or (H, W, C), as OpenCV's `flags` ask; a file that is cut off is an error, not half an image.

    Raises `FileNotFoundError` where there is no file and `ValueError` where it cannot be decoded; both name the file.
    """
    data = path.read_bytes()
    if not is_whole(data):
        raise ValueError(f"{path}: the file is cut off after {len(data)} bytes")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise ValueError(f"{path}: not an image that OpenCV can decode (JPEG, PNG, TIFF, WebP, ...)")
    if flags == cv2.IMREAD_UNCHANGED and data.startswith((_JPEG_START, _PNG_START, *_TIFF_STARTS)):
        _check_upright(path, data)
    return image


def _check_upright(path: Path, data: bytes) -> None:
    """OpenCV turns an image by its EXIF orientation, except where it is asked for the file's own channels: then pairs would part."""
    with Image.open(io.BytesIO(data)) as picture:
        turned = picture.getexif().get(_ORIENTATION, _UPRIGHT)
    if turned != _UPRIGHT:
        raise ValueError(f"{path}: is stored turned (EXIF orientation {turned}); write it upright")


def read_bands(path: Path) -> tuple[NDArray[Any], float]:
    """Any number of bands as (H, W, C), in the file's order, and the value that says "no data" (NaN where the file names none).

    TIFF and GeoTIFF through tifffile, in a compression that it lacks through rasterio; all else through OpenCV, in red, green, blue order.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        image = read_image(path, cv2.IMREAD_UNCHANGED)
        if image.ndim == 3 and image.shape[2] in (3, 4):
            image = image[..., [2, 1, 0, 3][: image.shape[2]]]
        return (image if image.ndim == 3 else image[..., None]), float("nan")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            image, axes, tags = series.asarray(), series.axes, file.pages.first.tags
    except (tifffile.TiffFileError, IndexError, struct.error) as error:
        raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        return _read_by_rasterio(path, error)
    tag, turned = tags.get("GDAL_NODATA"), tags.get("Orientation")
    if turned is not None and int(turned.value) != _UPRIGHT:
        raise ValueError(f"{path}: is stored turned (TIFF orientation {int(turned.value)}); write it upright")
    if image.ndim not in (2, 3):
        raise ValueError(f"{path}: bands are (rows, columns) or one axis more, this file has axes {axes} of {image.shape}")
    if image.ndim == 2:
        image = image[..., None]
    elif not axes.endswith("S"):
        image = np.moveaxis(image, 0, 2)  # one page or plane per band
    return image, float(tag.value) if tag is not None else float("nan")


def _read_by_rasterio(path: Path, reason: ValueError) -> tuple[NDArray[Any], float]:
    try:
        import rasterio
    except ImportError as error:
        raise ValueError(f"{path}: {reason}; rasterio may read it: pip install 'xkd[geotiff]'") from error
    try:
        with rasterio.open(path) as file:
            nodata = float("nan") if file.nodata is None else float(file.nodata)
            return np.moveaxis(file.read(), 0, 2), nodata
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{path}: cannot be read, is it cut off? tifffile: {reason}; rasterio: {error}") from error


def is_whole(data: bytes) -> bool:
    """OpenCV fills the rest of a truncated JPEG with grey and says nothing, so the end is looked for here."""
    if data.startswith(_JPEG_START):
        # entropy-coded data never hold an end marker, and an embedded thumbnail's lies before the last scan
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    if data.startswith(_PNG_START):
        return data.rfind(b"IEND") > 0
    return True
