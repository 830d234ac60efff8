"""Which columns of a table hold ids, labels and splits: those that are named, else those that can be nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from xkd.data.prepare.separators import find_separator, split_cell
from xkd.data.prepare.split_names import named_split
from xkd.data.prepare.stems import Stems
from xkd.data.prepare.tables import TextTable
from xkd.data.rows import NONE

_IDS: Final = ("id", "file", "filename", "file_name", "image", "image_id", "path", "name", "stem")
_LABELS: Final = (
    *("label", "labels", "class", "classes", "class_name", "classname", "label_name", "category", "categories", "target", "species"),
    *("disease", "diagnosis", "variety", "tag", "tags", "y"),
)
_SPLITS: Final = ("split", "set", "subset", "partition")
_LIKE_SPLITS: Final = ("is_train", "is_val", "is_valid", "is_validation", "is_test", "fold", "usage", "phase")
_YES: Final = ("1", "1.0", "1,0", "true", "yes")
_NO: Final = ("0", "0.0", "0,0", "false", "no")

Cells = dict[str, str]
NamesOf = Callable[[Cells], tuple[str, ...] | None]


@dataclass(frozen=True)
class Labelling:
    """`names` gives a row's labels, None where nobody looked; `columns` hold them; `note` says how they were found.

    `numbers` gives those that a row has in their place.
    """

    names: NamesOf
    columns: tuple[str, ...]
    multilabel: bool = False
    note: str = ""
    numbers: Callable[[Cells], tuple[float, ...]] = lambda row: ()


def id_column(table: TextTable, wanted: str, stems: Stems) -> tuple[str, str]:
    """The column of ids, and a note where nobody named it; `ValueError` where none, or several hold the files' names."""
    if wanted:
        return table.needed(wanted), ""
    held = {column: sum(bool(_found(stems, row[column])) for row in table.rows) for column in table.header}
    most = max(held.values())
    if not most:
        own = table.column("id")
        if own or len(table.header) == 1:
            return own or table.header[0], ""
        raise ValueError(
            f"{table.path}: no column 'id', and no other one holds the files' stems, such as '{min(stems.known)}'; it has "
            f"{list(table.header)}"
        )
    best = [column for column in table.header if 2 * held[column] > most]
    called = [column for name in _IDS for column in best if column.casefold() == name]
    if len(best) > 1 and not called:
        raise ValueError(f"{table.path}: each of {best} holds files' names; --id-column says which are the ids")
    column = (called or best)[0]
    if _found(stems, column):
        raise ValueError(f"{table.path}: its first line is a file's, not a header; write a line such as id,label above it")
    return column, "" if column == "id" else f"ids are the column '{column}' of {table.path.name}: it holds the files' names"


def split_column(table: TextTable, wanted: str, elsewhere: bool) -> tuple[str, str]:
    """The column of splits, empty where there is none, and a note; `elsewhere` says that somebody chose other splits."""
    if wanted:
        column = table.needed(wanted)
        return column, f"splits are those of the column '{column}' of {table.path.name}"
    words = {column: {row[column] for row in table.rows if row[column]} for column in table.header}
    given = [column for column, cells in words.items() if len(set(map(named_split, cells))) > 1 and all(map(named_split, cells))]
    for column in sorted([*(given), *(name for name in table.header if name.casefold() in _SPLITS)], key=lambda name: name not in given):
        if elsewhere or column not in given:
            return "", f"{table.path.name} has a column '{column}' that is not used; --split-column {column} takes it"
        return column, f"splits are those of the column '{column}' of {table.path.name}"
    if like := [column for column in table.header if column.casefold() in _LIKE_SPLITS]:
        return (
            "",
            f"{table.path.name} has a column '{like[0]}' that is not used for splits; --split-column takes one of train, val and test",
        )
    return "", ""


