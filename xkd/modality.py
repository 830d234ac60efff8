"""What a sensor is: how its files are read, placed under a draw, varied and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
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
    shrink: int = 1  # a sensor that `Shrinks` reads it at this fraction of its size

    @property
    def only(self) -> Path:
        """The path of a sensor that has one file per row; `ValueError` where there are several."""
        if len(self.paths) != 1:
            raise ValueError(f"this sensor has one file per row, the row names {len(self.paths)}: {[path.name for path in self.paths]}")
        return self.paths[0]


class Channels(Protocol):
    """What the channels of a network's input mean, and how a person looks at them.

    Images are (H, W, C) arrays, `uint8` counts or `float32` in `unit`; `mean` and `std` have one value per channel, in `unit`;
    `range` is the span of ordinary values, used to show them and to carry over weights that were trained on 0..1 inputs.
    """

    @property
    def name(self) -> str: ...
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

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """A filled image as (H, W, 3) RGB for a person."""


@runtime_checkable
class Modality(Channels, Protocol):
    """One sensor: what its files hold, in which unit; `name` is the manifest's column that it is read from.

    A pixel that the sensor did not see (outside its image, no return, no data) is placed as NaN by a sensor whose readings have holes,
    and as `mean` by the others. A `Batch` holds `mean` in any case (see `filled`): 0 once it is normalised.
    """

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


@runtime_checkable
class Shrinks(Protocol):
    """A sensor whose files may be cheaper to decode at a half, a quarter or an eighth of their size."""

    def frame(self, shot: Shot) -> tuple[int, int] | None:
        """(height, width) by the file's header; None where the whole file has to be decoded in any case."""


@dataclass(frozen=True)
class Stack:
    """Several sensors of one frame as one input, their channels one after the other (early fusion), all as `float32`.

    A row has it if it has all of them. Each sensor is read, placed and varied on its own.
    """

    sensors: tuple[Modality, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensors", tuple(self.sensors))
        names = [sensor.name for sensor in self.sensors]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"a stack has two sensors or more, of different names; got {names}")

    @property
    def name(self) -> str:
        return "+".join(sensor.name for sensor in self.sensors)

    @property
    def channels(self) -> int:
        return sum(sensor.channels for sensor in self.sensors)

    @property
    def unit(self) -> str:
        return ", ".join(f"{sensor.name} {sensor.unit}" for sensor in self.sensors)

    @property
    def range(self) -> tuple[float, float]:
        return min(sensor.range[0] for sensor in self.sensors), max(sensor.range[1] for sensor in self.sensors)

    @property
    def mean(self) -> tuple[float, ...]:
        return tuple(value for sensor in self.sensors for value in sensor.mean)

    @property
    def std(self) -> tuple[float, ...]:
        return tuple(value for sensor in self.sensors for value in sensor.std)

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """The first sensor's picture."""
        return self.sensors[0].show(image[..., : self.sensors[0].channels])


def check_finite(settings: Any, here: str) -> None:
    """`ValueError` for a number of a dataclass that is NaN or infinite, `here` says whose.

    A NaN is not equal to itself, so a sensor that holds one would not be equal to its copy, nor a view of it.
    """
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if not all(map(isfinite, _floats(value))):
            raise ValueError(f"{here}: {setting.name} must be finite, got {value}")


def _floats(value: Any) -> Iterator[float]:
    """What a setting holds of them, tuples of tuples included."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _floats(part)


def filled(image: NDArray[Any], modality: Modality) -> NDArray[Any]:
    """A placed image with `mean` where the sensor saw nothing."""
    if image.dtype.kind in "ui":
        return image
    return np.where(np.isnan(image), np.asarray(modality.mean, image.dtype), image)
