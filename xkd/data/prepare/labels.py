"""Labels, groups and splits that somebody wrote down: in a table, or as names of folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from xkd.batch import Number
from xkd.data import choose
from xkd.data.class_names import remarks
from xkd.data.prepare.label_columns import id_column, labelling, split_column
from xkd.data.prepare.numbers import numbered
from xkd.data.prepare.records import Record
from xkd.data.prepare.split_names import class_folders, named_split
from xkd.data.prepare.stems import Stems, one_form
from xkd.data.prepare.tables import TextTable, read_any_table
from xkd.data.rows import IGNORED, NONE

_TAKEN: Final = ("id", "split", "group", "label", "mask", "calibration")
_EXAMPLES: Final = 3


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from. `table` is a CSV (its further columns are carried along), `folder` takes the name of each file's folder.

    Columns that are not named are found. `separator` joins several labels of a cell, and is found too; `splits_elsewhere` says that
    somebody chose other splits than the table's, `unlabelled` that nobody has labelled anything.
    """

    table: Path | None = None
    folder: bool = False
    multilabel: bool = False
    classes: tuple[str, ...] = ()  # in this order; all that occur, sorted, where none are named
    id_column: str = ""
    label_column: str = ""
    group_column: str = ""
    split_column: str = ""
    separator: str = ""
    splits_elsewhere: bool = False
    unlabelled: bool = False
    numbers: tuple[Number, ...] = ()  # columns of the table that label rows, in the place of classes


@dataclass(frozen=True)
class Annotated:
    """The records with their labels, groups and splits, the classes, what was left out by reason, and remarks."""

    records: list[Record]
    classes: tuple[str, ...]
    multilabel: bool
    left_out: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


def annotate(records: Sequence[Record], labels: LabelSource, columns: Sequence[str], strip: str) -> Annotated:
    """`columns` are the sensors' names, which a table must not have; its ids are stems, or names of files with such stems.

    A label that is not among the classes takes its row out; `ValueError` where no row keeps a label though labels are given.
    """
    if labels.unlabelled:
        _check_unlabelled(labels)
        return Annotated(list(records), (), False)
    given = _numbered if labels.numbers else _classed
    return given(records, labels, columns, strip)


def _classed(records: Sequence[Record], labels: LabelSource, columns: Sequence[str], strip: str) -> Annotated:
    """Rows that a table, or the folders' names, label with classes."""
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    multilabel = labels.multilabel or bool(labels.separator)
    if labels.table is not None and labels.folder:
        raise ValueError("labels come from a table or from the folders' names, not from both")
    if labels.table is not None:
        records, multilabel = _from_table(records, read_any_table(labels.table), labels, columns, strip, left_out, notes)
    elif labels.split_column or labels.label_column or labels.separator:
        option = "--split-column" if labels.split_column else "--label-column" if labels.label_column else "--label-separator"
        value = labels.split_column or labels.label_column or labels.separator
        raise ValueError(f"{option} {value} is about --labels CSV, which is not given")
    elif labels.folder:
        records = _from_folders(records)
    occurring = sorted({name for record in records for name in record.labels or ()})
    classes = tuple(map(one_form, labels.classes)) or tuple(occurring)
    if not classes:
        _ask_for_classes(records)
    check_classes(classes)
    kept = []
    for record in records:
        if strange := [name for name in record.labels or () if name not in classes]:
            left_out[f"row with label '{strange[0]}', not among the classes"] += 1
        else:
            kept.append(record)
    if occurring and not any(record.labels is not None for record in kept):
        raise ValueError(f"no label is among --classes {' '.join(classes)}: they are {occurring[:10]}")
    notes += remarks(occurring)
    return Annotated(kept, classes, multilabel, +left_out, tuple(notes))


def _numbered(records: Sequence[Record], labels: LabelSource, columns: Sequence[str], strip: str) -> Annotated:
    """Rows that a table labels with numbers."""
    if labels.table is None:
        raise ValueError("--numbers names columns of a table: give it by --labels CSV")
    if labels.folder or labels.multilabel or labels.classes or labels.label_column or labels.separator:
        raise ValueError(
            "--numbers takes the place of classes: leave out --labels-from-folder, --multilabel, --classes and the label's column"
        )
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    given, _ = _from_table(records, read_any_table(labels.table), labels, columns, strip, left_out, notes)
    bins = choose.bins([record.numbers[0] if record.numbers else float("nan") for record in given])
    kept = [replace(record, bin=str(bin)) for record, bin in zip(given, bins.tolist(), strict=True)]
    return Annotated(kept, (), False, +left_out, tuple(notes))


def _check_unlabelled(labels: LabelSource) -> None:
    if labels != LabelSource(unlabelled=True, splits_elsewhere=labels.splits_elsewhere):
        raise ValueError(
            "--unlabelled says that nobody has labelled anything: leave out --labels, --labels-from-folder, --classes and their options"
        )


def _ask_for_classes(records: Sequence[Record]) -> None:
    folders = sorted(set(class_folders(record.id for record in records).values()) - {""})
    if 1 < len(folders) < len(records):
        raise ValueError(
            f"no classes: the files lie in folders {folders[:10]}, --labels-from-folder takes these as classes; or give --labels CSV, name"
            " the classes with --classes, or say --unlabelled"
        )


