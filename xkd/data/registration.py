"""A camera that is registered to another one: where its picture lies in the other's frame, verified, and how it is read into that frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Matrix
from xkd.modalities.clip import Clip
from xkd.modalities.raster import warp_plane
from xkd.modality import Modality, Scans, Shot

MODELS: Final = ("translation", "affine", "homography")
_GRID: Final = 33  # points per side at which a transformation is looked at
_LEAST_AREA: Final = 1e-4  # of the sensor's image on a reference's frame as large as it: what is smaller comes of a singular matrix


@dataclass(frozen=True)
class Registration:
    """`[registration.SENSOR]`: from a pixel of the reference's frame to the pixel of the sensor's image that sees the same.

    `matrix` is a homography of pixel indices, a pixel's centre on whole numbers as in OpenCV; `size` and `sensor_size` are
    (width, height) of the two frames that it holds for. The rest says how it came about: the model, the pairs that it was estimated
    from, and the residual on other pairs, in pixels of the reference, None where it was not measured or not measurable.
    """

    reference: str
    matrix: tuple[tuple[float, float, float], ...]
    size: tuple[int, int]
    sensor_size: tuple[int, int]
    model: str = "homography"
    pairs: int = 0
    residual_before: float | None = None
    residual_after: float | None = None

    def __post_init__(self) -> None:
        """`ValueError` where the matrix is not finite, singular, folds the frame, or shows nothing of the sensor's image."""
        if self.model not in MODELS:
            raise ValueError(f"model must be one of {list(MODELS)}, got {self.model!r}")
        if any(len(size) != 2 or not all(type(side) is int and side > 0 for side in size) for size in (self.size, self.sensor_size)):
            raise ValueError(f"size and sensor_size are [width, height] in pixels, got {list(self.size)} and {list(self.sensor_size)}")
        if self.to_sensor.shape != (3, 3) or not np.isfinite(self.to_sensor).all():
            raise ValueError(f"matrix must be three rows of three finite numbers, got {self.matrix}")
        if self.depths.min() <= 0 or np.abs(self.areas).min() < _LEAST_AREA:
            raise ValueError(f"matrix is singular or folds the frame of {self.size[0]}x{self.size[1]} pixels: {self.matrix}")
        if self.seen_share == 0:
            raise ValueError(f"matrix leads nowhere into the sensor's {self.sensor_size[0]}x{self.sensor_size[1]} pixels: {self.matrix}")

    @property
    def to_sensor(self) -> Matrix:
        return np.array(self.matrix, np.float64)

    @property
    def depths(self) -> NDArray[np.float64]:
        """(N,) third homogeneous coordinate over the reference's frame: above 0 unless the frame is folded."""
        return np.asarray(_grid(self.size) @ self.to_sensor[2])

    @property
    def areas(self) -> NDArray[np.float64]:
        """(N,) share of the sensor's image per share of the reference's frame, all over that frame; below 0 where it is mirrored."""
        frames = np.prod(self.size) / np.prod(self.sensor_size)
        return np.asarray(np.linalg.det(self.to_sensor) / self.depths**3 * frames)

    @property
    def seen_share(self) -> float:
        """Of the reference's frame, how much lies inside the sensor's image."""
        placed = _grid(self.size) @ self.to_sensor.T
        places = placed[:, :2] / placed[:, 2:]
        inside = (places >= -0.5) & (places <= np.array(self.sensor_size) - 0.5)
        return float(inside.all(1).mean())


