"""The way of a first config in which a sensor is the label: what of it is learned, pixel by pixel, and by which loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.batch import Number, View
from xkd.data.manifest import Manifest
from xkd.data.registration import read_registered
from xkd.data.shots import shot_of
from xkd.data.supervisor import VIEW, quantities
from xkd.init.ways import Way, identifier, one_digit
from xkd.modality import Scans
from xkd.tasks import Dense

_LEVELS: Final = (1, 2, 3, 4)  # of a backbone's feature maps: grids of a quarter and coarser
_NEAREST: Final = 1 / 40  # of a scanner's range, below which its logarithm begins to fill with what is close
_LOOKED_AT: Final = 12  # rows


def way_of_sensor(manifest: Manifest, target: str, student: str, teachers: Sequence[str]) -> Way:
    """`ValueError` for a sensor that cannot be learned, or that a branch sees: it would copy."""
    _check_apart(target, student, teachers)
    number, changes = _quantity(manifest, target)
    distance = number.unit == "m" and number.range[0] > 0
    error = 0.0 if distance else _error(manifest, target, student)
    loss = "dict(type=ScaleInvariantLog)" if distance else "dict(type=PixelL1, scale=error)"
    name = identifier(target)
    return Way(
        task=Dense((number,), ratios=distance),
        lacking=f"value of {target}",
        target=f"{VIEW}{name}",
        written=f"dict(type=Dense, quantities=dict(type=quantities, view={name}){', ratios=True' if distance else ''})",
        label_loss=loss,
        teacher_loss=loss,
        names=frozenset({"Dense", "PixelDecoder", "quantities", "ScaleInvariantLog" if distance else "PixelL1"}),
        best="abs_rel" if distance else "mae",
        outputs=1,
        wrapper="PixelDecoder",
        levels=_LEVELS,
        counted="num_outputs",
        error=error,
        error_why=f"{number.unit}; losses count errors in it: half of what values are typically off their median".removeprefix("; "),
        sensor=target,
        changes=changes,
        about=f"what is learned, where there is a value: {number.described}" + (", by its ratios" if distance else ""),
        zoomed=not distance,
    )


def _check_apart(target: str, student: str, teachers: Sequence[str]) -> None:
    if target not in (student, *teachers):
        return
    who = "the student" if target == student else "a teacher"
    raise ValueError(
        f"{who} sees the target '{target}', which it would copy: name another sensor, or as teacher the student's own, --teacher {student},"
        f" for a larger network that '{target}' teaches too. For a teacher that sees both, with holes, see docs/howto/dense.md"
    )


def _quantity(manifest: Manifest, target: str) -> tuple[Number, str]:
    """The one that the sensor measures, and the changes that leave it alone: of a scanner the distance."""
    sensor, changes = manifest.modalities[target], ""
    if isinstance(sensor, Scans):
        if sensor.above:
            raise ValueError(
                f"sensor '{target}' looks from above, so its pixels are not the camera's; a target lies on the student's pixels"
            )
        (number,) = quantities(View(target, sensor.ranges(0), (1, 1)))
        low, high = max(number.range[0], _NEAREST * number.range[1]), number.range[1]
        changes = f', changes=dict(outputs=("{number.name}",), range=({low:g}, {high:g}), densify=0, mean=(), std=())'
        return Number(number.name, number.unit, (float(f"{low:g}"), float(f"{high:g}"))), changes
    numbers = quantities(View(target, sensor, (1, 1)))
    if len(numbers) > 1:
        raise ValueError(
            f"sensor '{target}' has {len(numbers)} channels, {[number.described for number in numbers]}, and a first config learns one:"
            " give manifest.toml a sensor with one of them, or write the config by hand (docs/howto/dense.md)"
        )
    return numbers[0], changes


def _error(manifest: Manifest, target: str, student: str) -> float:
    """A share of the typical distance from the median of the training rows' values; `ValueError` where all are the same."""
    rows = [row for row in manifest.rows if row.split == "train" and {target, student} <= set(row.files)]
    if not rows:
        return 1.0  # said by whoever counts the rows
    sensor, registration, seen = manifest.modalities[target], manifest.registrations.get(target), []
    for row in rows[:: max(1, len(rows) // _LOOKED_AT)][:_LOOKED_AT]:
        values: NDArray[Any] = np.asarray(read_registered(sensor, shot_of(manifest.root, row, sensor), registration))
        seen.append(values[np.isfinite(values)].ravel())
    values = np.concatenate(seen)
    off = np.abs(values - np.median(values))
    typical = float(np.median(off)) or float(off.mean())
    if not typical:
        raise ValueError(f"{manifest.root}: all values of {target} are the same, {values[0]:g}: nothing to learn")
    return one_digit(typical)
