"""What a layout found on the disk, before it is split, measured and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xkd.batch import Number
from xkd.data.manifest import Mask
from xkd.geometry import Box
from xkd.modalities.calibration import Camera

Table = Mapping[str, Any]  # [modalities.NAME] of manifest.toml: `sensor` and the fields of its class


class File(NamedTuple):
    """A recording, and the path below its sensor's folder that it gets in the data set."""

    path: Path
    name: str


@dataclass(frozen=True)
class Record:
    """One row to be. `labels` and `boxes` are None where nobody looked, empty where there is none; nothing is known within `ignored`.

    `mask` (H, W codes) and `calibration` are made when they are written. `frame` is what `--group-regex` reads.
    """

    id: str
    files: Mapping[str, tuple[File, ...]]  # a sensor that the row lacks is not in it
    frame: str
    group: str = ""
    split: str = ""
    labels: tuple[str, ...] | None = None
    boxes: tuple[tuple[Box, str], ...] | None = None
    crop: Box | None = None
    mask: Callable[[], NDArray[np.uint8]] | None = None
    calibration: Callable[[], Camera] | None = None
    times: Mapping[str, float] = field(default_factory=dict)  # seconds, one clock for all sensors
    extra: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[Box, ...] = ()
    numbers: tuple[float, ...] = ()  # in the place of labels, which are then ()
    bin: str = ""  # of the first number

    @property
    def kinds(self) -> frozenset[str]:
        """The classes that a split should hold its share of: labels, else those of the boxes; of numbers, bins."""
        if self.numbers:
            return frozenset({self.bin})
        if self.labels is not None:
            return frozenset(self.labels)
        return frozenset(name for _, name in self.boxes or ())


@dataclass(frozen=True)
class Contents:
    """The pairs of a layout; `left_out` counts what did not become a row or a cell, by reason.

    `frame` (width, height) is that of all boxes, crops and masks, where it is one and known: else they are in the first sensor's.
    """

    sensors: Mapping[str, Table]
    records: tuple[Record, ...]
    classes: tuple[str, ...]
    multilabel: bool = False
    mask: Mask | None = None
    max_time_offset: float = float("inf")
    frame: tuple[int, int] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
