"""Decode a TIFF whole, once it is plain that it holds what its header promises."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from xkd.modalities.bands import COLOURS, Raster, as_stored, choose, list_bands
from xkd.modalities.limits import check_size
from xkd.packed import source

UPRIGHT: Final = 1  # of TIFF's and EXIF's orientations
_PLAIN = 1  # TIFF's number for "not compressed"
# bytes that one byte can become at most, by TIFF's number of the compression; of others no bound is known that would help.
# Deflate (RFC 1951): 258 of two bits. LZW: until its table of 4096 is full each code is one longer, 7.4 million of 5500.
# PackBits: 128 of two. JPEG: a block of 64 takes a bit at least, and colour at half the size counts twice more.
# Zstandard (RFC 8878): a block of 128 KiB that repeats one byte takes four.
_MOST_PER_BYTE: Final = {_PLAIN: 1, 8: 1032, 32946: 1032, 5: 1400, 32773: 64, 7: 3 * 8 * 64, 50000: 2**15}
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType: an overview, and a mask of what is transparent
_WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR, _LINEAR_RAW = 0, 2, 3, 6, 34892  # PhotometricInterpretation; 1 is "black is zero"
_JPEG: Final = (6, 7, 34892, 33003, 33005, 34712, 50001)  # compressions whose decoders turn YCbCr into red, green and blue
_ALPHA: Final = (1, 2)  # ExtraSamples
_DESCRIPTION: Final = re.compile(r'<Item [^>]*sample="(\d+)" role="description">([^<]*)</Item>')  # of a band, in GDAL's metadata


def read_tiff(path: Path, chosen: tuple[int, ...] = ()) -> Raster:
    """All bands, or those with the `chosen` numbers: the samples of all pages count, overviews, masks and alpha do not.

    `ValueError` names the file, and lists the bands where its images are of unlike sizes and none was chosen.
    """
    held = source(path)
    try:
        with _quiet(), tifffile.TiffFile(held) as file:
            images = [series for series in file.series if not series.keyframe.subfiletype & (_REDUCED | _MASK)]
            masks = [series for series in file.series if series.keyframe.subfiletype & (_REDUCED | _MASK) == _MASK]
            return _raster(path, images, masks, chosen)
    except _RefusedError as refusal:
        raise ValueError(f"{path}: {refusal}") from None
    except Exception as error:  # what it raises for a damaged file is of every kind
        raise ValueError(f"{path}: cannot be read: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """tifffile also logs what it makes of each tag; what matters of it is an error."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


class _RefusedError(Exception):
    """Why a file that may be whole is not read, in our own words."""


def _raster(path: Path, images: list[Any], masks: list[Any], chosen: tuple[int, ...]) -> Raster:
    if not images:
        raise _RefusedError("holds no image, only overviews or masks")
    bands = [(series, at, name) for number, series in enumerate(images) for at, name in _bands(series, number, len(images))]
    names = tuple(name for *_, name in bands)
    if len(images) > 1 and not chosen:
        raise _RefusedError(
            f"holds {len(images)} images of unlike sizes or kinds, {list_bands(names)}; say by number what you mean: band = NUMBER for"
            " thermal and depth, bands = [NUMBER, NUMBER, NUMBER] for rgb; other sensors need it in files of its own"
        )
    try:
        picked = [bands[place] for place in choose(path, chosen, names)]
    except ValueError as error:
        raise _RefusedError(str(error).removeprefix(f"{path}: ")) from error
    planes = {id(series): _planes(series) for series, *_ in picked}
    layers = [planes[id(series)][at] for series, at, _ in picked]
    first = picked[0][0]
    if len({layer.shape for layer in layers}) > 1:
        raise _RefusedError(f"its bands {list(chosen)} are of unlike sizes: {[layer.shape for layer in layers]}")
    alphas = _alphas(first)
    turned = _number(first, "Orientation", UPRIGHT)
    over = next((mask for mask in masks if _size(mask) == _size(first)), None)
    return Raster(
        path,
        upright(np.stack(layers, 2), turned),
        tuple(name for *_, name in picked),
        _nodata(first),
        upright(planes[id(first)][alphas[0]], turned) if alphas else None,
        upright(_planes(over)[0] == 0, turned) if over is not None else None,
    )


def upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, ...) that is stored in one of the eight orientations of TIFF and EXIF."""
    if orientation in (5, 6, 7, 8):
        image = np.swapaxes(image, 0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image[:, ::-1] if orientation in (2, 3, 6, 7) else image


def _size(series: Any) -> tuple[int, int]:
    return series.shape[series.axes.index("Y")], series.shape[series.axes.index("X")]


def _further(series: Any) -> list[int]:
    """Its axes beside rows and columns."""
    if not {"Y", "X"} <= set(series.axes):
        raise _RefusedError(f"has axes {series.axes} of {series.shape}; an image has rows and columns")
    return [axis for axis, letter in enumerate(series.axes) if letter not in "YX"]


def _places(series: Any) -> Iterator[tuple[int, int, int]]:
    """Of each layer: its place among all, its page and its sample."""
    axes = _further(series)
    lengths = [series.shape[axis] for axis in axes]
    samples = math.prod(length for axis, length in zip(axes, lengths, strict=True) if series.axes[axis] == "S")
    outer = [axis for axis in axes if series.axes[axis] != "S"]
    for place, index in enumerate(np.ndindex(*lengths)):
        of = dict(zip(axes, index, strict=True))
        page = 0
        for axis in outer:
            page = page * series.shape[axis] + of[axis]
        yield place, page, next((at for axis, at in of.items() if series.axes[axis] == "S"), 0) if samples > 1 else 0


def _alpha_samples(series: Any) -> tuple[int, ...]:
    extra = series.keyframe.extrasamples
    return tuple(series.keyframe.samplesperpixel - len(extra) + at for at, kind in enumerate(extra) if int(kind) in _ALPHA)


def _alphas(series: Any) -> list[int]:
    """Layers that say how transparent the others are."""
    samples = _alpha_samples(series)
    return [place for place, _, sample in _places(series) if sample in samples] if samples else []


def _bands(series: Any, number: int, images: int) -> list[tuple[int, str]]:
    """Layers that were measured, by what a person would call them."""
    page, samples = series.keyframe, _alpha_samples(series)
    metadata = page.tags.get("GDAL_METADATA")
    described = {int(at): words for at, words in _DESCRIPTION.findall(str(metadata.value))} if metadata is not None else {}
    places = list(_places(series))
    pages = 1 + max((one for _, one, _ in places), default=0)
    colours = _is_coloured(page)
    kind = f" ({page.dtype}, {page.imagewidth}x{page.imagelength})" if images > 1 else ""
    if int(page.photometric) == _PALETTE:
        places = [(3 * place + sample, one, sample) for place, one, _ in places for sample in range(3)]
    bands = []
    for place, one, sample in places:
        if sample not in samples:
            named = COLOURS[sample] if colours and sample < len(COLOURS) else described.get(sample) or f"sample {sample + 1}"
            words = [f"image {number + 1}"] * (images > 1) + [f"page {one + 1}"] * (pages > 1)
            if colours or len(places) > pages or not words:
                words.append(named)
            bands.append((place, " ".join(words) + kind))
    return bands


def _is_coloured(page: Any) -> bool:
    return int(page.photometric) in (_RGB, _PALETTE, _YCBCR)


def _planes(series: Any) -> list[NDArray[Any]]:
    """Each layer as (H, W), in the order of `_places`; a palette's indices as the three colours that they stand for."""
    page = series.keyframe
    _check(series)
    if (empty := as_stored(_nodata(series), series.dtype)) is not None:
        page.nodata = empty  # what tifffile makes of tiles that are left out; it reads the tag less kindly
    values: NDArray[Any] = series.asarray(maxworkers=1)  # data are loaded by several processes already
    rows, columns = (series.axes.index(letter) for letter in "YX")
    further = _further(series)
    whole = values.transpose(*further, rows, columns).reshape(-1, values.shape[rows], values.shape[columns])
    if int(page.photometric) == _WHITE_IS_ZERO:
        whole = ~whole if whole.dtype == np.bool_ else np.iinfo(whole.dtype).max - whole
    if int(page.photometric) == _PALETTE:
        colours = np.asarray(page.colormap >> 8, np.uint8)  # TIFF's have 16 bits
        return [colours[channel][layer.astype(np.intp)] for layer in whole for channel in range(3)]
    return list(whole)


def _check(series: Any) -> None:
    """tifffile makes the whole array before it looks for a byte of it, and leaves zeros where there is none."""
    page = series.keyframe
    promised, pages = math.prod(series.shape) * series.dtype.itemsize, [page for page in series.pages if page is not None]
    try:
        check_size(Path(), page.imagewidth * page.imagelength, promised)
    except ValueError as error:
        raise _RefusedError(str(error).partition(": ")[2]) from error
    lengths = [length for page in pages for length in page.databytecounts]
    if not any(lengths):
        raise _RefusedError(f"its header promises {series.shape} of {series.dtype}, and none of its strips or tiles holds a byte")
    # strips and tiles without a byte are left out; of values that are no whole bytes (1 or 12 bits) as many are packed as fit
    there = sum(length > 0 for length in lengths) / len(lengths)
    packed = there * math.prod(series.shape) * min(page.bitspersample, 8 * series.dtype.itemsize) // 8
    size = sum(file.filehandle.size for file in {page.parent for page in pages})
    if packed > size * _MOST_PER_BYTE.get(int(page.compression), math.inf):
        raise _RefusedError(f"its header promises {series.shape} of {series.dtype}, which {size} bytes cannot hold")
    _check_kind(page, series.dtype)


def _check_kind(page: Any, dtype: np.dtype[Any]) -> None:
    photometric = int(page.photometric)
    name = getattr(page.photometric, "name", photometric)
    if dtype.kind not in "buif":
        raise _RefusedError(f"holds {dtype} numbers; whole or real ones are read")
    if photometric == _YCBCR and int(page.compression) not in _JPEG:
        raise _RefusedError("its colours are YCbCr without JPEG; write them as red, green and blue")
    if photometric > _MASK and photometric not in (_YCBCR, _LINEAR_RAW):
        raise _RefusedError(f"its colours are {name}; write them as red, green and blue, or as plain bands")
    if photometric == _WHITE_IS_ZERO and dtype not in (np.bool_, np.uint8):
        raise _RefusedError(f"its {dtype} counts are stored with white as zero; write them with black as zero")
    if photometric == _PALETTE and page.samplesperpixel > 1:
        raise _RefusedError("has a palette and further samples; write it in colours")
    if photometric != _PALETTE and 1 < page.bitspersample < 8:
        raise _RefusedError(f"has {page.bitspersample} bits per pixel; write it with 8 or 16")


def _number(series: Any, tag: str, default: int) -> int:
    found = series.keyframe.tags.get(tag)
    return default if found is None else int(found.value)


def _nodata(series: Any) -> float:
    """GDAL_NODATA, a text; NaN where there is none."""
    tag = series.keyframe.tags.get("GDAL_NODATA")
    if tag is None:
        return math.nan
    text = str(tag.value).strip(" \0").replace(",", ".")
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise _RefusedError(f"its no-data value (GDAL_NODATA) is {tag.value!r}, which is no number") from error
