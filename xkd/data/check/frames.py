"""The sampled rows: which they are, and what their sensors read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.check.files import Facts
from xkd.data.clips import seen_alone
from xkd.data.manifest import Manifest
from xkd.data.region import read_codes
from xkd.data.registration import read_registered, unlike_sizes
from xkd.data.rows import SPLITS, Row
from xkd.data.shots import shot_of
from xkd.geometry import IDENTITY, Box
from xkd.modality import Modality, Scans

_REACH = 3  # pixels over which a scan's returns are spread, and a depth camera's thin holes filled, so that range has edges


@dataclass(frozen=True)
class Frame:
    """A row and what its sensors hold, each (sensor, content in its own frame)."""

    row: Row
    contents: Mapping[str, tuple[Modality, Any]]
    own_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # (height, width) of files that were read into another frame

    def placed(self, name: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
        """(H, W, C): the whole frame of a sensor at `size` (height, width), its own where none is given."""
        sensor, content = self.contents[name]
        height, width = content.shape[:2]
        return sensor.place(content, IDENTITY, size or (height, width), Box(0, 0, width, height))

    def resolution(self, name: str) -> tuple[int, int]:
        """(height, width) of what the sensor itself saw, in whatever frame it is read."""
        return self.own_sizes.get(name) or self.size(name)

    def size(self, name: str) -> tuple[int, int]:
        """(height, width) of the frame that a sensor is read in."""
        shape = self.contents[name][1].shape
        return int(shape[0]), int(shape[1])


def sample_rows(rows: Sequence[Row], facts: Facts, count: int, seed: int) -> list[Row]:
    """`count` rows (all of them for 0), evenly over the splits, in a random order; crops of one frame count once.

    Rows with files that `facts` knows to be unreadable are left out.
    """
    frames = {(*row.files.items(), row.mask, row.calibration): row for row in reversed(rows) if row.files}
    broken = {key for key, fact in facts.items() if fact.problem}
    whole = [row for row in frames.values() if not any((name, path) in broken for name, paths in row.files.items() for path in paths)]
    rng = np.random.default_rng(seed)
    order = [whole[place] for place in rng.permutation(len(whole))]
    queues = [[row for row in order if row.split == split] for split in SPLITS]
    turns = [(turn, place, row) for place, queue in enumerate(queues) for turn, row in enumerate(queue)]
    chosen = sorted(turns, key=lambda item: item[:2])[: count or None]
    return [chosen[place][2] for place in rng.permutation(len(chosen))]


def read_frame(manifest: Manifest, row: Row) -> Frame:
    """All sensors of a row; `ValueError` or `FileNotFoundError` says what training would say."""
    contents = {}
    for name in row.files:
        sensor = seen_alone(row, manifest.modalities[name])
        contents[name] = (sensor, read_registered(sensor, shot_of(manifest.root, row, sensor), manifest.registrations.get(name)))
    own = {name: one.sensor_size[::-1] for name, one in manifest.registrations.items() if name in contents}
    frame = Frame(row, contents, own)
    shapes = {name: frame.size(name) for name in contents}
    if differ := unlike_sizes(shapes, manifest.pairs.same_size, manifest.registrations):
        raise ValueError(differ)
    if row.mask:
        _check_mask(manifest, row, next(iter(shapes.values())))
    return frame


def _check_mask(manifest: Manifest, row: Row, shape: tuple[int, int]) -> None:
    codes = read_codes(manifest.root / row.mask)
    assert manifest.mask is not None  # verified with the header
    known = set(manifest.mask.values.values())
    if unknown := [code for code in np.unique(codes).tolist() if code not in known]:
        raise ValueError(f"{row.mask}: unknown mask codes {unknown}; manifest.toml has {dict(manifest.mask.values)}")
    if manifest.pairs.same_size and codes.shape != shape:
        raise ValueError(f"{row.mask}: mask {codes.shape[1]}x{codes.shape[0]} for an image of {shape[1]}x{shape[0]}")


def grey(frame: Frame, name: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) of one sensor at `size`, NaN where it saw nothing: mean of colours, the first channel of others, log range of a scan."""
    sensor, content = frame.contents[name]
    if isinstance(sensor, Scans):
        metres = Frame(frame.row, {name: (sensor.ranges(_REACH), content)}).placed(name, size)[..., 0]
        return np.asarray(np.log(np.maximum(metres, np.float32(0.1))))
    placed = frame.placed(name, size)
    if placed.dtype == np.uint8:
        return np.asarray(placed.mean(2), np.float32)
    image = np.where(seen(sensor, placed), placed[..., 0], np.float32(np.nan))
    return _with_outlines(image)


def _with_outlines(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """A depth camera loses the pixels where depth jumps, which are its edges: holes so thin take the nearest pixel's value."""
    there = np.isfinite(image).astype(np.uint8)
    if there.all() or not there.any():
        return image
    _, nearest = cv2.distanceTransformWithLabels(1 - there, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(nearest.max()) + 1, np.float32)
    values[nearest[there > 0]] = image[there > 0]
    thin = cv2.morphologyEx(there, cv2.MORPH_CLOSE, np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8))
    return np.where(thin > 0, values[nearest], np.float32(np.nan))


def seen(sensor: Modality, placed: NDArray[Any]) -> NDArray[np.bool_]:
    """(H, W): whether the sensor saw something there, a scanner in any channel, others in the first."""
    if isinstance(sensor, Scans):
        return np.asarray(np.where(sensor.counted, placed > 0, ~np.isnan(placed)).any(2), np.bool_)
    return np.asarray(~np.isnan(placed[..., 0]), np.bool_)
