"""Labels, groups and splits that somebody wrote down: in a table, or as names of folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xkd.data.prepare.records import Record
from xkd.data.rows import NONE
from xkd.data.write import read_table

_TAKEN = ("id", "split", "group", "label", "mask", "calibration")


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from. `table` is a CSV (its further columns are carried along), `folder` takes each stem's parent folder."""

    table: Path | None = None
    folder: bool = False
    multilabel: bool = False
    classes: tuple[str, ...] = ()  # in this order; all that occur, sorted, where none are named
    id_column: str = "id"
    label_column: str = "label"
    group_column: str = "group"
    split_column: str = ""


def annotate(
    records: Sequence[Record], labels: LabelSource, columns: Sequence[str]
) -> tuple[list[Record], tuple[str, ...], Counter[str], list[str]]:
    """The records with their labels, groups and splits; the classes; what was left out by reason; and remarks.

    `columns` are the sensors' names, which a table must not have. A label that is not among `classes` takes its row out.
    """
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    if labels.table is not None and labels.folder:
        raise ValueError("labels come from a table or from the folders' names, not from both")
    if labels.table is not None:
        records, unused, notes = _from_table(records, labels.table, labels, columns)
        left_out[f"row of {labels.table.name} without a file"] = unused
    elif labels.split_column:
        raise ValueError(f"--split-column {labels.split_column} is a column of --labels CSV, which is not given")
    elif labels.folder:
        records = [replace(record, labels=(_parent(record.id),)) for record in records]
    classes = labels.classes or tuple(sorted({name for record in records for name in record.labels or ()}))
    check_classes(classes)
    kept = []
    for record in records:
        if strange := [name for name in record.labels or () if name not in classes]:
            left_out[f"row with label '{strange[0]}', not among the classes"] += 1
        else:
            kept.append(record)
    return kept, classes, +left_out, notes


def check_classes(classes: Sequence[str]) -> None:
    """`ValueError` where there is none, or a name that a manifest cannot hold."""
    if not classes:
        raise ValueError("no classes: give labels (--labels CSV, --labels-from-folder), or name the classes with --classes")
    if wrong := [name for name in classes if not name.strip() or name == NONE or ";" in name]:
        raise ValueError(f"a class cannot be called '{wrong[0]}': ';' joins several, '{NONE}' says that there is none")


def group_of(text: str, pattern: str) -> str:
    """The first group that `pattern` captures in `text` (the one called `group`, if there is); `ValueError` names the text."""
    match = re.search(pattern, text)
    if match is None or not match.groups():
        raise ValueError(f"--group-regex '{pattern}' finds no group in '{text}'; it needs a match with brackets, such as '^(plant[0-9]+)_'")
    group = match["group"] if "group" in match.re.groupindex else match[1]
    if not group:
        raise ValueError(f"--group-regex '{pattern}' finds an empty group in '{text}'")
    return str(group)


def _from_table(records: Sequence[Record], path: Path, labels: LabelSource, columns: Sequence[str]) -> tuple[list[Record], int, list[str]]:
    rows = read_table(path)
    header = [column for column in rows[0] if column is not None] if rows else []
    for column in filter(None, (labels.id_column, labels.split_column)):
        if column not in header:
            raise ValueError(f"{path}: no column '{column}'; it has {header}")
    if labels.label_column not in header and labels.label_column != "label":
        raise ValueError(f"{path}: no column '{labels.label_column}'; it has {header}")
    named = (labels.id_column, labels.label_column, labels.group_column, labels.split_column)
    further = [column for column in header if column not in named and column not in _TAKEN]
    if clash := [column for column in further if column in columns]:
        raise ValueError(f"{path}: column '{clash[0]}' is called like a sensor; rename one of them")
    if meant := [column for column in further if column in ("crop", "boxes", "calibration") or column.split(".")[0] in columns]:
        raise ValueError(f"{path}: column '{meant[0]}' has a meaning in a manifest that this table cannot give it; rename it")
    by_id: dict[str, dict[str, str]] = {}
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {line}: has not as many cells as the header, {len(header)}; put text with commas in quotes")
        name = row[labels.id_column]
        if name in by_id:
            raise ValueError(f"{path}, line {line}: '{name}' is there twice")
        by_id[name] = row
    annotated = [_annotated(record, by_id[record.id], labels, further) if record.id in by_id else record for record in records]
    unused = len(by_id.keys() - {record.id for record in records})
    if unused == len(by_id):
        raise ValueError(
            f"{path}: none of its ids is the stem of a file; it has '{next(iter(by_id), '')}', "
            f"the files have '{records[0].id}'; see --strip"
        )
    idle = "split" in header and labels.split_column != "split"
    return annotated, unused, [f"{path.name} has a column 'split' that is not used; --split-column split takes it"] if idle else []


def _annotated(record: Record, row: Mapping[str, str], labels: LabelSource, further: Sequence[str]) -> Record:
    text = row.get(labels.label_column, "").strip()
    names: tuple[str, ...] | None = (text,) if text else None
    if labels.multilabel and text:
        names = () if text == NONE else tuple(part.strip() for part in text.split(";"))
    return replace(
        record,
        labels=names,
        group=row.get(labels.group_column, ""),
        split=row[labels.split_column] if labels.split_column else "",
        extra={column: row[column] for column in further},
    )


def _parent(stem: str) -> str:
    parent = Path(stem).parent.name
    if not parent:
        raise ValueError(f"'{stem}' lies in no folder below the sensor's; --labels-from-folder takes the parent folder's name as the class")
    return parent
