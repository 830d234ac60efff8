"""Several labels in a cell: what joins them, where it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

OWN: Final = ";"
_OTHERS: Final = (",", "|", "/", "+", "&")
_BLANK: Final = " "


def find_separator(cells: Sequence[str], where: str) -> tuple[str, str]:
    """What joins labels in these cells, and a sentence about it where it is not ';'.

    ';' needs no proof. Any other is taken if it is the only one, and a label of each cell also stands alone in one (of a blank: all of
    them); `ValueError` asks where that is not so, since it may belong to the names.
    """
    there = [joint for joint in (OWN, *_OTHERS) if any(joint in cell for cell in cells)]
    whole = {cell.strip() for cell in cells}
    if there == [OWN]:
        return OWN, ""
    if not there:
        joint = _BLANK
        several = [split_cell(cell, joint) for cell in cells if len(split_cell(cell, joint)) > 1]
        if not several:
            return OWN, ""
        clear = all(part in whole for parts in several for part in parts)
    else:
        joint = there[0]
        clear = len(there) == 1 and all(any(part in whole for part in split_cell(cell, joint)) for cell in cells if joint in cell)
    example = next(cell for cell in cells if joint in cell.strip())
    if not clear:
        ways = " or ".join(f"--label-separator {seen!r}" for seen in dict.fromkeys((joint, *there, OWN)))
        raise ValueError(f"{where}: does {joint!r} join several labels in '{example}', or belong to a name? {ways} says what joins them")
    return joint, f"several labels in a cell of {where} are joined by {joint!r}, as in '{example}'; --label-separator overrides this"


def split_cell(cell: str, separator: str) -> tuple[str, ...]:
    """The labels of a cell, each once."""
    return tuple(dict.fromkeys(part.strip() for part in cell.split(separator) if part.strip()))
