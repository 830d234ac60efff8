"""What the recordings themselves say: settings that their files tell, mean and standard deviation per sensor, and sizes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.prepare.records import Table
from xkd.data.prepare.toml import to_value
from xkd.geometry import IDENTITY, Box
from xkd.modalities import clues, modality
from xkd.modality import Modality, Scans, Shot

MOST_ROWS: Final = 500  # that are read to measure


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, in the sensor's unit, of what it saw in `num_rows` rows."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_rows: int


def complete(name: str, table: Table, shots: Sequence[Shot]) -> tuple[Table, str]:
    """The table with the settings that it lacks and that are found in the files, and a sentence about these.

    `ValueError` asks for those that no file tells, with what was seen and the settings that it may mean, to copy.
    """
    clue = clues(name, table, shots)
    if clue.content:
        keys = list(dict.fromkeys(key for _, settings in clue.meanings for key in settings))
        ways = [f"if these are {words}: --set {_flags(name, settings)}" for words, settings in clue.meanings]
        question = f"sensor '{table['sensor']}' needs {keys or 'more'}, which no file states"
        raise ValueError("; ".join([f"[modalities.{name}]: {question}; they hold {clue.content}", *ways]))
    told = [clue.told] if clue.told else []
    if clue.settings:
        listed = ", ".join(f"{key} = {to_value(value)}" for key, value in clue.settings.items())
        told.append(f"found in its files: {listed}; --set {name}.KEY=VALUE overrides this")
    return {**table, **clue.settings}, f"{name}: {'; '.join(told)}" if told else ""


@dataclass(frozen=True)
class Measurement:
    """Of some shots: their normalisation (None where the table has one), each one's (width, height), and what was not seen, in words."""

    normalisation: Normalisation | None
    sizes: tuple[tuple[int, int], ...]
    unseen: str


def measure(name: str, table: Table, shots: Sequence[Shot]) -> Measurement:
    """`ValueError` names the file, or the sensor where there is nothing to learn."""
    sensor = modality(name, table)
    moments, sizes = [], []
    for shot in shots:
        image, size = _seen(sensor, shot)
        sizes.append(size)
        pixels = image.reshape(-1, image.shape[2]).astype(np.float64)
        seen = np.isfinite(pixels)
        values = np.where(seen, pixels, 0.0)
        moments.append(np.stack([seen.mean(0), values.mean(0), np.square(values).mean(0)]))  # images of unlike sizes count alike
    unseen = "" if isinstance(sensor, Scans) else _unseen([float(1 - seen.mean()) for seen, *_ in moments])
    if "mean" in table or "std" in table:
        return Measurement(None, tuple(sizes), unseen)
    share, first, second = np.mean(moments, 0)
    share = np.where(share > 0, share, 1.0)  # a channel that was never seen has nothing to measure
    mean = first / share
    std = np.sqrt(np.maximum(second / share - mean**2, 0.0))
    if isinstance(sensor, Scans):  # what counts returns depends on the size at which it is seen, so its usual values stay
        mean, std = np.where(sensor.counted, sensor.mean, mean), np.where(sensor.counted, sensor.std, std)
    if not (std > 0).all():
        raise ValueError(
            f"[modalities.{name}]: all of its values in {len(shots)} rows of train are the same, {mean.tolist()}: nothing to learn"
        )
    limits = getattr(sensor, "range", None)
    if limits and not isinstance(sensor, Scans) and len(std) == 1 and std[0] > limits[1] - limits[0]:
        stray = f"values spread by {std[0]:.4g} about {mean[0]:.4g}, range is {limits}: is one of them no-data? Set {name}.nodata=VALUE"
        unseen = "; ".join(filter(None, (unseen, stray)))
    return Measurement(Normalisation(_rounded(mean), _rounded(std), len(shots)), tuple(sizes), unseen)


def _unseen(shares: Sequence[float]) -> str:
    """How much of the images was not seen; empty where everything was."""
    holed = sum(share > 0 for share in shares)
    if not holed:
        return ""
    return (
        f"{np.mean(shares):.2%} of the pixels in {len(shares)} rows of train were not measured (no-data, mask, alpha, NaN, out of limits),"
        f" in {holed} of these rows: they count neither in mean and std nor for networks"
    )


def _seen(sensor: Modality, shot: Shot) -> tuple[NDArray[Any], tuple[int, int]]:
    """The whole content at its own size, not a number where nothing was seen, and its (width, height)."""
    try:
        content = sensor.read(shot)
    except ValueError as error:
        raise ValueError(f"{error}; --on-broken skip leaves out all files that cannot be read") from error
    height, width = int(content.shape[0]), int(content.shape[1])
    if isinstance(content, np.ndarray):
        return content, (width, height)
    return sensor.place(content, IDENTITY, (height, width), Box(0, 0, width, height)), (width, height)


def _flags(name: str, settings: Mapping[str, Any]) -> str:
    """As `--set` takes them: text without TOML's quotes, whole numbers without their zeros."""
    return " ".join(
        shlex.quote(f"{name}.{key}={value if isinstance(value, str) else to_value(_plain(value))}") for key, value in settings.items()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
