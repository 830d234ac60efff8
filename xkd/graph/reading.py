"""A reading's name, "branch.tap", taken apart in one place, and all readings of a step by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from xkd.batch import Batch
from xkd.graph.branch import Capture
from xkd.graph.explanation import TARGET

BATCH = "batch"  # what data brings, beside the branches


class Reading(NamedTuple):
    """Which branch is read, and where: its output, a tap, a head, an explanation; an ensemble's output; the batch's target or mask."""

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


@dataclass(frozen=True)
class Readings:
    """All readings of one step by name.

    `views` says which view each branch sees, `eats` which reading beside it or in its place, `explains` whose class an explanation is of,
    and `made` which rows, on the CPU, there are of nodes without a network, which are made of other readings.
    """

    captures: Mapping[str, Capture]
    batch: Batch
    views: Mapping[str, str]
    explains: Mapping[str, str] = field(default_factory=dict)
    eats: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Bool[Tensor, " b"]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        branch, reading = Reading.parse(name)
        if branch == BATCH:
            return self.batch.target if reading == "target" else self.batch.mask
        return self.captures[branch][reading]

    def there(self, name: str) -> Bool[Tensor, " b"]:
        """The rows that have a node's reading; of an explanation, those that have the class it is of. On the CPU."""
        node = Reading.parse(name).branch
        if node == BATCH:
            return self.batch.labelled if name == TARGET else torch.ones(len(self.batch), dtype=torch.bool)
        rows = [self.made[node]] if node in self.made else [self.batch.present[self.views[node]]] if node in self.views else []
        rows += [self.there(of) for of in (self.eats.get(node), self.explains.get(name)) if of]
        return torch.stack(rows).all(0)

    def with_made(self, node: str, output: Tensor, rows: Bool[Tensor, " b"]) -> Readings:
        """These, and the output of a node that is made of them."""
        return replace(self, captures={**self.captures, node: {"output": output}}, made={**self.made, node: rows})
