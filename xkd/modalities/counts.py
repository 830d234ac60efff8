"""The numbers of a few files, before anybody has said what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from xkd.modalities.bands import Raster
from xkd.modalities.files import read_raster
from xkd.modality import Shot

FEW: Final = 20  # files are enough for percentiles
_PIXELS: Final = 10_000  # of each, evenly spaced
_ROUNDING: Final = 1e-6  # of a step
_T = TypeVar("_T")


@dataclass(frozen=True)
class Counts:
    """Of `num_files` images: 98 % of their counts lie from `low` to `high`, none is above `most`."""

    dtype: np.dtype[Any]
    low: float
    high: float
    most: float
    num_files: int

    def __str__(self) -> str:
        kind = f"{8 * self.dtype.itemsize}-bit counts" if self.dtype.kind in "ui" else f"{self.dtype} values"
        low, high = (f"{value:,.0f}" if self.dtype.kind in "ui" else f"{value:.4g}" for value in (self.low, self.high))
        return f"{kind}, 98 % of them from {low} to {high} ({self.num_files} file{'s' * (self.num_files > 1)} read)"


def read_few(shots: Sequence[Shot], read: Callable[[Shot], _T]) -> list[_T]:
    """What some of the shots hold, evenly spaced, without those that cannot be read; the `ValueError` of the last where none can."""
    contents, problem = [], None
    for shot in shots[:: -(-len(shots) // FEW)]:
        try:
            contents.append(read(shot))
        except ValueError as error:
            problem = error
    if not contents and problem is not None:
        raise problem
    return contents


def read_rasters(shots: Sequence[Shot], chosen: tuple[int, ...] = ()) -> list[Raster]:
    """The bands, or those with the `chosen` numbers, of a few shots with one file each."""
    return read_few(shots, lambda shot: read_raster(shot.only, chosen))


def counts_of(rasters: Sequence[Raster], nodata: float | None = None, holes: bool = False) -> Counts:
    """Of the first band of each, where something was measured; with `holes` a count of 0 is none."""
    planes = [raster.measured(nodata)[..., 0] for raster in rasters]
    if holes:
        planes = [np.where(plane == 0, np.float32(np.nan), plane) if plane.any() else plane for plane in planes]
    low, high = usual_span(planes)
    most = max(float(plane[np.isfinite(plane)].max(initial=-math.inf)) for plane in planes)
    return Counts(rasters[0].values.dtype, low, high, most, len(planes))


def usual_span(images: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Between which 98 % of the finite values lie; images count alike. `ValueError` where there is none."""
    values = [image[np.isfinite(image)].astype(np.float64) for image in images]
    if not any(one.size for one in values):
        raise ValueError(f"in none of {len(images)} files that were looked at a pixel was measured")
    low, high = np.percentile(np.concatenate([one[:: max(len(one) // _PIXELS, 1)] for one in values]), (1, 99))
    return float(low), float(high)


def widened(low: float, high: float) -> list[float]:
    """[low, high] on round numbers, a tenth of their distance apart or less."""
    step = 10.0 ** (math.floor(math.log10(high - low or 1.0)) - 1)
    steps = math.floor(low / step + _ROUNDING), math.ceil(high / step - _ROUNDING)
    return [float(f"{number * step:.6g}") for number in steps]
