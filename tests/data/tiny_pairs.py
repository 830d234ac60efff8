"""Paired samples of the tiny data set, drawn wildly unless told otherwise; and two samples compared whole."""

from __future__ import annotations

from dataclasses import astuple, is_dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset

SIZES = {"rgb": (40, 48), "thermal": (20, 24)}
WILD = Augment(rotate=25, scale=(0.8, 1.1), shift=0.05)


def make(root: Path, *names: str, split: str = "val", augment: Augment = WILD, **options: Any) -> PairedDataset:
    views = [View(name, sensor(str(root), name), SIZES[name]) for name in names or ("rgb", "thermal")]
    return PairedDataset(str(root), split, views, augment, **options)


def parts(value: Any) -> list[Any]:
    """A sample's fields, tensors as lists, so that two are compared whole."""
    if is_dataclass(value):
        return [parts(part) for part in astuple(value)]
    if isinstance(value, dict):
        return [[name, parts(part)] for name, part in value.items()]
    return [value.dtype, value.tolist()] if isinstance(value, Tensor) else value
