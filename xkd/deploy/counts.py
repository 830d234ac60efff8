"""Counts of a thermal camera's file as the values that a network was trained on: this file stands beside the ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_GREY_TOLERANCE: Final = 4  # counts by which the channels of a grey picture may differ after JPEG
_FLAT: Final = 1e-6


def in_unit(data: bytes, counts: NDArray[Any], alpha: NDArray[Any] | None, of: Mapping[str, Any]) -> NDArray[np.float32]:
    """(H, W, 1) in the unit, NaN where nothing was measured, of a file: its `data`, (H, W, C) `counts` and (H, W) `alpha`, if any.

    `ValueError` for a picture in colours, a camera maker's own kind of file, and values far outside the range of training.
    """
    if b"FLIR\0" in data or b"drone-dji" in data or np.ptp(counts.astype(np.float32), axis=2).max() > _GREY_TOLERANCE:
        raise ValueError("it is a picture in colours, or a camera's own kind of file, whose temperatures xkd predict reads")
    counts = counts[..., :1]
    values = counts.astype(np.float32)
    if of["nodata"] is not None:
        values[counts == of["nodata"]] = np.nan
    if alpha is not None:
        values[alpha == 0] = np.nan
    values *= np.float32(of["scale"])
    if of["offset"]:
        values += np.float32(of["offset"])
    if np.isnan(values).all():
        raise ValueError("no pixel was measured")
    low, high = of["range"]
    if of["percentiles"]:
        low, high = np.nanpercentile(values, of["percentiles"])
        return np.asarray(np.clip((values - np.float32(low)) / np.float32(max(high - low, _FLAT)), 0, 1), np.float32)
    if not low - (high - low) <= (middle := float(np.nanmean(values))) <= high + (high - low):
        raise ValueError(f"its mean is {middle:.4g}, far outside the range {low:g} to {high:g} of training")
    return values
