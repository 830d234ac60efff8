"""Labels, groups and splits that somebody wrote down: in a table, or as names of folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from xkd.data.prepare.listing import stem_of
from xkd.data.prepare.records import Record
from xkd.data.prepare.split_names import class_folders
from xkd.data.rows import NONE
from xkd.data.write import read_table

_ID: Final = "id"
_LABEL: Final = "label"
_GROUP: Final = "group"
_TAKEN: Final = ("id", "split", "group", "label", "mask", "calibration")


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from. `table` is a CSV (its further columns are carried along), `folder` takes each stem's parent folder."""

    table: Path | None = None
    folder: bool = False
    multilabel: bool = False
    classes: tuple[str, ...] = ()  # in this order; all that occur, sorted, where none are named
    id_column: str = _ID
    label_column: str = _LABEL
    group_column: str = _GROUP
    split_column: str = ""


def annotate(
    records: Sequence[Record], labels: LabelSource, columns: Sequence[str], strip: str
) -> tuple[list[Record], tuple[str, ...], Counter[str], list[str]]:
    """The records with their labels, groups and splits; the classes; what was left out by reason; and remarks.

    `columns` are the sensors' names, which a table must not have; its ids are stems, or names of files with such stems.
    A label that is not among `classes` takes its row out.
    """
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    if labels.table is not None and labels.folder:
        raise ValueError("labels come from a table or from the folders' names, not from both")
    if labels.table is not None:
        records, unused, notes = _from_table(records, labels.table, labels, columns, strip)
        left_out[f"row of {labels.table.name} without a file"] = unused
    elif labels.split_column:
        raise ValueError(f"--split-column {labels.split_column} is a column of --labels CSV, which is not given")
    elif labels.folder:
        records = _from_folders(records)
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


def _from_table(
    records: Sequence[Record], path: Path, labels: LabelSource, columns: Sequence[str], strip: str
) -> tuple[list[Record], int, list[str]]:
    rows = read_table(path)
    header = [column for column in rows[0] if column is not None] if rows else []
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {line}: has not as many cells as the header, {len(header)}; put text with commas in quotes")
    stems = {record.id for record in records}
    labels, notes = _with_ids(labels, path, rows, header, stems, strip)
    further = _further(labels, path, header, columns)
    by_id: dict[str, dict[str, str]] = {}
    for line, row in enumerate(rows, 2):
        name = _stem(row[labels.id_column], stems, strip)
        if name in by_id:
            raise ValueError(f"{path}, line {line}: '{name}' is there twice")
        by_id[name] = row
    annotated = [_annotated(record, by_id[record.id], labels, further) if record.id in by_id else record for record in records]
    unused = len(by_id.keys() - stems)
    if unused == len(by_id):
        raise ValueError(
            f"{path}: none of its ids is the stem of a file; it has '{next(iter(by_id), '')}', "
            f"the files have '{records[0].id}'; see --strip"
        )
    if labels.split_column:
        notes.append(f"splits are those of the column '{labels.split_column}' of {path.name}")
    if "split" in header and labels.split_column != "split":
        notes.append(f"{path.name} has a column 'split' that is not used; --split-column split takes it")
    return annotated, unused, notes


def _with_ids(
    labels: LabelSource, path: Path, rows: Sequence[Mapping[str, str]], header: Sequence[str], stems: set[str], strip: str
) -> tuple[LabelSource, list[str]]:
    """With the column of ids, which is the one that holds the stems where nobody named another, and a note where it was found so."""
    if labels.id_column in header or labels.id_column != _ID:
        return labels, []
    fit = [column for column in header if 2 * sum(_stem(row[column], stems, strip) in stems for row in rows) > len(rows)]
    if len(fit) != 1:
        raise ValueError(f"{path}: no column '{_ID}', and no other one holds the files' stems, such as '{min(stems)}'; it has {header}")
    return replace(labels, id_column=fit[0]), [f"ids are the column '{fit[0]}' of {path.name}: it holds the files' names"]


def _further(labels: LabelSource, path: Path, header: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Columns that are carried along; `ValueError` for one that is missing, or has another meaning."""
    group = labels.group_column if labels.group_column != _GROUP else ""
    for column in filter(None, (labels.id_column, labels.split_column, group)):
        if column not in header:
            raise ValueError(f"{path}: no column '{column}'; it has {header}")
    named = (labels.id_column, labels.label_column, labels.group_column, labels.split_column)
    further = [column for column in header if column not in named and column not in _TAKEN]
    if labels.label_column not in header and (labels.label_column != _LABEL or not labels.classes):
        remedy = "" if labels.classes else ", or --classes says what they may be where none is known"
        raise ValueError(f"{path}: no column '{labels.label_column}'; --label-column names the labels', one of {further}{remedy}")
    if clash := [column for column in further if column in columns]:
        raise ValueError(f"{path}: column '{clash[0]}' is called like a sensor; rename one of them")
    if meant := [column for column in further if column in ("crop", "boxes", "calibration") or column.split(".")[0] in columns]:
        raise ValueError(f"{path}: column '{meant[0]}' has a meaning in a manifest that this table cannot give it; rename it")
    return further


def _stem(cell: str, stems: set[str], strip: str) -> str:
    """The stem that an id is, or that the file has which it names; the id itself where neither is known."""
    return cell if cell in stems or not cell or (stem := stem_of(Path(cell), strip)) not in stems else stem


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


def _from_folders(records: Sequence[Record]) -> list[Record]:
    classes = class_folders(record.id for record in records)
    if without := [record for record in records if not classes[record.id]]:
        raise ValueError(f"'{without[0].id}' lies in no folder of a class below the sensor's, which --labels-from-folder takes")
    return [replace(record, labels=(classes[record.id],)) for record in records]
