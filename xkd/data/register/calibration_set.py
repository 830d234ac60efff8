"""The calibration set: sampled pairs of two cameras as grey images, small enough to hold them all, and the way back to their own pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.check.frames import grey, read_frame
from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.geometry import Matrix

FEWEST: Final = 8  # pairs: four to estimate from and four to measure on
LONGEST: Final = 640  # pixels of the longer side at which edges are compared

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]  # (H, W) of the reference and (h, w) of the sensor, NaN where nothing was seen


@dataclass(frozen=True)
class CalibrationSet:
    """`size` and `sensor_size` are (width, height) of the files; the images are smaller where those are larger than `LONGEST`.

    The reference's images are no finer than the sensor's: what one camera cannot resolve is not compared.
    """

    size: tuple[int, int]
    sensor_size: tuple[int, int]
    pairs: tuple[Pair, ...]

    @property
    def factor(self) -> float:
        """Pixels of the reference's files per pixel of its images here."""
        return float(max(self.size) / max(self.pairs[0][0].shape))

    def to_files(self, matrix: Matrix) -> Matrix:
        """A homography between the images here as one between the files."""
        to_images = scaling(self.size, shape_of(self.pairs[0][0]))
        to_sensor = scaling(shape_of(self.pairs[0][1]), self.sensor_size)
        composed = to_sensor @ matrix @ to_images
        return np.asarray(composed / composed[2, 2])


def read_pairs(
    manifest: Manifest, reference: str, sensor: str, count: int, seed: int, tick: Callable[[int, int], None]
) -> tuple[CalibrationSet, CalibrationSet]:
    """`count` pairs of split train (0: all), drawn by `seed`, in two halves: to estimate from, and to measure on.

    Files are read as they are: a registration that manifest.toml holds is ignored. Raises `ValueError` or `FileNotFoundError`, naming the
    row, for a file that cannot be read, where images of one camera differ in size, and where pairs are too few.
    """
    raw = replace(manifest, registrations={}, pairs=replace(manifest.pairs, same_size=False))
    rows = _sampled(manifest.rows, reference, sensor, count, seed)
    sizes: dict[str, tuple[tuple[int, int], str]] = {}
    pairs = []
    for number, row in enumerate(rows, 1):
        try:
            frame = read_frame(raw, row)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"row '{row.id}': {error}") from error
        for name in (reference, sensor):
            own = frame.size(name)[::-1]
            first, where = sizes.setdefault(name, (own, row.id))
            if own != first:
                raise ValueError(
                    f"{manifest.root}: '{name}' is {first[0]}x{first[1]} in row '{where}' and {own[0]}x{own[1]} in row '{row.id}': "
                    "one transformation is for cameras that do not change; bring their images to one size first"
                )
        small = _smaller(sizes[sensor][0], LONGEST)
        pairs.append((grey(frame, reference, _smaller(sizes[reference][0], min(LONGEST, max(small)))), grey(frame, sensor, small)))
        tick(number, len(rows))
    if len(pairs) < FEWEST:
        raise ValueError(
            f"{manifest.root}: {len(pairs)} pairs of '{reference}' and '{sensor}' in this sample of train; {FEWEST} are needed at least"
        )
    estimate, measure = (CalibrationSet(sizes[reference][0], sizes[sensor][0], tuple(pairs[half::2])) for half in (0, 1))
    return estimate, measure


def scaling(source: tuple[int, int], target: tuple[int, int]) -> Matrix:
    """From pixel indices of a frame of (width, height) to those of the same frame at another size."""
    x, y = target[0] / source[0], target[1] / source[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def shape_of(image: NDArray[np.float32]) -> tuple[int, int]:
    """(width, height)."""
    return image.shape[1], image.shape[0]


def _sampled(rows: Sequence[Row], reference: str, sensor: str, count: int, seed: int) -> list[Row]:
    """Rows of train that have both, crops of one frame once, in a random order."""
    frames = {
        (row.files[reference], row.files[sensor]): row
        for row in reversed(rows)
        if row.split == "train" and reference in row.files and sensor in row.files
    }
    whole = [
        replace(row, files={name: row.files[name] for name in (reference, sensor)}, mask="", crop=None) for row in reversed(frames.values())
    ]
    order = np.random.default_rng(seed).permutation(len(whole))
    return [whole[place] for place in order[: count or None]]


def _smaller(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) of an image of (width, height) with the longer side at most so long."""
    factor = max(1.0, max(size) / longest)
    return max(round(size[1] / factor), 1), max(round(size[0] / factor), 1)
