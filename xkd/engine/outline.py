"""Who teaches whom, read from a config's `distiller` section alone: nothing is built, nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mmengine.config import Config

from xkd.engine.config import as_plain
from xkd.graph.pairs import PretrainedOnPairs
from xkd.graph.reading import BATCH, Reading, readings_of
from xkd.graph.weights import Checkpoint, Trained


@dataclass(frozen=True)
class Edge:
    """A term's readings: what learns, what it learns from, what its gate asks and what serves it as mask."""

    student: tuple[Reading, ...]
    teacher: tuple[Reading, ...]
    gate: tuple[Reading, ...]
    mask: tuple[Reading, ...]

    @classmethod
    def of(cls, term: Mapping[str, Any]) -> Self:
        gate = (term.get("gate") or {}).get("reading", ())
        return cls(*map(readings_of, (term["student"], term["teacher"], gate, term.get("mask", ()))))


@dataclass(frozen=True)
class Outline:
    """`branches` are the plain sections by name, `edges` the terms' readings by name."""

    student: str
    branches: Mapping[str, Mapping[str, Any]]
    edges: Mapping[str, Edge]

    @classmethod
    def of(cls, config: Config) -> Self:
        plain = as_plain(config.distiller)
        return cls(plain["student"], plain["branches"], {name: Edge.of(term) for name, term in plain["terms"].items()})

    @property
    def teachers(self) -> list[str]:
        """The frozen branches whose weights a run gives: named by its checkpoint, or trained first."""
        kinds = (Checkpoint, Trained)
        return [name for name, branch in self.branches.items() if branch.get("frozen") and issubclass(branch["weights"]["type"], kinds)]

    @property
    def trained(self) -> list[str]:
        """The branches that learn the task first, in runs of their own."""
        return [name for name, branch in self.branches.items() if issubclass(branch["weights"]["type"], Trained)]

    @property
    def on_pairs(self) -> list[str]:
        """The branches that begin with what a network on another sensor has taught them, by features."""
        return [name for name, branch in self.branches.items() if issubclass(branch["weights"]["type"], PretrainedOnPairs)]

    @property
    def made_first(self) -> list[str]:
        """The branches whose weights a run of their own makes first."""
        return [*self.trained, *self.on_pairs]

    @property
    def has_pairs(self) -> bool:
        """Whether there is anything to shuffle: branches on several views."""
        branches = [*self.branches.values(), *(self.branches[name]["weights"]["teacher"] for name in self.on_pairs)]
        return len({branch["view"]["name"] for branch in branches}) > 1

    @property
    def teaches(self) -> bool:
        """Whether anything but labels and masks reaches the student."""
        return any(of.branch not in (self.student, BATCH) for edge in self.edges.values() for of in edge.teacher)

    def explanations(self, branch: str) -> dict[str, Reading]:
        """Of each explanation of a branch, the reading whose class it explains."""
        return {name: Reading.parse(of["classes"]) for name, of in (self.branches[branch].get("explanations") or {}).items()}

    def taps(self, branch: str) -> list[str]:
        return list(self.branches[branch].get("taps") or {})
