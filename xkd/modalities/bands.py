"""What an image file holds: its bands, and which of their pixels were measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

COLOURS: Final = ("red", "green", "blue")
_MOST_LISTED: Final = 12


@dataclass(frozen=True)
class Raster:
    """`values` (H, W, C) as the file has them, colours red first, `names` of the C bands, to tell them apart.

    What was not measured: pixels whose `alpha` (H, W) is 0, those that a `mask` (H, W) leaves out, what is not finite, and the value
    that the file calls `nodata` (NaN where it calls none so).
    """

    path: Path
    values: NDArray[Any]
    names: tuple[str, ...]
    nodata: float = math.nan
    alpha: NDArray[Any] | None = None
    mask: NDArray[np.bool_] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is a photograph or another picture in colours, grey ones that are stored so included."""
        return self.names == COLOURS

    @property
    def listed(self) -> str:
        """Its bands by number, for a person who has to choose."""
        return list_bands(self.names)

    def unseen(self, nodata: float | None = None) -> NDArray[np.bool_] | None:
        """(H, W, C), or (H, W, 1) for all bands alike: where nothing was measured, None where everything was."""
        parts = [] if self.alpha is None else [(self.alpha == 0)[..., None]]
        if self.mask is not None:
            parts.append(self.mask[..., None])
        if self.values.dtype.kind == "f":
            parts.append(~np.isfinite(self.values))
        for value in (self.nodata, math.nan if nodata is None else nodata):
            if (stored := as_stored(value, self.values.dtype)) is not None:
                parts.append(self.values == stored)
        parts = [part for part in parts if part.any()]
        return reduce(np.logical_or, parts) if parts else None

    def measured(self, nodata: float | None = None) -> NDArray[np.float32]:
        """(H, W, C), NaN where nothing was measured; `nodata` is a further value that says so."""
        values = self.values.astype(np.float32)
        if (unseen := self.unseen(nodata)) is not None:
            values[np.broadcast_to(unseen, values.shape)] = np.nan
        return values


def list_bands(names: Iterable[str]) -> str:
    """Bands by number, from 1, as GDAL counts; of many the first."""
    listed = [f"{number}: {name}" for number, name in enumerate(names, 1)]
    return ", ".join(listed[:_MOST_LISTED]) + (f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else "")


def choose(path: Path, chosen: tuple[int, ...], names: tuple[str, ...]) -> list[int]:
    """Places of the bands whose numbers were chosen, all where none were; `ValueError` lists the bands."""
    if wrong := [number for number in chosen if not 1 <= number <= len(names)]:
        raise ValueError(f"{path}: has no band {wrong[0]}; its bands are {list_bands(names)}")
    return [number - 1 for number in chosen] or list(range(len(names)))


def only_band(number: int | None) -> tuple[int, ...]:
    """The setting `band` of a sensor with one channel, as `choose` takes it."""
    return () if number is None else (number,)


def several_bands(raster: Raster, table: str, kind: str) -> ValueError:
    """For a file of which a sensor with one channel does not know what is meant."""
    return ValueError(
        f"{raster.path}: holds {raster.values.shape[2]} bands, {raster.listed}; {kind} has one: say which in [{table}]: band = NUMBER"
    )


def finite_or_none(value: float | None) -> float | None:
    """A `nodata` of NaN says nothing that is not so anyway, and would not be equal to itself; a whole number is one of TOML."""
    return float(value) if value is not None and math.isfinite(value) else None


def nothing_measured(path: Path) -> ValueError:
    """For a file that holds no number at all."""
    return ValueError(f"{path}: no pixel was measured: its no-data value, alpha channel or mask leaves none; is it right?")


def as_stored(nodata: float, dtype: np.dtype[Any]) -> Any:
    """The value as numbers of this kind have it, None where it is none of theirs; GDAL cuts it to the floats' span too."""
    if math.isnan(nodata) or dtype.kind not in "iuf":
        return None
    if dtype.kind == "f":
        low, high = float(np.finfo(dtype).min), float(np.finfo(dtype).max)
        return dtype.type(min(max(nodata, low), high))
    whole = math.isfinite(nodata) and nodata.is_integer() and np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max
    return dtype.type(int(nodata)) if whole else None
