"""What a loss with layers of its own offers: it learns both shapes once, before the optimiser is made."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Shape = tuple[int, ...]  # of a reading without the batch: (C, H, W) or (D,)


@runtime_checkable
class LearnedLoss(Protocol):
    """A loss whose layers are made by `bind`; the student's shape is the one after the projector.

    A side is the shape of its reading, or, where it has several, a tuple of shapes. The latter is an error in the term unless the class
    says `reads_several = True`.
    """

    def bind(self, student: Any, teacher: Any) -> None:
        """Make the layers for readings of these shapes; `ValueError` where it cannot serve them."""


def reads_several(loss: Any) -> bool:
    return bool(getattr(loss, "reads_several", False))
