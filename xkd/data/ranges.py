"""A cell that names numbered files by their first and last number, as shells write it."""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)(?:\.\.(\d+))?\}")
_MOST: Final = 100_000  # files that a cell may name


def expanded(cell: str) -> list[str]:
    """The paths of a cell, joined by `;`; `rec1/{0120..0180}.jpg` names 61 of them, with a third number every so many-th.

    A number is written with as many digits as the first one. `ValueError` says what is wrong with a range.
    """
    return [path for part in cell.split(";") for path in (_range(part) if "{" in part else [part])]


def _range(path: str) -> list[str]:
    found = _RANGE.findall(path)
    if len(found) != 1 or path.count("{") != 1:
        raise ValueError(f"'{path}' is no range of files; write one as in rec1/{{0120..0180}}.jpg, or {{0120..0180..2}} for every second")
    first, last, step = int(found[0][0]), int(found[0][1]), int(found[0][2] or 1)
    if last < first or step < 1 or (last - first) // step >= _MOST:
        raise ValueError(f"'{path}' must rise from its first number to its last, by 1 or more, and name at most {_MOST:,} files")
    return [_RANGE.sub(str(number).zfill(len(found[0][0])), path) for number in range(first, last + 1, step)]
