"""How many numbers a point of a raw scan has: nothing in such a file says it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.packed import content

_LEAST, _MOST = 3, 10  # numbers of a point that are looked for
_NUMBERS: Final = 50_400  # of a file are looked at: whole rows of any width up to 10
_FEWEST: Final = 600  # numbers below which chance decides
_CLEAR: Final = 0.1  # share of the spread that lies between the columns, above which they differ
_EQUAL: Final = 0.9  # of the best share: a multiple of the right number has it too
_TINY, _HUGE = 1e-9, 1e12  # what no metre, intensity or time of a scan is
_POSSIBLE: Final = 0.98  # of the numbers are possible in a file that is read as it was written
_WRONG: Final = 0.5  # of the best share, below which a number of columns is refused


def check_columns(path: Path, numbers: NDArray[np.float32], columns: int) -> None:
    """`ValueError` where the numbers are rows of another width, or their count no multiple of `columns`."""
    if len(numbers) % columns:
        raise ValueError(
            f"{path}: {len(numbers)} numbers are not rows of {columns}; is the file cut off, or `columns` wrong (KITTI 4, nuScenes 5)?"
        )
    _check_single(path, numbers)
    shares = _shares(numbers)
    found = _smallest(shares)
    if found and shares.get(columns, _share(numbers, columns)) < _WRONG * shares[found]:
        raise ValueError(f"{path}: its points have {found} numbers each, not {columns}; set columns = {found} (KITTI 4, nuScenes 5)")


def _check_single(path: Path, numbers: NDArray[np.float32]) -> None:
    """`ValueError` where the numbers make sense in double precision alone: half of what is read then is bits of noise."""
    if len(numbers) % 2 or not len(numbers):
        return
    single, double = _possible(numbers), _possible(np.ascontiguousarray(numbers).view(np.float64))
    if double > _POSSIBLE > single:
        raise ValueError(f"{path}: holds numbers of 64 bits, not of 32; save it as float32: numpy.fromfile(path).astype('float32')")


def _possible(numbers: NDArray[np.floating[Any]]) -> float:
    """Share of the numbers that a scanner may say: 0, or neither tiny nor huge."""
    size = np.abs(numbers)
    return float(((size == 0) | ((size > _TINY) & (size < _HUGE))).mean())


def read_numbers(path: Path) -> NDArray[np.float32]:
    """All of a raw file, (N,); `FileNotFoundError` or `ValueError` names it."""
    held = content(path)
    return np.frombuffer(held, np.float32, len(held) // np.dtype(np.float32).itemsize)


def find_columns(paths: Sequence[Path]) -> int:
    """The one number that fits all files, 0 where nothing can be told; `ValueError` names two files that differ."""
    found: dict[int, Path] = {}
    for path in paths:
        numbers = read_numbers(path)
        _check_single(path, numbers)
        if width := _smallest(_shares(numbers)):
            found.setdefault(width, path)
    if len(found) > 1:
        (one, first), (other, second) = list(found.items())[:2]
        raise ValueError(f"{first} has {one} numbers per point and {second} has {other}; a sensor's files have one layout")
    return next(iter(found), 0)


def _smallest(shares: dict[int, float]) -> int:
    best = max(shares.values(), default=0.0)
    return min(width for width in shares if shares[width] >= _EQUAL * best) if best >= _CLEAR else 0


def _shares(numbers: NDArray[np.float32]) -> dict[int, float]:
    if len(numbers) < _FEWEST:
        return {}
    return {width: _share(numbers, width) for width in range(_LEAST, _MOST + 1) if len(numbers) % width == 0}


def _share(numbers: NDArray[np.float32], columns: int) -> float:
    """Share of the spread of size, sign and roundness that lies between columns: rows of a wrong width mix all columns, which gives 0."""
    rows = numbers[: min(len(numbers), _NUMBERS) // columns * columns].reshape(-1, columns)
    rows = np.where(np.isfinite(rows), rows, np.float32(0))
    traits = (np.log1p(np.abs(rows)), (rows == np.round(rows)).astype(np.float32), (rows < 0).astype(np.float32))
    shares = [float(trait.mean(0).var() / trait.var()) for trait in traits if trait.var() > 0]
    return float(np.mean(shares)) if shares else 0.0