def read_registrations(path: Path, tables: Any, modalities: Mapping[str, Modality]) -> dict[str, Registration]:
    """Every `[registration.SENSOR]` of manifest.toml; `ValueError` names the file, the table and what is legal."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ValueError(f"{path}: write [registration.SENSOR] as a table, SENSOR one of {sorted(modalities)}")
    registrations = {}
    for name, table in tables.items():
        try:
            registrations[name] = registration_of(name, table, modalities)
            if registrations[name].reference in tables:
                raise ValueError(f"reference '{registrations[name].reference}' is registered itself; register both to one sensor")
        except ValueError as error:
            raise ValueError(f"{path}: [registration.{name}]: {error}") from error
    return registrations


def registration_of(name: str, table: Mapping[str, Any], modalities: Mapping[str, Modality]) -> Registration:
    """Of the table of sensor `name`; `ValueError` says what is legal."""
    legal = [field.name for field in fields(Registration)]
    if unknown := [key for key in table if key not in legal]:
        raise ValueError(f"unknown key {unknown[0]!r}; legal are {legal}")
    if missing := [key for key in legal[:4] if key not in table]:
        raise ValueError(f"missing key {missing[0]!r}; needed are {legal[:4]}")
    check_sensors(name, table["reference"], modalities)
    if wrong := [key for key in legal[1:4] if not isinstance(table[key], list)]:
        raise ValueError(f"{wrong[0]} must be a list, got {table[wrong[0]]!r}")
    rows = table["matrix"]
    if not all(isinstance(row, list) and len(row) == 3 and all(isinstance(number, int | float) for number in row) for row in rows):
        raise ValueError(f"matrix must be three rows of three finite numbers, got {rows}")
    numbers = {key: table[key] for key in legal[5:] if key in table}
    if wrong := [key for key, number in numbers.items() if not isinstance(number, int | float) or not isfinite(number)]:
        raise ValueError(f"{wrong[0]} must be a finite number, got {numbers[wrong[0]]!r}")
    return Registration(
        table["reference"],
        tuple((float(row[0]), float(row[1]), float(row[2])) for row in rows),
        tuple(table["size"]),
        tuple(table["sensor_size"]),
        table.get("model", "homography"),
        **numbers,
    )


def check_sensors(name: str, reference: Any, modalities: Mapping[str, Modality]) -> None:
    """`ValueError` unless both are cameras of the data set, and two of them."""
    for one in (name, reference):
        if one not in modalities:
            raise ValueError(f"no sensor {one!r}; there are {sorted(modalities)}")
        if isinstance(modalities[one], Scans):
            raise ValueError(f"'{one}' is a scanner: its points are projected by the row's calibration, correct that instead")
    if name == reference:
        raise ValueError(f"'{name}' cannot be registered to itself; there are {sorted(modalities)}")


def read_registered(modality: Modality, shot: Shot, registration: Registration | None) -> Any:
    """What the files hold, in the reference's frame where the sensor is registered.

    There it is resampled once, so a draw or a crop treats it as it treats any other file. What the sensor does not see of that frame
    is NaN, or `outside` in what was read as `uint8` counts. `ValueError` names a file of another size than was registered.
    """
    if isinstance(modality, Clip):
        return modality.joined(shot, {part: read_registered(modality.sensor, part, registration) for part in modality.parts(shot)})
    content = modality.read(shot)
    if registration is None:
        return content
    height, width = content.shape[:2]
    if (width, height) != registration.sensor_size:
        raise ValueError(
            f"{shot.paths[0]}: is {width}x{height}, [registration.{modality.name}] in manifest.toml is for "
            f"{registration.sensor_size[0]}x{registration.sensor_size[1]}; bring the file to that size, or register the sensor again"
        )
    placed = warp_plane(content, registration.to_sensor, registration.size[::-1])
    if content.dtype.kind not in "ui":
        return placed
    return np.rint(np.where(np.isnan(placed), np.asarray(modality.outside, np.float32), placed)).astype(content.dtype)


def unlike_sizes(sizes: Mapping[str, tuple[int, int]], same_size: bool, registrations: Mapping[str, Registration]) -> str:
    """What is wrong with the (height, width) of a row's sensors as they are read; empty where nothing is.

    All are alike if `same_size`, else a registered one and its reference.
    """
    bound = [{name: sizes[name] for name in (name, one.reference) if name in sizes} for name, one in registrations.items()]
    for group in [sizes] if same_size else bound:
        if len(set(group.values())) > 1:
            listed = ", ".join(f"{name} {width}x{height}" for name, (height, width) in group.items())
            remedy = "make them equal, or set [pairs] same_size = false in manifest.toml" if same_size else "register the sensor again"
            return f"sizes differ within the pair: {listed}; {remedy}"
    return ""


def _grid(size: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 3) homogeneous pixels all over a frame of (width, height), its corners included."""
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, _GRID), np.linspace(0, size[1] - 1, _GRID))
    return np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
