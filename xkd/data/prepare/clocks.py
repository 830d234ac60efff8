"""When a file was recorded: from its name, or from a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Final

from xkd.data.prepare.listing import stem_of
from xkd.data.prepare.records import File
from xkd.data.write import read_table

_UNITS: Final = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_DECIMALS: Final = 6  # as the manifest writes seconds, so that it judges a pair as the matching did


@dataclass(frozen=True)
class Clock:
    """How the time of a file is known: `tables` (sensor -> CSV with columns file, seconds), else one of `regex` and `format`.

    `regex` finds its named groups seconds, milliseconds, microseconds and nanoseconds in a file's name and adds them up; `format` is
    strptime's, of the whole stem, in UTC where it has no zone.
    """

    regex: str = ""
    format: str = ""
    tables: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.regex and not set(re.compile(self.regex).groupindex) & set(_UNITS):
            raise ValueError(f"--time-regex '{self.regex}' needs a named group, some of {list(_UNITS)}: '(?P<seconds>[0-9.]+)'")
        if self.regex and self.format:
            raise ValueError("--time-regex and --time-format both say how to read a name; give one of them")

    def read(self, column: str, files: Mapping[str, tuple[File, ...]], strip: str) -> tuple[dict[str, float], int]:
        """Stem -> seconds, and how many files the table does not know; `ValueError` names the file, or two of one time."""
        if column in self.tables:
            times, unknown = _from_table(self.tables[column], files)
        elif self.regex or self.format:
            times, unknown = {stem: self._from_name(file, strip) for stem, (file,) in files.items()}, 0
        else:
            raise ValueError(f"'{column}' has no clock: give --time-regex, --time-format, or --times {column}=CSV")
        times = {stem: round(time, _DECIMALS) for stem, time in times.items()}
        seen: dict[float, str] = {}
        for stem, time in times.items():
            if time in seen:
                raise ValueError(f"{files[seen[time]][0].path} and {files[stem][0].path} were both recorded at {time:.6f} s; which is it?")
            seen[time] = stem
        return times, unknown

    def _from_name(self, file: File, strip: str) -> float:
        name = Path(file.name).stem
        if self.regex:
            match = re.search(self.regex, name)
            if match is None:
                raise ValueError(f"{file.path}: --time-regex '{self.regex}' finds no time in '{name}'")
            return sum(_number(file.path, match[unit] or "0") * scale for unit, scale in _UNITS.items() if unit in match.re.groupindex)
        stem = Path(stem_of(Path(file.name), strip)).name
        try:
            time = datetime.strptime(stem, self.format)
        except ValueError as error:
            raise ValueError(f"{file.path}: {error}; --strip takes what is not time out of the stems") from error
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _from_table(path: Path, files: Mapping[str, tuple[File, ...]]) -> tuple[dict[str, float], int]:
    rows = read_table(path)
    if not rows or not {"file", "seconds"} <= rows[0].keys():
        raise ValueError(f"{path}: needs the columns 'file' and 'seconds'; it has {list(rows[0]) if rows else 'no rows'}")
    stems = {file.name: stem for stem, (file,) in files.items()}
    times: dict[str, float] = {}
    for line, row in enumerate(rows, 2):
        if row["file"] not in stems:
            raise ValueError(f"{path}, line {line}: no file '{row['file']}' below the sensor's folder; one is '{next(iter(stems))}'")
        if stems[row["file"]] in times:
            raise ValueError(f"{path}, line {line}: '{row['file']}' is there twice")
        times[stems[row["file"]]] = _number(path, row["seconds"])
    return times, len(files) - len(times)


def _number(path: Path, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{path}: '{text}' is no number of seconds") from error
    if not isfinite(value):
        raise ValueError(f"{path}: '{text}' is no finite number of seconds")
    return value
