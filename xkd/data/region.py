"""Masks: codes of a file as area shares of a region, or of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.manifest import Manifest, Mask
from xkd.modalities.files import read_image


def read_codes(path: Path) -> NDArray[Any]:
    """The mask file as (H, W) `uint8` codes; `ValueError` where it is not 8-bit grey (a palette picture holds colours, not codes)."""
    codes = read_image(path, cv2.IMREAD_UNCHANGED)
    if codes.ndim != 2 or codes.dtype != np.uint8:
        raise ValueError(f"{path}: a mask is an 8-bit grey image of codes, this one has shape {codes.shape} and {codes.dtype}")
    return codes


def region(codes: NDArray[Any], mask: Mask, positive: Sequence[str]) -> NDArray[np.float32]:
    """(H, W, 1) with 1 where the code is one of `positive`, 0 at the other known codes, not a number at unknown ones."""
    table = np.full(256, np.nan, np.float32)
    for name, code in mask.values.items():
        table[code] = name in positive
    return np.asarray(cv2.LUT(codes, table), np.float32)[..., None]


def one_hot(codes: NDArray[Any], mask: Mask) -> NDArray[np.float32]:
    """(H, W, K) with 1 at the pixel's class of `mask.classes`, 0 in all of them where the code is ignored or unknown."""
    table = np.zeros((256, len(mask.classes)), np.float32)
    for channel, name in enumerate(mask.classes):
        table[mask.values[name], channel] = 1
    return np.asarray(table[codes])


def positive_names(manifest: Manifest, wanted: Sequence[str]) -> tuple[str, ...]:
    """The names of the codes that make the region: those that are wanted, else the manifest's; `KeyError` names the legal ones."""
    if manifest.mask is None:
        if wanted:
            raise KeyError(f"{manifest.root}: positive={list(wanted)} names codes of masks, and manifest.toml has no [mask]")
        return ()
    if unknown := [name for name in wanted if name not in manifest.mask.values]:
        raise KeyError(f"{manifest.root}: no code '{unknown[0]}' in [mask]; there are {sorted(manifest.mask.values)}")
    return tuple(wanted) or manifest.mask.positive