def check_classes(classes: Sequence[str]) -> None:
    """`ValueError` where there is none, or a name that a manifest cannot hold."""
    if not classes:
        raise ValueError(
            "no classes: give labels (--labels CSV, --labels-from-folder), name the classes with --classes, or say --unlabelled where"
            " nobody has labelled anything (xkd pretrain learns from pairs alone)"
        )
    if wrong := [name for name in classes if not name.strip() or name in (NONE, IGNORED) or ";" in name]:
        raise ValueError(
            f"a class cannot be called '{wrong[0]}': ';' joins several (--multilabel), '{NONE}' and '{IGNORED}' mean none and unknown"
        )


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
    records: Sequence[Record],
    table: TextTable,
    labels: LabelSource,
    columns: Sequence[str],
    strip: str,
    left_out: Counter[str],
    notes: list[str],
) -> tuple[list[Record], bool]:
    """The records with what the table says of them, and whether it gives several labels."""
    stems = Stems((record.id for record in records), strip)
    ids, id_note = id_column(table, labels.id_column, stems)
    splits, split_note = split_column(table, labels.split_column, labels.splits_elsewhere)
    groups = table.needed(labels.group_column) if labels.group_column else table.column("group")
    taken = [ids, splits, groups, *_carried_names(table)]
    several = labels.multilabel or bool(labels.separator)
    if labels.numbers:
        labelled = numbered(table, labels.numbers)
    else:
        labelled = labelling(table, labels.label_column, taken, labels.classes, several, labels.separator)
    further = _further(table, (ids, splits, groups, *labelled.columns), columns)
    by_stem = _by_stem(table, ids, stems, left_out, notes)
    annotated = []
    for record in records:
        if (row := by_stem.get(record.id)) is not None:
            record = replace(
                record,
                labels=labelled.names(row),
                numbers=labelled.numbers(row),
                group=row[groups] if groups else "",
                split=(named_split(row[splits]) or row[splits]) if splits else "",
                extra={column: row[column] for column in further},
            )
        annotated.append(record)
    if labelled.columns and not any(record.labels is not None for record in annotated):
        raise ValueError(f"{table.path}: {_quoted(labelled.columns)} labels no file: all of its cells are empty, where a row has a file")
    if table.separator != ",":
        notes.append(f"{table.path.name} is read as separated by {table.separator!r}")
    notes += [note for note in (id_note, labelled.note, split_note) if note]
    return annotated, labelled.multilabel


def _by_stem(table: TextTable, ids: str, stems: Stems, left_out: Counter[str], notes: list[str]) -> dict[str, dict[str, str]]:
    """Stem -> its row; rows without a file are counted, with examples."""
    by_stem: dict[str, dict[str, str]] = {}
    unused = []
    for row, line in zip(table.rows, table.lines, strict=True):
        try:
            stem = stems.find(row[ids])
        except ValueError as error:
            raise ValueError(f"{table.path}, line {line}: {error}") from error
        name = stem or row[ids]
        if name in by_stem or name in unused:
            raise ValueError(
                f"{table.path}, line {line}: '{name}' is there twice; several labels of a file go into one cell, as a;b with --multilabel"
            )
        if stem:
            by_stem[stem] = row
        else:
            unused.append(name)
    if not by_stem:
        raise ValueError(
            f"{table.path}: none of its ids is the stem of a file; it has '{unused[0]}', the files have '{min(stems.known)}'; see --strip"
            " and --id-column"
        )
    without = sorted(stems.known - by_stem.keys())
    if unused:
        left_out[f"row of {table.path.name} without a file"] = len(unused)
        case = "; some differ from a file's name in upper and lower case alone" if any(map(stems.is_twin, unused)) else ""
        notes.append(f"{len(by_stem)} of {len(table.rows)} rows of {table.path.name} have a file; none has {_quoted(unused)}{case}")
    if without:
        notes.append(f"{len(without)} of {len(stems.known)} rows of files have no line in {table.path.name}: {_quoted(without)}")
    return by_stem


def _carried_names(table: TextTable) -> list[str]:
    """Columns that a manifest knows, and that are no labels."""
    return [column for column in table.header if column in _TAKEN and column != "label"]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:_EXAMPLES]) + (f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else "")


def _further(table: TextTable, named: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Columns that are carried along; `ValueError` for one that has another meaning."""
    further = [column for column in table.header if column not in named and column not in _TAKEN]
    if clash := [column for column in further if column in columns]:
        raise ValueError(f"{table.path}: column '{clash[0]}' is called like a sensor; rename one of them")
    if meant := [column for column in further if column in ("crop", "boxes", "box_scores") or column.split(".")[0] in columns]:
        raise ValueError(f"{table.path}: column '{meant[0]}' has a meaning in a manifest that this table cannot give it; rename it")
    return further


def _from_folders(records: Sequence[Record]) -> list[Record]:
    classes = class_folders(record.id for record in records)
    if without := [record for record in records if not classes[record.id]]:
        raise ValueError(f"'{without[0].id}' lies in no folder of a class below the sensor's, which --labels-from-folder takes")
    return [replace(record, labels=(classes[record.id],)) for record in records]
