"""What each sensor writes of a scene, and what manifest.toml says of the sensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from energy import KELVIN_PER_COUNT
from numpy.typing import NDArray
from scanner import sweep
from scene import Scene
from sensors import COUNTS_PER_REFLECTANCE, multispectral_bands, rgb_image, thermal_image

THERMAL_RANGE = (290.0, 310.0)  # kelvin
SCAN_RANGE = (0.42, 0.54)  # metres
STEP = 1e-4  # to which NDVI, metres and intensity are rounded for their sums


@dataclass(frozen=True)
class Sums:
    """Exact sums over one recording, per channel: samples, values, squares."""

    count: int
    total: NDArray[np.int64]
    squares: NDArray[np.int64]


@dataclass(frozen=True)
class Sensor:
    """A column of the manifest."""

    folders: tuple[str, ...]  # one file per scene in each
    ending: str
    record: Callable[[Scene, np.random.Generator, Sequence[Path]], Sums]  # writes these files
    describe: Callable[[Sequence[Sums]], str]  # the table of manifest.toml, from the sums of the train split

    def path(self, folder: str, name: str) -> str:
        """Below the data set's folder."""
        return f"{folder}/{name}{self.ending}"


def write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG; OSError names the file if that fails."""
    if not cv2.imwrite(str(path), image):
        raise OSError(f"could not write {path}")


def sums(values: NDArray[np.integer]) -> Sums:
    """Integer sums of (..., C), so that their order does not matter."""
    samples = values.reshape(-1, values.shape[-1]).astype(np.int64)
    return Sums(len(samples), samples.sum(0), (samples**2).sum(0))


def moments(parts: Sequence[Sums], scale: float) -> tuple[list[str], list[str]]:
    """Mean and standard deviation per channel in the sensor's unit, as text."""
    count = sum(part.count for part in parts)
    mean = np.sum([part.total for part in parts], axis=0) / count
    deviation = np.sqrt(np.sum([part.squares for part in parts], axis=0) / count - mean**2)
    as_text = [[f"{value:.4f}" for value in scale * values] for values in (mean, deviation)]
    return as_text[0], as_text[1]


def mean_and_std(parts: Sequence[Sums], scale: float, *more: tuple[float, float]) -> str:
    """The two lines of a table; `more` are (mean, std) of channels that are not measured."""
    mean, std = moments(parts, scale)
    mean, std = mean + [str(value) for value, _ in more], std + [str(value) for _, value in more]
    return f"mean = [{', '.join(mean)}]\nstd = [{', '.join(std)}]\n"


def _record_rgb(scene: Scene, rng: np.random.Generator, files: Sequence[Path]) -> Sums:
    image = rgb_image(scene, rng)
    write_png(files[0], np.ascontiguousarray(image[..., ::-1]))
    return sums(image)


def _describe_rgb(parts: Sequence[Sums]) -> str:
    return '[modalities.rgb]\nsensor = "rgb"\n' + mean_and_std(parts, 1.0)


def _record_thermal(scene: Scene, rng: np.random.Generator, files: Sequence[Path]) -> Sums:
    counts = thermal_image(scene, rng)
    write_png(files[0], counts)
    return sums(counts[..., None])


def _describe_thermal(parts: Sequence[Sums]) -> str:
    head = f'[modalities.thermal]\nsensor = "thermal"\nunit = "K"\nscale = {KELVIN_PER_COUNT}\noffset = 0.0\n'
    return head + f"range = [{THERMAL_RANGE[0]}, {THERMAL_RANGE[1]}]\n" + mean_and_std(parts, KELVIN_PER_COUNT)


def _record_bands(scene: Scene, rng: np.random.Generator, files: Sequence[Path]) -> Sums:
    red, near = multispectral_bands(scene, rng)
    write_png(files[0], red)
    write_png(files[1], near)
    red, near = red.astype(np.float64), near.astype(np.float64)
    return sums(np.rint((near - red) / np.maximum(near + red, 1) / STEP).astype(np.int64)[..., None])


def _describe_ndvi(parts: Sequence[Sums]) -> str:
    head = '[modalities.ndvi]\nsensor = "multispectral"\nbands = ["red", "nir"]\noutputs = ["ndvi"]\n'
    return head + f"gains = [{1 / COUNTS_PER_REFLECTANCE}, {1 / COUNTS_PER_REFLECTANCE}]\n" + mean_and_std(parts, STEP)


def _record_scan(scene: Scene, rng: np.random.Generator, files: Sequence[Path]) -> Sums:
    points = sweep(scene, rng)
    np.save(files[0], points)
    channels = np.column_stack([np.linalg.norm(points[:, :3], axis=1), points[:, 3]]).astype(np.float64)
    return sums(np.rint(channels / STEP).astype(np.int64))


def _describe_lidar(parts: Sequence[Sums]) -> str:
    head = '[modalities.lidar]\nsensor = "lidar"\noutputs = ["range", "intensity", "valid"]\n'
    # jitter for a close range: the default is a car's
    head += f"range = [{SCAN_RANGE[0]}, {SCAN_RANGE[1]}]\ndensify = 2\ndropout = 0.1\nnoise = 0.001\n"
    return head + mean_and_std(parts, STEP, (0.5, 0.5))


SENSORS = {
    "rgb": Sensor(("rgb",), ".png", _record_rgb, _describe_rgb),
    "thermal": Sensor(("thermal",), ".png", _record_thermal, _describe_thermal),
    "ndvi": Sensor(("red", "nir"), ".png", _record_bands, _describe_ndvi),
    "lidar": Sensor(("lidar",), ".npy", _record_scan, _describe_lidar),
}
