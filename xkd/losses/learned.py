"""What a loss with layers of its own offers: it learns both shapes once, before the optimiser is made."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class LearnedLoss(Protocol):
    """A loss whose layers are made by `bind`; shapes are without the batch, the student's after the projector: (C, H, W) or (D,)."""

    def bind(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        """Make the layers for readings of these shapes; `ValueError` where it cannot serve them."""
