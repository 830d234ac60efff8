"""What manifest.toml says of the sensors: settings that their files tell, normalisation, and whether a row's images are of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xkd.data.prepare.measure import MOST_ROWS, Normalisation, complete, measure
from xkd.data.prepare.records import Contents, Record
from xkd.modality import Shot

ShotOf = Callable[[Record, str], Shot]  # of a record and a sensor that it has
Size = tuple[int, int]  # (width, height)


def completed(contents: Contents, train: Sequence[Record], shot: ShotOf, notes: list[str]) -> Contents:
    """With the settings that the train rows' files tell; `ValueError` asks for those that they do not."""
    tables = {}
    for column, table in contents.sensors.items():
        tables[column], note = complete(column, table, [shot(record, column) for record in _with(column, train)])
        notes += [note] if note else []
    return replace(contents, sensors=tables)


def measured(
    contents: Contents, train: Sequence[Record], shot: ShotOf, notes: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, str], dict[str, Any]]:
    """The sensors' tables with their normalisation, comments for them, and [pairs]."""
    sample = train[:: -(-len(train) // MOST_ROWS)]
    tables, comments = {}, {}
    sizes: dict[str, dict[str, Size]] = {}  # row -> sensor -> (width, height)
    for column, table in contents.sensors.items():
        rows = _with(column, sample)
        found = measure(column, table, [shot(record, column) for record in rows])
        normalisation = found.normalisation
        notes += [f"{column}: {found.unseen}"] if found.unseen else []
        for record, size in zip(rows, found.sizes, strict=True):
            sizes.setdefault(record.id, {})[column] = size
        tables[column] = {**table} | ({"mean": normalisation.mean, "std": normalisation.std} if normalisation else {})
        if normalisation:
            comments[f"modalities.{column}"] = _measured_on(normalisation, sum(column in record.files for record in train))
    return tables, comments, _pairs(contents, sizes, notes)


def _with(column: str, rows: Sequence[Record]) -> list[Record]:
    kept = [record for record in rows if column in record.files]
    if not kept:
        raise ValueError(
            f"no row of split 'train' has '{column}'; it cannot be normalised or learned from. If it should, see --strip, or for times"
            " --tolerance, --offset and --estimate-offset"
        )
    return kept


def _measured_on(normalisation: Normalisation, total: int) -> str:
    return f"mean and std were measured on {normalisation.num_rows} of the {total} train rows"


def _pairs(contents: Contents, sizes: Mapping[str, Mapping[str, Size]], notes: list[str]) -> dict[str, Any]:
    """[pairs]: how far apart in time, and whether the sensors' images have one size."""
    pairs: dict[str, Any] = {}
    if contents.max_time_offset < float("inf"):
        pairs["max_time_offset"] = contents.max_time_offset
    frame = {contents.frame} if contents.frame else set()
    unlike = [row for row, of_row in sizes.items() if len(frame.union(of_row.values())) > 1]
    if not unlike:
        return pairs
    listed = ", ".join(f"{column} {width}x{height}" for column, (width, height) in sizes[unlike[0]].items())
    pairs["same_size"] = False
    frames = frame or {of_row[first] for of_row in sizes.values() if (first := next(iter(contents.sensors))) in of_row}
    if len(frames) == 1:
        pairs["size"] = list(frames.pop())
    elif any(record.boxes or record.crop for record in contents.records):
        raise ValueError(
            f"row '{unlike[0]}': sizes differ within the pair ({listed}) and from row to row; "
            "boxes need one frame: bring the files to one size"
        )
    unlike = [row for row in unlike if len(set(sizes[row].values())) > 1]
    if not unlike:
        return pairs
    listed = ", ".join(f"{column} {width}x{height}" for column, (width, height) in sizes[unlike[0]].items())
    notes.append(
        f"sizes differ within {len(unlike)} of {len(sizes)} pairs that were looked at, as in '{unlike[0]}' ({listed}): "
        "both must show the same field of view; two fixed cameras that do not are registered by xkd register-pairs"
    )
    return pairs
