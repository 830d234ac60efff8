"""From a row to what its files hold: which shot of a sensor it names, whether the files are there, and what was read before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xkd.batch import View
from xkd.data.rows import Row
from xkd.modality import Makes, Modality, Shot
from xkd.packed import TWICE, loose_in, names_in, pack_of


def is_made(view: View) -> bool:
    """Whether the view is drawn, and no file holds it."""
    return isinstance(view.modality, Makes)


def has(row: Row, view: View) -> bool:
    """Whether the row has every sensor of the view; what is made, every row has."""
    return is_made(view) or all(sensor.name in row.files for sensor in view.sensors)


def shot_of(root: Path, row: Row, modality: Modality) -> Shot:
    """What the row holds of a sensor that it has; `root` is the data set's folder."""
    stated = row.values.get(modality.name, {})
    return Shot(
        paths=tuple(root / path for path in row.files[modality.name]),
        calibration=root / row.calibration if row.calibration else None,
        values={key: stated[key] for key in modality.row_keys if key in stated},
    )


class Reader:
    """Reads, names the row of a file that cannot be read, and keeps what it has read if `cache` says so."""

    def __init__(self, cache: bool) -> None:
        self._kept: dict[tuple[Modality, Shot] | Path, Any] | None = {} if cache else None

    def __call__(self, row: Row, key: tuple[Modality, Shot] | Path, read: Callable[[], Any]) -> Any:
        if self._kept is not None and key in self._kept:
            return self._kept[key]
        with named(row):
            reading = read()
        if self._kept is not None:
            self._kept[key] = reading
        return reading


@contextmanager
def named(row: Row) -> Iterator[None]:
    """Errors of files say whose they are."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"row '{row.id}': {error}") from error


def check_files(root: Path, rows: Sequence[Row], columns: set[str], masks: bool) -> None:
    """Every file that will be read is there: one look into each folder, not one per file.

    Raises `FileNotFoundError` that names the first missing file, its row, and how many are missing; of a packed data set `ValueError` that
    names a shard that is missing or cut off, with the first row that it concerns, or a file that is packed and lies on the disk too.
    """
    wanted = [(row.id, path) for row in rows for column, paths in row.files.items() if column in columns for path in paths]
    wanted += [(row.id, row.calibration) for row in rows if row.calibration and not columns.isdisjoint(row.files)]
    if masks:
        wanted += [(row.id, row.mask) for row in rows if row.mask]
    folders = {folder: names_in(root / folder) for folder in {os.path.dirname(path) for _, path in wanted}}
    missing = [(row_id, path) for row_id, path in wanted if os.path.basename(path) not in folders[os.path.dirname(path)]]
    if missing:
        row_id, path = missing[0]
        raise FileNotFoundError(
            f"{root / path}: no such file; row '{row_id}' of manifest.csv names it ({len(missing)} of {len(wanted)} files are missing)"
        )
    if (pack := pack_of(root)) is None:
        return
    beside = {folder: loose_in(root / folder) for folder in folders}
    for row_id, path in wanted:
        if os.path.basename(path) in beside[os.path.dirname(path)] and pack.entry(root / path) is not None:
            raise ValueError(f"row '{row_id}': {root / path}: {TWICE}")
    held = (entry.shard for _, path in wanted if (entry := pack.entry(root / path)) is not None)
    faults = pack.faults(next(held, 0))
    for row_id, path in wanted if faults else ():
        if (entry := pack.entry(root / path)) is not None and entry.shard in faults:
            raise ValueError(f"row '{row_id}': {root / path}: is in {faults[entry.shard]}")
