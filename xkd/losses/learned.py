"""What a loss with layers of its own offers: it learns both shapes once, before the optimiser is made."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Shape = tuple[int, ...]  # of a reading without the batch: (C, H, W) or (D,)
Shapes = Shape | tuple[Shape, ...]  # of a side with one reading, or with several


@runtime_checkable
class LearnedLoss(Protocol):
    """A loss whose layers are made by `bind`; the student's shape is the one after the projector.

    Where a side has several readings it is a tuple of shapes; that is an error of the term unless the class says `reads_several = True`.
    """

    def bind(self, student: Any, teacher: Any) -> None:
        """Make the layers for readings of these shapes; `ValueError` where it cannot serve them."""


def reads_several(loss: Any) -> bool:
    return bool(getattr(loss, "reads_several", False))


def each_shape(side: Any) -> tuple[Shape, ...]:
    """Of `Shapes` as a term gives them, or of the readings themselves: the shape of each, without the batch."""
    readings = side if isinstance(side, tuple) and not (side and isinstance(side[0], int)) else (side,)
    return tuple(tuple(each.shape[1:]) if hasattr(each, "shape") else tuple(each) for each in readings)
