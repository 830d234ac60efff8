"""Registration in the order in which it runs: read pairs, locate the frame on one half, measure on the other, refuse what is no gain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.check.files import header_size
from xkd.data.check.residual import Measured, Residual, Shift, residual_of, shift_between
from xkd.data.manifest import Manifest
from xkd.data.register.calibration_set import CalibrationSet, read_pairs, scaling, shape_of
from xkd.data.register.locate import locate, parts
from xkd.data.registration import MODELS, Registration, check_sensors
from xkd.geometry import Matrix
from xkd.modalities.raster import warp_plane

_PARTS: Final = 3  # per side, in which the residual is measured: a turn about the middle is no shift of the whole
_FEW: Final = 0.2  # of the parts measurable may be chance, see `xkd.data.check.residual`
_LARGEST_AREA: Final = 4.0  # by which a sane transformation enlarges or shrinks a part of the frame, against frame on frame
_DIGITS: Final = 9  # of a matrix's numbers: a millionth of a pixel in the widest frame


@dataclass(frozen=True)
class RegistrationResult:
    """A registration, and the residuals of held-out pairs before and after it, in pixels of the reference."""

    registration: Registration
    before: Residual
    after: Residual
    held_out: int


def register_pairs(
    manifest: Manifest, reference: str, sensor: str, model: str, sample: int, seed: int, progress: Callable[[str, int, int], None]
) -> RegistrationResult:
    """Where `sensor` lies in the frame of `reference`, from half of `sample` pairs of split train (0: all), checked on the other half.

    `ValueError` says what is wrong with the call or with the data: too few pairs, no common edges, an absurd transformation, or a
    residual that it does not make smaller.
    """
    if model not in MODELS:
        raise ValueError(f"no model '{model}'; there are {list(MODELS)}")
    if sample < 0:
        raise ValueError(f"sample is 0 (all pairs) or more; got {sample}")
    check_sensors(sensor, reference, manifest.modalities)
    held = manifest.registrations.get(reference)
    if held is not None:
        raise ValueError(f"'{reference}' is registered to '{held.reference}' itself; register both to one sensor")
    if users := [name for name, one in manifest.registrations.items() if one.reference == sensor]:
        raise ValueError(f"'{sensor}' is the reference of '{users[0]}'; register both to one sensor")
    first, second = read_pairs(manifest, reference, sensor, sample, seed, lambda done, total: progress("pairs", done, total))
    try:
        matrix = locate(first.pairs, model, lambda done, total: progress("search", done, total))
        registration = _registration(first, matrix, reference, model)
        _check_sizes(manifest, {reference: first.size, sensor: first.sensor_size})
        _check_objects(manifest, reference, sensor, first.sensor_size)
        before = residual(second, scaling(*map(shape_of, second.pairs[0])), reference, sensor)
        after = residual(second, matrix, reference, sensor)
        _check_gain(before, after)
    except ValueError as error:
        raise ValueError(f"{manifest.root}: '{sensor}' cannot be registered to '{reference}': {error}") from error
    was = round(before.paired.median, 2) if measurable(before) else None
    measured = replace(registration, residual_before=was, residual_after=round(after.paired.median, 2))
    return RegistrationResult(measured, before, after, len(second.pairs))


def measurable(residual: Residual) -> bool:
    """Whether more parts have edges in common than by chance."""
    return residual.paired.measurable > _FEW * residual.paired.pairs


def residual(pairs: CalibrationSet, matrix: Matrix, reference: str, sensor: str) -> Residual:
    """Shifts of the parts of each frame, in pixels of the reference's files; the stranger's image is the pair's before."""
    size, measured = shape_of(pairs.pairs[0][0]), []
    placed = [warp_plane(second[..., None], matrix, size[::-1])[..., 0] for _, second in pairs.pairs]
    for number, (image, _) in enumerate(pairs.pairs):
        for box in parts(size, _PARTS):
            paired, shuffled = (_shift(image[box], other[box], pairs.factor) for other in (placed[number], placed[number - 1]))
            measured.append(Measured(str(number), paired, shuffled, reference))
    return residual_of(reference, sensor, measured)


def _shift(first: NDArray[np.float32], second: NDArray[np.float32], factor: float) -> Shift:
    shift = shift_between(first, second)
    return Shift(shift.x * factor, shift.y * factor, shift.peak)


def _registration(pairs: CalibrationSet, matrix: Matrix, reference: str, model: str) -> Registration:
    numbers = [[float(f"{number:.{_DIGITS}g}") for number in row] for row in pairs.to_files(matrix).tolist()]
    rows = tuple((row[0], row[1], row[2]) for row in numbers)
    registration = Registration(reference, rows, pairs.size, pairs.sensor_size, model, len(pairs.pairs))
    least, largest = registration.areas.min(), registration.areas.max()
    if least < 1 / _LARGEST_AREA or largest > _LARGEST_AREA:
        raise ValueError(
            "the transformation found is absurd: parts of the frame would become "
            f"{least:.2f} to {largest:.2f} times as large, {1 / _LARGEST_AREA:g} to {_LARGEST_AREA:g} are believed; "
            "take more pairs (--sample), or a simpler model"
        )
    return registration


def _check_sizes(manifest: Manifest, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Every file of both, not those of the sample alone: a registration holds for images of one size."""
    for name, size in sizes.items():
        paths = dict.fromkeys(path for row in manifest.rows for path in row.files.get(name, ()))
        for path in paths:
            here = header_size(manifest.root / path)
            if min(here) > 0 and sorted(here) != sorted(size):  # EXIF may turn it
                raise ValueError(
                    f"{path} is {here[0]}x{here[1]}, '{name}' was {size[0]}x{size[1]} in the pairs of the sample: bring all images of a"
                    " camera to one size first"
                )


def _check_objects(manifest: Manifest, reference: str, sensor: str, size: tuple[int, int]) -> None:
    """Boxes and crops stay where they are while the sensor's images move."""
    frame = None if manifest.pairs.same_size else manifest.pairs.size
    if frame == size and any(row.boxes or row.crop is not None for row in manifest.rows):
        raise ValueError(
            f"boxes and crops are given in a frame of {size[0]}x{size[1]} ([pairs] size), which is that of '{sensor}': they would be read"
            f" in the frame of '{reference}'; register '{reference}' to '{sensor}' instead"
        )


def _check_gain(before: Residual, after: Residual) -> None:
    if not measurable(after):
        raise ValueError(
            f"of the held-out pairs only {after.paired.measurable} of {after.paired.pairs} parts have edges in common after it: nothing "
            "to rely on; take more pairs (--sample), and look at them: xkd check-pairs"
        )
    if measurable(before) and after.paired.median >= before.paired.median:
        raise ValueError(
            f"the held-out pairs' residual is {before.paired.median:.2f} pixels before and {after.paired.median:.2f} after it: there is "
            "nothing to correct, or nothing that this model could"
        )
