"""What a way to combine offers that must know more than the tensors of a batch before the optimiser is made."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Bound(Protocol):
    """`bind` is called once, in the dry run."""

    def bind(self, shape: tuple[int, ...], num_sources: int, reading: tuple[int, ...], classes: tuple[str, ...]) -> None:
        """Make layers, find columns; `ValueError` where these sources cannot be served.

        `shape` is that of each source, `reading` that of the reading which the module asks for, () without one; both without the batch.
        `classes` are the task's.
        """
