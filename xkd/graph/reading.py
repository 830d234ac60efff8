"""A reading's name, "branch.tap", taken apart in one place."""

from __future__ import annotations

from typing import Any, NamedTuple

BATCH = "batch"  # what data brings, beside the branches


class Reading(NamedTuple):
    """Which branch is read, and where: its output, a tap, a head, an explanation; of the batch its target or its mask."""

    branch: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Reading:
        """`ValueError` where there is no dot."""
        branch, dot, name = text.partition(".")
        if not dot:
            raise ValueError(f"a reading is 'branch.tap', 'branch.output', 'branch.head', 'batch.target' or 'batch.mask', got '{text}'")
        return cls(branch, name)

    def __str__(self) -> str:
        return f"{self.branch}.{self.name}"


def readings_of(names: Any) -> tuple[Reading, ...]:
    """One name, or several of a loss that compares several maps."""
    return tuple(map(Reading.parse, (names,) if isinstance(names, str) else names))
