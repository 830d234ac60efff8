"""A reading or several a side, taken as pairs: the first of the student's with the first of the teacher's, and so on."""

from __future__ import annotations

from torch import Tensor

Readings = Tensor | tuple[Tensor, ...]


def pairs_of(loss: str, student: Readings, teacher: Readings) -> list[tuple[Tensor, Tensor]]:
    """`ValueError` where one side has more readings than the other."""
    sides = [each if isinstance(each, tuple) else (each,) for each in (student, teacher)]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{loss} compares as many readings of the student as of the teacher, got {len(sides[0])} and {len(sides[1])}")
    return list(zip(*sides, strict=True))
