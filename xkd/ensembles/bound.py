"""What a way to combine offers that must know more than the tensors of a batch before the optimiser is made, or that has other classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class Bound(Protocol):
    """`bind` is called once, in the dry run."""

    def bind(self, shape: tuple[int, ...], num_sources: int, reading: tuple[int, ...], classes: tuple[str, ...]) -> None:
        """Make layers, find columns; `ValueError` where these sources cannot be served.

        `shape` is that of each source, `reading` that of the reading which the module asks for, () without one; both without the batch.
        `classes` are the task's.
        """


@runtime_checkable
class OfClasses(Protocol):
    """A way to combine whose output is of other classes than its sources'."""

    def classes_of(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes of its columns, its sources' being `classes`; `ValueError` where it cannot serve these."""
