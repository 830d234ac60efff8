"""What a sensor is: how its files are known, read, placed under a draw, varied and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix

Settings = Mapping[str, Any]  # of a sensor: its table [modalities.NAME] of a manifest.toml without `sensor`, or a part of it
Likeness = Literal["no", "if so called", "yes"]


@dataclass(frozen=True)
class Shot:
    """What one row of a data set holds of one sensor."""

    paths: tuple[Path, ...]
    calibration: Path | None = None  # of the row's cameras and scanners, for a sensor that is projected
    values: Mapping[str, float] = field(default_factory=dict, hash=False)  # columns `SENSOR.KEY`, such as thermal.scale
    shrink: int = 1  # a sensor that `Shrinks` reads it at this fraction of its size
    frames: tuple[int, ...] = ()  # of its files, or of its strip, those that a `Clip` takes, in this order

    @property
    def only(self) -> Path:
        """The path of a sensor that has one file per row; `ValueError` where there are several."""
        if len(self.paths) != 1:
            names = [path.name for path in self.paths]
            raise ValueError(
                f"this sensor has one file per row, the row names {len(names)}: {names}; frames of a clip are for Clip(sensor)"
            )
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

    A pixel that the sensor did not see (outside its image, no return, no data) is placed as NaN by a sensor whose recordings have holes,
    and as `outside` by the others. A `Batch` holds `outside` in any case (see `filled`).
    """

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of its files, in lower case."""

    @property
    def outside(self) -> tuple[float, ...]:
        """What stands, per channel, where the sensor saw nothing: its `mean` (0 once normalised), unless nothing has a value of its own."""

    @property
    def row_keys(self) -> tuple[str, ...]:
        """Numbers that a row may state of its shot, in columns `NAME.KEY`."""

    def read(self, shot: Shot) -> Any:
        """What the files hold, in `unit`, with a `shape` that begins with (height, width) of its frame: an image, or points.

        `ValueError` or `FileNotFoundError` names the file.
        """

    def place(self, content: Any, matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        """The crop of what was read under a draw: (H, W, C) of `size`."""

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """A photometric change that this sensor could have made; moves no pixel, keeps shape, dtype and what was not seen."""


@runtime_checkable
class Shrinks(Protocol):
    """A sensor whose files may be cheaper to decode at a half, a quarter or an eighth of their size."""

    def frame(self, shot: Shot) -> tuple[int, int] | None:
        """(height, width) by the file's header; None where the whole file has to be decoded in any case."""


@runtime_checkable
class Makes(Protocol):
    """A modality that no file holds: every row has it, drawn for each (row, draw)."""

    def make(self, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
        """(H, W, C) of `size`."""


@runtime_checkable
class Portable(Protocol):
    """A sensor whose ordinary files an exported folder's `run.py` can read, without xkd."""

    @property
    def recipe(self) -> Settings:
        """How, for plan.json: `kind` is "colour", or "counts" with what xkd/deploy/counts.py asks for. Empty under settings of its own."""


@runtime_checkable
class Scans(Protocol):
    """A sensor whose recordings are points, drawn into a view of any size: most of its pixels hold none.

    The row's calibration puts them into the camera's frame, where they need no registration.
    """

    @property
    def above(self) -> bool:
        """Whether they are seen from above instead, in a frame of their own."""

    @property
    def counted(self) -> tuple[bool, ...]:
        """Of each channel, whether it says how a pixel was hit and not by what: then it is 0 where nothing was seen, never NaN."""

    def ranges(self, spread: int) -> Modality:
        """The same scanner with one channel, metres, each point spread over `spread` pixels."""


@runtime_checkable
class Quantified(Protocol):
    """A sensor whose channels are quantities of their own, each with a unit and a range."""

    @property
    def quantities(self) -> tuple[tuple[str, str, tuple[float, float]], ...]:
        """Name, unit ("" for none) and span of ordinary values of each channel."""


@dataclass(frozen=True)
class Look:
    """What a file is like, before anybody has said which sensor made it."""

    suffix: str  # in lower case
    dtype: str = ""  # of its numbers, such as "uint16", or "temperatures"; empty where the suffix is all that is known
    shape: tuple[int, ...] = ()  # (H, W, C) of an image, C = 1 where its colours are all grey; of an array its own


@dataclass(frozen=True)
class Clues:
    """What a few files say of settings that their table lacks.

    `settings` are known by them. Of others no file speaks: then `content` says what the files hold, and `meanings` what that may mean,
    each in words and as the settings to give. `told` is what a person should know of the files in any case.
    """

    settings: Settings = field(default_factory=dict)
    content: str = ""
    meanings: tuple[tuple[str, Settings], ...] = ()
    told: str = ""


class Sensor(Modality, Protocol):
    """A kind of sensor, which a manifest can name: a frozen dataclass in a file of its own and a line of `xkd.modalities.SENSORS`.

    Its fields are the keys of [modalities.NAME]; all of them have defaults. What stands here serves those who make a data set of its
    files, and the tests, which find it by that line.
    """

    suffixes: ClassVar[tuple[str, ...]]  # of its files, in lower case
    names: ClassVar[tuple[str, ...]]  # words, in lower case, by which people call its columns and folders

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        """Settings that a table like this one must have, because no default could be right."""

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        """Whether a file of its suffixes that looks like this is its own: if it is so called, or whatever it is called."""

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        """What these shots say of settings that the table lacks: of `requires`, and of others that depend on the files.

        `mean` and `std` are measured by others. `ValueError` names a file where none can be read.
        """

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        """A table, and a shot of noise of (height, width) `size` that is written into the folder."""


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
        if made := [sensor.name for sensor in self.sensors if isinstance(sensor, Makes)]:
            raise ValueError(f"a stack is of sensors that have files, and '{made[0]}' has none: give it a view of its own")

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
    """A placed image with `outside` where the sensor saw nothing."""
    if image.dtype.kind in "ui":
        return image
    return np.where(np.isnan(image), np.asarray(modality.outside, image.dtype), image)
