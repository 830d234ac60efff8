"""A sensor in the place of a label: what a view saw, pixel by pixel, under the draw of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xkd.batch import Number, View
from xkd.data.frame import crop_of
from xkd.data.manifest import Manifest
from xkd.data.recording import Recording, Recordings
from xkd.data.rows import Row
from xkd.data.sample import as_tensor
from xkd.data.shots import has
from xkd.geometry import Matrix
from xkd.modalities.raster import warp
from xkd.modality import Modality, Quantified

VIEW: Final = "view:"  # before the name of the view that is the target
_WHOLE: Final = 0.999  # of a pixel, but for rounding


def view_named(target: str) -> str:
    """The name of the view that is the target, "" where none is."""
    return target.removeprefix(VIEW) if target.startswith(VIEW) else ""


def supervisor_of(target: str, views: Sequence[View]) -> View | None:
    """The view that is the target, on the grid of the first view; None where none is, `KeyError` where it is not among `views`."""
    if not target.startswith(VIEW):
        return None
    name = view_named(target)
    known = {view.name: view for view in views}
    if name not in known:
        raise KeyError(f"target='{target}' names none of the dataset's views; there are {sorted(known)}")
    return replace(known[name], name=target, size=views[0].size)


def quantities(view: View) -> tuple[Number, ...]:
    """What each channel of a view measures, in its order, as its sensors say: for a task that learns it, `Dense(quantities(view))`."""
    return tuple(number for sensor in view.sensors for number in _of_sensor(sensor))


def _of_sensor(sensor: Modality) -> list[Number]:
    if isinstance(sensor, Quantified):
        return [Number(name, unit, span) for name, unit, span in sensor.quantities]
    names = [sensor.name] if sensor.channels == 1 else [f"{sensor.name} {channel}" for channel in range(sensor.channels)]
    return [Number(name, sensor.unit, sensor.range) for name in names]


def measured_by(rows: Sequence[Row], view: View, manifest: Manifest) -> list[Row]:
    """The rows, labelled where they have the view's sensors; `ValueError` where none has."""
    labelled = [replace(row, labels=() if has(row, view) else None, numbers=()) for row in rows]
    if rows and all(row.labels is None for row in labelled):
        columns = [sensor.name for sensor in view.sensors]
        raise ValueError(
            f"{manifest.root / 'manifest.csv'}: target='{view.name}', and no row of split '{rows[0].split}' has {' and '.join(columns)}:"
            " fill the column, or learn from something else"
        )
    return labelled


def placed(view: View, recordings: Recordings, manifest: Manifest, row: Row, matrix: Matrix) -> list[tuple[Modality, NDArray[Any]]]:
    """Each of the view's sensors with its part of the row's crop under a draw, (H, W, C)."""
    parts = []
    for sensor in view.sensors:
        recording = recordings[view.name, sensor.name]
        crop = recording.inside(crop_of(manifest, row, recording.shape))
        parts.append((sensor, sensor.place(recording.content, matrix, view.size, crop)))
    return parts


def seen_by(view: View, recordings: Recordings, manifest: Manifest, row: Row, matrix: Matrix) -> Float[Tensor, "c y x"]:
    """What the row's sensors measured, NaN where they saw nothing; `ValueError` for values that are infinite."""
    parts = []
    for sensor, image in placed(view, recordings, manifest, row, matrix):
        recording = recordings[view.name, sensor.name]
        values = image.astype(np.float32)
        if np.isinf(values).any():
            raise ValueError(f"row '{row.id}': {recording.key[1].paths[0]}: '{sensor.name}' has infinite values, which nobody can learn")
        # a recording without holes has a value for what lies outside of it
        inside = _inside(recording, manifest, row, matrix, view.size)
        parts.append(as_tensor(np.where(inside, values, np.float32(np.nan))))
    return torch.cat(parts)


def nothing_seen(view: View) -> Float[Tensor, "c y x"]:
    return torch.full((view.modality.channels, *view.size), torch.nan)


def _inside(recording: Recording, manifest: Manifest, row: Row, matrix: Matrix, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W, 1) of the target: whether all of the pixel lies on the image: what fills the rest would be a part of its value."""
    crop = recording.inside(crop_of(manifest, row, recording.shape))
    whole = np.ones((*recording.content.shape[:2], 1), np.float32)
    return np.asarray(warp(whole, matrix, size, crop) > _WHOLE)
