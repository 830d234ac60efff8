"""A table of text as tools write it: separated by commas, semicolons or tabs, with stray blanks, or empty columns and rows."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xkd.data.prepare.stems import one_form
from xkd.data.text import read_text

_SEPARATORS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True)
class TextTable:
    """Rows with their lines in the file; cells are without blanks around them. A column without a name is called `column N`."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]
    separator: str

    def column(self, name: str) -> str:
        """The header's own spelling of a name, whatever its case; empty where there is no such column."""
        if name in self.header:
            return name
        alike = [column for column in self.header if column.casefold() == name.casefold()]
        return alike[0] if len(alike) == 1 else ""

    def needed(self, name: str) -> str:
        """As `column`; `ValueError` lists the columns where there is none."""
        if not (found := self.column(name)):
            raise ValueError(f"{self.path}: no column '{name}'; it has {list(self.header)}")
        return found


def read_any_table(path: Path) -> TextTable:
    """`ValueError` names the file and the line: no rows, a column twice, or not as many cells as the header has."""
    text = one_form(read_text(path))
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    parsed = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    filled = [(line, cells) for line, cells in parsed if any(cells)]
    if len(filled) < 2:
        raise ValueError(f"{path}: a table has a header and a line for each file; this one has {len(filled)} lines")
    (_, header), *rest = filled
    for line, cells in rest:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: has not as many cells as the header, {len(header)}; put text with {_WORDS[separator]} in quotes"
            )
    used = [place for place, name in enumerate(header) if name or any(cells[place] for _, cells in rest)]
    names = [header[place] or f"column {place + 1}" for place in used]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: column '{twice[0]}' is there twice: {names}")
    rows = tuple(dict(zip(names, (cells[place] for place in used), strict=True)) for _, cells in rest)
    return TextTable(path, tuple(names), rows, tuple(line for line, _ in rest), separator)


_WORDS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'"}


def _separator(text: str) -> str:
    """The one that gives the header several cells and all lines as many as it; a comma where none does."""
    several: dict[str, bool] = {}
    for separator in _SEPARATORS:
        lines = [len(cells) for cells in csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True) if any(cells)]
        if lines and lines[0] > 1:
            several[separator] = len(set(lines)) == 1
    return next((separator for separator, even in several.items() if even), next(iter(several), ","))
