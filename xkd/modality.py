"""What a sensor is: how its files are read, placed under a draw, varied and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix


@dataclass(frozen=True)
class Shot:
    """What one row of a data set holds of one sensor."""

    paths: tuple[Path, ...]
    calibration: Path | None = None  # of the row's cameras and scanners, for a sensor that is projected
    values: Mapping[str, float] = field(default_factory=dict, hash=False)  # columns `SENSOR.KEY`, such as thermal.scale

    @property
    def only(self) -> Path:
        """The path of a sensor that has one file per row; `ValueError` where there are several."""
        if len(self.paths) != 1:
            raise ValueError(f"this sensor has one file per row, the row names {len(self.paths)}: {[path.name for path in self.paths]}")
        return self.paths[0]


@runtime_checkable
class Modality(Protocol):
    """One sensor: what its files hold, in which unit, and how a person looks at it.

    Images are (H, W, C) arrays, `uint8` counts or `float32` in `unit`; `mean` and `std` have one value per channel, in `unit`;
    `range` is the span of ordinary values, used to show them and to carry over weights that were trained on 0..1 inputs.
    A pixel that the sensor did not see (outside its image, no return, no data) is placed as NaN by a sensor whose readings have holes,
    and as `mean` by the others. A `Batch` holds `mean` in any case (see `filled`): 0 once it is normalised.
    """

    @property
    def name(self) -> str:
        """Column of the manifest that this sensor is read from."""

    @property
    def channels(self) -> int: ...
    @property
    def unit(self) -> str: ...
    @property
    def range(self) -> tuple[float, float]: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...

    @property
    def row_keys(self) -> tuple[str, ...]:
        """Numbers that a row may state of its shot, in columns `NAME.KEY`."""

    def read(self, shot: Shot) -> Any:
        """What the files hold, in `unit`, with a `shape` that begins with (height, width) of its frame: an image, or points.

        `ValueError` or `FileNotFoundError` names the file.
        """

    def place(self, reading: Any, matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        """The crop of a reading under a draw: (H, W, C) of `size`."""

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """A photometric change that this sensor could have made; moves no pixel, keeps shape, dtype and what was not seen."""

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """A filled image as (H, W, 3) RGB for a person."""


def filled(image: NDArray[Any], modality: Modality) -> NDArray[Any]:
    """A placed image with `mean` where the sensor saw nothing."""
    if image.dtype.kind in "ui":
        return image
    return np.where(np.isnan(image), np.asarray(modality.mean, image.dtype), image)
