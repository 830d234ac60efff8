"""Decode a TIFF whole, once it is plain that it holds what its header promises."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from xkd.modalities.limits import check_size

UPRIGHT: Final = 1  # of TIFF's and EXIF's orientations
_PLAIN = 1  # TIFF's number for "not compressed"
# bytes that one byte can become at most, by TIFF's number of the compression; of others no bound is known that would help.
# Deflate (RFC 1951): 258 of two bits. LZW: until its table of 4096 is full each code is one longer, 7.4 million of 5500.
# PackBits: 128 of two. JPEG: a block of 64 takes a bit at least, and colour at half the size counts twice more.
_MOST_PER_BYTE: Final = {_PLAIN: 1, 8: 1032, 32946: 1032, 5: 1400, 32773: 64, 7: 3 * 8 * 64}


def read_tiff(path: Path) -> tuple[NDArray[Any], float]:
    """(H, W, C) and the value that says "no data" (NaN where the file names none); tifffile, in a compression that it lacks rasterio."""
    try:
        with tifffile.TiffFile(path) as file:
            series, tags = file.series[0], file.pages.first.tags
            axes = series.axes
            refusal = _refusal(path, series)
            values: Any = None if refusal else series.asarray()
    except (ValueError, ImportError) as error:  # among them: a compression that it does not know, or not with this Python
        return _read_by_rasterio(path, error)
    except Exception as error:  # what it raises for a damaged file is of every kind
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if refusal is not None:
        raise refusal
    tag, turned = tags.get("GDAL_NODATA"), tags.get("Orientation")
    if turned is not None and int(turned.value) != UPRIGHT:
        raise ValueError(f"{path}: is stored turned (TIFF orientation {int(turned.value)}); write it upright")
    if values.ndim not in (2, 3):
        raise ValueError(f"{path}: bands are (rows, columns) or one axis more, this file has axes {axes} of {values.shape}")
    if values.ndim == 2:
        values = values[..., None]
    elif not axes.endswith("S"):
        values = np.moveaxis(values, 0, 2)  # one page or plane per band
    return values, float(tag.value) if tag is not None else float("nan")


def _refusal(path: Path, series: Any) -> ValueError | None:
    """Why it is not decoded; tifffile makes the whole array before it looks for a byte of it, and leaves zeros where there is none."""
    page = series.keyframe
    promised, pages = math.prod(series.shape) * series.dtype.itemsize, [page for page in series.pages if page is not None]
    try:
        check_size(path, page.imagewidth * page.imagelength, promised)
    except ValueError as error:
        return error
    if not any(sum(page.databytecounts) for page in pages):
        return ValueError(f"{path}: its header promises {series.shape} of {series.dtype}, and none of its strips or tiles holds a byte")
    # of values that are no whole bytes (1 or 12 bits) as many are packed together as fit
    packed = math.prod(series.shape) * min(page.bitspersample, 8 * series.dtype.itemsize) // 8
    size = sum(file.filehandle.size for file in {page.parent for page in pages})
    if packed > size * _MOST_PER_BYTE.get(int(page.compression), math.inf):
        return ValueError(f"{path}: its header promises {series.shape} of {series.dtype}, which {size} bytes cannot hold")
    return None


def _read_by_rasterio(path: Path, reason: Exception) -> tuple[NDArray[Any], float]:
    try:
        import rasterio
    except ImportError as error:
        raise ValueError(f"{path}: {reason}; rasterio may read it: pip install 'xkd[geotiff]'") from error
    try:
        with rasterio.open(path, driver="GTiff") as file:  # of itself it would follow what only calls itself .tif to other files
            size = file.width * file.height * sum(np.dtype(kind).itemsize for kind in file.dtypes)
            check_size(path, file.width * file.height, size)
            nodata = float("nan") if file.nodata is None else float(file.nodata)
            return np.moveaxis(file.read(), 0, 2), nodata
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{path}: cannot be read, is it cut off? tifffile: {reason}; rasterio: {error}") from error
