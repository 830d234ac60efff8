"""Paired samples of the tiny data set, drawn wildly unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset

SIZES = {"rgb": (40, 48), "thermal": (20, 24)}
WILD = Augment(rotate=25, scale=(0.8, 1.1), shift=0.05)


def make(root: Path, *names: str, split: str = "val", augment: Augment = WILD, **options: Any) -> PairedDataset:
    views = [View(name, sensor(str(root), name), SIZES[name]) for name in names or ("rgb", "thermal")]
    return PairedDataset(str(root), split, views, augment, **options)