def labelling(table: TextTable, wanted: str, taken: Sequence[str], classes: Sequence[str], several: bool, separator: str) -> Labelling:
    """How rows are labelled: `wanted` names the column ('-' says that the table has none), `taken` columns have another meaning.

    `several` says that a cell may hold several labels, joined by `separator` (found where it is empty). `ValueError` lists the columns
    where none is called as labels are and none are one class each.
    """
    if wanted == NONE:
        return Labelling(lambda row: None, (), several)
    free = [column for column in table.header if column not in taken]
    called = [column for column in free if column.casefold() in _LABELS]
    if wanted or "label" in called:
        return _of_column(table, table.needed(wanted or "label"), several, separator)
    if len(called) == 1:
        found = _of_column(table, called[0], several, separator)
        note = f"labels are the column '{called[0]}' of {table.path.name}; --label-column names another"
        return Labelling(found.names, found.columns, found.multilabel, "; ".join(filter(None, (note, found.note))))
    if called:
        raise ValueError(f"{table.path}: each of {called} may hold the labels; --label-column says which")
    binary = [column for column in free if _is_binary(table, column)]
    if len(binary) > 1:
        return _one_hot(table, binary, classes, several)
    raise ValueError(
        f"{table.path}: no column 'label'; --label-column names the labels', one of {free} ('-' where none is), or "
        "write a column of 0 and 1 for each class"
    )


def _of_column(table: TextTable, column: str, several: bool, separator: str) -> Labelling:
    cells = [row[column] for row in table.rows if row[column] not in ("", NONE)]
    listed = all(cell.startswith("[") and cell.endswith("]") for cell in cells) and bool(cells)
    plain = (lambda cell: cell.strip("[]").replace("'", "").replace('"', "")) if listed else str
    if not several:
        return Labelling(lambda row: (plain(row[column]),) if row[column] else None, (column,))
    joint, note = separator, ""
    if not joint:
        joint, note = (",", "") if listed else find_separator(cells, f"{table.path.name}, column '{column}'")

    def names(row: Cells) -> tuple[str, ...] | None:
        return None if not row[column] else () if row[column] == NONE else split_cell(plain(row[column]), joint)

    return Labelling(names, (column,), True, note)


def _one_hot(table: TextTable, columns: Sequence[str], classes: Sequence[str], several: bool) -> Labelling:
    """A column of 0 and 1 per class: of `classes` alone where these give each row one, else of all."""
    named = [column for column in columns if column in classes]
    if (
        len(named) > 1
        and len(named) == len(classes)
        and all(sum(_YES_NO.get(row[c].casefold(), 0) for c in named) == 1 for row in table.rows)
    ):
        columns = named
    for row, line in zip(table.rows, table.lines, strict=True):
        if (empty := [column for column in columns if not row[column]]) and len(empty) < len(columns):
            raise ValueError(f"{table.path}, line {line}: '{empty[0]}' is empty, others are not; write 0 or 1, or leave all of them empty")
    sums = [sum(_YES_NO[row[column].casefold()] for column in columns) for row in table.rows if row[columns[0]]]
    multilabel = several or any(number != 1 for number in sums)
    how = "each row has one: a label" if not multilabel else f"a row has {min(sums)} to {max(sums)}: several labels (multilabel)"

    def names(row: Cells) -> tuple[str, ...] | None:
        return tuple(column for column in columns if _YES_NO[row[column].casefold()]) if row[columns[0]] else None

    note = f"labels are the columns {', '.join(columns)} of {table.path.name}, of 0 and 1; {how}"
    return Labelling(names, tuple(columns), multilabel, note)


_YES_NO: Final = {**dict.fromkeys(_YES, 1), **dict.fromkeys(_NO, 0)}


def _is_binary(table: TextTable, column: str) -> bool:
    cells = {row[column].casefold() for row in table.rows if row[column]}
    return bool(cells) and cells <= _YES_NO.keys()


def _found(stems: Stems, text: str) -> bool:
    try:
        return bool(stems.find(text))
    except ValueError:  # it may be several
        return True
