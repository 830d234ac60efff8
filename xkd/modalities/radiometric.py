"""Radiometric JPEGs: temperatures that a thermal camera stores beside the picture that it shows."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from xkd.modalities.limits import check_size
from xkd.packed import content, opened

Maker = Literal["", "FLIR", "DJI"]

TEMPERATURES: Final = "temperatures"  # what stands for a dtype in what such a file looks like
_SUFFIXES: Final = (".jpg", ".jpeg")
_START, _SCAN, _END = b"\xff\xd8", 0xDA, 0xD9
_APP1, _APP3, _APP4, _APP5 = 0xE1, 0xE3, 0xE4, 0xE5
# https://exiftool.org/TagNames/FLIR.html: each segment has a byte, its number and the last number behind the name
_FLIR: Final = b"FLIR\0"
_FLIR_HEAD = len(_FLIR) + 3
_DIRECTORY, _ENTRY = 0x18, 32  # of its records: where their place and number are told, and how long one's entry is
_RAW, _RAW_HEAD = 1, 32  # the record of the detector's counts, and what stands before them
# https://exiftool.org/TagNames/DJI.html: counts in APP3, parameters in APP4, the calibration in APP5, none of them with a name
_DJI_SEGMENTS: Final = ({_APP3, _APP4}, {_APP3, _APP5})
_ZERO_CELSIUS: Final = 273.15  # kelvin


@dataclass(frozen=True)
class Temperatures:
    """`celsius` (H, W) of what a camera saw, of things that radiate by `emissivity` (0..1), as was set when it took the picture."""

    celsius: NDArray[np.float32]
    emissivity: float

    def within(self, unit: str) -> NDArray[np.float32]:
        """(H, W) in K or degC; `ValueError` for another unit."""
        if unit not in ("K", "degC"):
            raise ValueError(f"unit '{unit}': temperatures are given in 'K' or 'degC'")
        return self.celsius + np.float32(_ZERO_CELSIUS) if unit == "K" else self.celsius


def maker_of(path: Path) -> Maker:
    """Whose temperatures a JPEG holds; empty for any other file."""
    if path.suffix.lower() not in _SUFFIXES:
        return ""
    kinds, by_dji = set(), False
    with opened(path) as file:
        for kind, content in _segments(file):
            if kind == _APP1 and content.startswith(_FLIR):
                return "FLIR" if _holds_counts(path) else ""
            by_dji |= kind == _APP1 and (b"DJI" in content or b"drone-dji" in content)
            kinds.add(kind)
    return "DJI" if by_dji and any(needed <= kinds for needed in _DJI_SEGMENTS) else ""


def read_temperatures(path: Path, maker: Maker) -> Temperatures:
    """What the camera measured; `ValueError` names the file and what reads it, where it is not read here."""
    if maker == "DJI":
        name = path.stem
        raise ValueError(
            f"{path}: holds temperatures as DJI stores them, which its Thermal SDK alone reads: dji_irp -s {path.name} -a measure -o"
            f" {name}.raw --measurefmt float32 gives degrees Celsius, to be written as {name}.tif (docs/sensors.md has the lines). For its"
            ' picture\'s counts instead: unit = "8-bit counts"'
        )
    try:
        import flyr
    except ImportError as error:
        raise ValueError(f"{path}: holds temperatures as FLIR stores them; to read them: pip install 'xkd[flir]'") from error
    whole = _flir_segments(path)
    _check(path, whole)
    try:
        thermogram = flyr.unpack(io.BytesIO(content(path)))
        celsius = np.asarray(thermogram.celsius, np.float32)
        emissivity = float(thermogram.metadata["emissivity"])
    except Exception as error:  # what it raises for a damaged file is of every kind
        raise ValueError(f"{path}: its temperatures cannot be read: {error!r}") from error
    if celsius.ndim != 2 or not np.isfinite(celsius).any():
        raise ValueError(f"{path}: its temperatures cannot be read: they come out as {celsius.shape} numbers, none of them finite")
    return Temperatures(celsius, emissivity)


def described(temperatures: Sequence[Temperatures]) -> str:
    """What some files hold, to a person."""
    low = min(float(np.nanmin(one.celsius)) for one in temperatures)
    high = max(float(np.nanmax(one.celsius)) for one in temperatures)
    emissivities = sorted({round(one.emissivity, 3) for one in temperatures})
    settings = " to ".join(f"{value:g}" for value in dict.fromkeys((emissivities[0], emissivities[-1])))
    files = f"{len(temperatures)} file{'s' * (len(temperatures) > 1)} read"
    return f"radiometric JPEGs, {low:.1f} to {high:.1f} degC ({files}), taken with emissivity {settings}"


def _segments(file: Any) -> Iterator[tuple[int, bytes]]:
    """Marker and content of what stands before a JPEG's pixels."""
    if file.read(2) != _START:
        return
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] not in (_SCAN, _END):
        length = int.from_bytes(head[2:]) - 2
        if length < 0:
            return
        yield head[1], file.read(length)


def _flir_segments(path: Path) -> bytes:
    """FLIR's file of records, which several segments hold in pieces."""
    with opened(path) as file:
        return b"".join(content[_FLIR_HEAD:] for kind, content in _segments(file) if kind == _APP1 and content.startswith(_FLIR))


def _records(whole: bytes) -> Iterator[tuple[int, int]]:
    """Kind and place of each record; none where the directory is not whole."""
    if len(whole) < _DIRECTORY + 8:
        return
    at, count = struct.unpack_from(">II", whole, _DIRECTORY)
    if at + count * _ENTRY > len(whole):
        return
    for entry in range(at, at + count * _ENTRY, _ENTRY):
        yield int.from_bytes(whole[entry : entry + 2]), int.from_bytes(whole[entry + 12 : entry + 16])


def _holds_counts(path: Path) -> bool:
    """Whether it is the thermal picture of a FLIR camera, not the photograph that some take beside it. A broken directory counts too."""
    kinds = [kind for kind, _ in _records(_flir_segments(path))]
    return not kinds or _RAW in kinds


def _check(path: Path, whole: bytes) -> None:
    """flyr walks through as many records and makes room for as many counts as a header claims."""
    places = [at for kind, at in _records(whole) if kind == _RAW]
    if not places:
        raise ValueError(f"{path}: FLIR's records in it are broken, or hold no counts")
    raw = whole[places[0] : places[0] + _RAW_HEAD]
    if len(raw) < _RAW_HEAD:
        raise ValueError(f"{path}: FLIR's records in it are cut off")
    width, height = struct.unpack_from("<HH", raw, 2)
    picture = whole[places[0] + _RAW_HEAD :]
    check_size(path, math.prod((width, height)), 2 * width * height)
    if picture.startswith(b"\x89PNG") and struct.unpack_from(">II", picture.ljust(24, b"\0"), 16) != (width, height):
        raise ValueError(f"{path}: FLIR's records in it contradict each other about the image's size")
