"""What the recordings themselves say: mean and standard deviation per sensor, ordinary values, and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.prepare.records import Table
from xkd.geometry import IDENTITY, Box
from xkd.modalities import SENSORS, modality
from xkd.modalities.multispectral import INDICES
from xkd.modality import Modality, Shot

MOST_ROWS: Final = 500  # that are read to measure
_FEW_ROWS: Final = 20  # are enough for percentiles
_MILLIMETRES: Final = 50.0  # depth whose hundredth part lies above is hardly in metres
_PIXELS: Final = 10_000  # of each, evenly spaced
_BY_VIEW: Final = ("density", "valid")  # of a LiDAR: they depend on the size at which it is seen, so the sensor's usual values stay
# what only the user can know, and what stands in for it while its values are measured
_SPAN: Final[Mapping[str, tuple[str, list[float]]]] = {
    "thermal": ("range", [-1e9, 1e9]),
    "lidar": ("range", [0.0, 1e6]),
    "depth": ("limits", [1e-9, 1e9]),
    "multispectral": ("range", [0.0, 1.0]),
}
_STAND_IN: Final[Mapping[str, Mapping[str, Any]]] = {
    "thermal": {"unit": "counts", "scale": 1.0},
    "depth": {"scale": 1.0},
}


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, in the sensor's unit, of what it saw in `num_rows` rows."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_rows: int


def check_complete(name: str, table: Table, shots: Sequence[Shot]) -> None:
    """`ValueError` where the table lacks the span of ordinary values, with the measured one to copy; see `modality` for the rest."""
    sensor, trial = _trial(name, table)
    if not trial:
        return
    kind = str(table["sensor"])
    span, _ = _SPAN[kind]
    missing = [key for key in dict.fromkeys((*SENSORS[kind][1], span)) if key not in table]
    chosen = shots[:: max(len(shots) // _FEW_ROWS, 1)]
    channels = [place for place, output in enumerate(trial.get("outputs", [""])) if output not in INDICES]
    values = np.concatenate([_spread(_seen(sensor, shot)[0][..., channels]) for shot in chosen])
    low, high = np.percentile(values, (1, 99))
    if kind == "depth" and trial["scale"] == 1.0 and low > _MILLIMETRES:
        example = f"of millimetres --set {name}.scale=0.001 '{name}.{span}=[{low / 1000:.4g}, {high / 1000:.4g}]'"
    else:
        example = f"--set '{name}.{span}=[{low:.4g}, {high:.4g}]'"
    raise ValueError(
        f"[modalities.{name}]: sensor '{kind}' needs {missing}; of its values in {len(chosen)} rows of train "
        f"1 % lie below {low:g} and 99 % below {high:g} (unit '{sensor.unit}'"
        f"{', scale 1' if trial.get('scale') == 1.0 else ''}); for example {example}"
    )


def sensor_of(name: str, table: Table) -> Modality:
    """The table's sensor, or one that reads all values where it lacks the span of the ordinary ones."""
    return _trial(name, table)[0]


def _trial(name: str, table: Table) -> tuple[Modality, dict[str, Any]]:
    """The sensor, and the table that stands in for one without its span; empty where the table is complete."""
    kind = str(table.get("sensor"))
    raw = kind != "multispectral" or not set(table.get("outputs", ())) <= set(INDICES)
    if kind not in _SPAN or _SPAN[kind][0] in table or not raw:
        return modality(name, with_place(table)), {}
    span, dummy = _SPAN[kind]
    told = {key: value for key, value in table.items() if key not in ("mean", "std")}
    trial = with_place({**_STAND_IN.get(kind, {}), **told, span: dummy, **({"outputs": ["range"]} if kind == "lidar" else {})})
    return modality(name, trial), trial


def with_place(table: Table) -> dict[str, Any]:
    """The table with a mean and std that stand in for those to be measured, where it has none."""
    channels = len(table.get("outputs", ())) or {"rgb": 3}.get(str(table.get("sensor")), 1)
    place = {"mean": [0.0] * channels, "std": [1.0] * channels}
    return {**place, **table}


def measure(name: str, table: Table, shots: Sequence[Shot]) -> tuple[Normalisation | None, list[tuple[int, int]]]:
    """The normalisation (None where the table has one) and each shot's (width, height); `ValueError` names the file."""
    sensor = modality(name, with_place(table))
    moments, sizes = [], []
    for shot in shots:
        image, size = _seen(sensor, shot)
        sizes.append(size)
        pixels = image.reshape(-1, image.shape[2]).astype(np.float64)
        seen = np.isfinite(pixels)
        values = np.where(seen, pixels, 0.0)
        moments.append(np.stack([seen.mean(0), values.mean(0), np.square(values).mean(0)]))  # images of unlike sizes count alike
    if "mean" in table or "std" in table:
        return None, sizes
    share, first, second = np.mean(moments, 0)
    share = np.where(share > 0, share, 1.0)  # a channel that was never seen has nothing to measure
    mean = first / share
    std = np.sqrt(np.maximum(second / share - mean**2, 0.0))
    _keep_usual(table, mean, std)
    if not (std > 0).all():
        raise ValueError(
            f"[modalities.{name}]: all of its values in {len(shots)} rows of train are the same, {mean.tolist()}: nothing to learn"
        )
    return Normalisation(_rounded(mean), _rounded(std), len(shots)), sizes


def _seen(sensor: Modality, shot: Shot) -> tuple[NDArray[Any], tuple[int, int]]:
    """The whole reading at its own size, not a number where nothing was seen, and its (width, height)."""
    try:
        reading = sensor.read(shot)
    except ValueError as error:
        raise ValueError(f"{error}; --on-broken skip leaves out all files that cannot be read") from error
    height, width = int(reading.shape[0]), int(reading.shape[1])
    return sensor.place(reading, IDENTITY, (height, width), Box(0, 0, width, height)), (width, height)


def _spread(values: NDArray[Any]) -> NDArray[np.float64]:
    flat = values.ravel().astype(np.float64)
    flat = flat[np.isfinite(flat)]
    return flat[:: max(len(flat) // _PIXELS, 1)]


def _keep_usual(table: Table, mean: NDArray[np.float64], std: NDArray[np.float64]) -> None:
    if table["sensor"] == "lidar":
        usual = modality("lidar", table)
        for channel, output in enumerate(table["outputs"]):
            if output in _BY_VIEW:
                mean[channel], std[channel] = usual.mean[channel], usual.std[channel]


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
