"""Which sensor made the files of a folder: from what it is called, and from what the files are like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from xkd.data.prepare.pattern import base, files_of
from xkd.modalities import SENSORS
from xkd.modalities.files import IMAGES, is_grey, read_raster
from xkd.modalities.radiometric import TEMPERATURES, maker_of
from xkd.modality import Likeness, Look

_FEW: Final = 5  # files are looked at
_GRADES: Final[Sequence[Likeness]] = ("no", "if so called", "yes")


def guess(column: str, folders: Sequence[Path]) -> tuple[str, str]:
    """The sensor, and why it is this one; `ValueError` asks for it where nothing says so."""
    looks = _look_at_some(folders[0])
    likeness = {kind: min((_likeness(kind, look) for look in looks), key=_GRADES.index) for kind in SENSORS}
    like = sorted(kind for kind, grade in likeness.items() if grade != "no")
    here, files = f"--sensor {column}={','.join(map(str, folders))}", _words(looks[0])
    if not like:
        raise ValueError(f"{here}: no sensor reads {files}; files that are read: {_formats()}")
    ask = f"write {here.removeprefix('--sensor ')}:SENSOR, SENSOR one of {like}"
    for name in (column, base(folders[0]).name):
        called = called_so(name)
        if len(called) > 1:
            raise ValueError(f"{here}: '{name}' may be each of {called}; {ask}")
        if called and called[0] not in like:
            raise ValueError(f"{here}: '{name}' is a name for sensor '{called[0]}', which does not make {files}; {ask}")
        if called:
            return called[0], f"called '{name}', it holds {files}"
    sure = [kind for kind, grade in likeness.items() if grade == "yes"]
    if len(sure) == 1:
        return sure[0], f"it holds {files}"
    raise ValueError(f"{here}: holds {files}; which sensor made them? {ask}")


def called_so(name: str) -> list[str]:
    """Sensors that a column or a folder of this name may hold."""
    words = set(re.findall("[a-z]+", name.lower()))
    return [kind for kind, sensor in SENSORS.items() if words & {kind, *sensor.names}]


def look_at(path: Path) -> Look:
    """`ValueError` names a file that cannot be read."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # for a damaged header also what Python's own parser raises
            raise ValueError(f"{path}: cannot be read: {error}") from error
        return Look(suffix, array.dtype.name, tuple(array.shape))
    if suffix not in IMAGES:
        return Look(suffix)
    raster = read_raster(path)
    height, width, bands = raster.values.shape
    if maker_of(path):
        return Look(suffix, TEMPERATURES, (height, width, 1))
    channels = 1 if raster.is_picture and is_grey(raster.values) else bands
    return Look(suffix, raster.values.dtype.name, (height, width, channels))


def _look_at_some(folder: Path) -> list[Look]:
    """Of a few files of the suffix that most have, those that can be read."""
    known = {suffix for sensor in SENSORS.values() for suffix in sensor.suffixes}
    of_suffix = {path: path.suffix.lower() for path, _, _ in files_of(folder) if path.suffix.lower() in known}
    if not of_suffix:
        raise ValueError(f"{folder}: no file that ends in {sorted(known)}")
    [(most, _)] = Counter(of_suffix.values()).most_common(1)
    paths = [path for path, suffix in of_suffix.items() if suffix == most]
    looks, problem = [], None
    for path in paths[:: -(-len(paths) // _FEW)]:
        try:
            looks.append(look_at(path))
        except ValueError as error:
            problem = error
    if not looks and problem is not None:
        raise problem
    return looks


def _likeness(kind: str, look: Look) -> Likeness:
    return SENSORS[kind].recognise(look) if look.suffix in SENSORS[kind].suffixes else "no"


def _words(look: Look) -> str:
    """What such files are, to a person."""
    if not look.shape:
        return f"{look.suffix} files"
    if look.suffix == ".npy":
        return f".npy files of {look.dtype} {look.shape}"
    if look.dtype == TEMPERATURES:
        return f"radiometric JPEGs ({look.suffix})"
    bits = {"uint8": "8-bit", "uint16": "16-bit"}.get(look.dtype, look.dtype)
    channels = {1: "grey", 3: "colour", 4: "colour"}.get(look.shape[2], f"{look.shape[2]}-channel")
    return f"{bits} {channels} images ({look.suffix})"


def _formats() -> str:
    kinds: dict[tuple[str, ...], list[str]] = {}
    for kind, sensor in SENSORS.items():
        kinds.setdefault(sensor.suffixes, []).append(kind)
    return "; ".join(f"{', '.join(those)}: {' '.join(suffixes)}" for suffixes, those in kinds.items())
