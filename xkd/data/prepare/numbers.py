"""Labels that are numbers: what a person types of them, and the columns of a table that hold them."""

from __future__ import annotations

from collections.abc import Sequence

from xkd.batch import Number
from xkd.data.numbers import parse_numbers
from xkd.data.prepare.label_columns import Cells, Labelling
from xkd.data.prepare.tables import TextTable

_LEGAL = "write NAME:LOWEST..HIGHEST or NAME:UNIT:LOWEST..HIGHEST, such as severity:grade:0..4; NAME is a column of the table"


def number_of(word: str) -> Number:
    """`severity:grade:0..4`; `ValueError` says how it is written."""
    parts = word.split(":")
    low, dots, high = parts[-1].partition("..")
    if len(parts) not in (2, 3) or not dots:
        raise ValueError(f"--numbers {word}: {_LEGAL}")
    try:
        return Number(parts[0], parts[1] if len(parts) == 3 else "", (float(low), float(high)))
    except ValueError as error:
        raise ValueError(f"--numbers {word}: {error}; {_LEGAL}") from error


def numbered(table: TextTable, wanted: Sequence[Number]) -> Labelling:
    """How rows are labelled; `ValueError` names the line that has only some of the numbers, or a wrong one."""
    columns = tuple(table.needed(number.name) for number in wanted)

    def numbers(row: Cells) -> tuple[float, ...]:
        cells = [row[column] for column in columns]
        if not any(cells):
            return ()
        if empty := [column for column, cell in zip(columns, cells, strict=True) if not cell]:
            raise ValueError(f"'{empty[0]}' is empty, others are not; write a number, or empty all of them")
        return parse_numbers(";".join(cells), wanted)

    for row, line in zip(table.rows, table.lines, strict=True):
        try:
            numbers(row)
        except ValueError as error:
            raise ValueError(f"{table.path}, line {line}: {error}") from error
    return Labelling(lambda row: () if numbers(row) else None, columns, numbers=numbers)
