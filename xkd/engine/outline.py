"""Who teaches whom, read from a config's `distiller` section alone: nothing is built, nothing is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from mmengine.config import Config

from xkd.engine.config import as_plain
from xkd.graph.gates import READING_KEYS
from xkd.graph.pairs import PretrainedOnPairs
from xkd.graph.reading import BATCH, Reading, readings_of
from xkd.graph.weights import Checkpoint, Trained
from xkd.modality import Makes

MASK: Final = Reading(BATCH, "mask")


@dataclass(frozen=True)
class Edge:
    """A term's readings: what learns, what it learns from, what its gate asks and what serves it as mask."""

    student: tuple[Reading, ...]
    teacher: tuple[Reading, ...]
    gate: tuple[Reading, ...]
    mask: tuple[Reading, ...]

    @classmethod
    def of(cls, term: Mapping[str, Any]) -> Self:
        asked = [of for key, of in (term.get("gate") or {}).items() if key in READING_KEYS]
        gate = [reading for of in asked for reading in readings_of(of)]
        student, teacher, mask = map(readings_of, (term["student"], term["teacher"], term.get("mask", ())))
        return cls(student, teacher, tuple(gate), mask)


@dataclass(frozen=True)
class Outline:
    """`branches` are the plain sections by name, `edges` the terms' readings by name, `ensembles` the readings that each is made of."""

    student: str
    branches: Mapping[str, Mapping[str, Any]]
    edges: Mapping[str, Edge]
    ensembles: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config) -> Self:
        plain = as_plain(config.distiller)
        edges = {name: Edge.of(term) for name, term in plain["terms"].items()}
        made_of = {
            name: (*readings_of(node["of"]), *readings_of(node["by"].get("reading", ())))
            for name, node in plain.get("ensembles", {}).items()
        }
        return cls(plain["student"], plain["branches"], edges, made_of)

    def sources(self, *readings: Reading) -> set[Reading]:
        """What these are, and what ensembles among them are made of, through others."""
        read = set(readings)
        for reading in readings:
            read |= self.sources(*self.ensembles.get(reading.branch, ()))
        return read

    def owners(self, *readings: Reading) -> set[str]:
        """The branches of these readings, those that ensembles are made of in their place; of the batch's, "batch"."""
        return {of.branch for of in self.sources(*readings)} - set(self.ensembles)

    @property
    def teachers(self) -> list[str]:
        """The frozen branches whose weights a run gives: named by its checkpoint, or trained first."""
        kinds = (Checkpoint, Trained)
        return [name for name, branch in self.branches.items() if branch.get("frozen") and issubclass(branch["weights"]["type"], kinds)]

    def answers_otherwise(self, branch: str) -> bool:
        """Whether a branch's answers are no answers to the run's question: it has a task of its own, or sees something else."""
        return any(self.branches[branch].get(key) for key in ("task", "eats"))

    def leaning_on(self, names: Collection[str]) -> set[str]:
        """These branches, and those that have the weights of one of them or eat what it makes."""
        found = set(names)
        more = {name for name, branch in self.branches.items() if {branch["weights"].get("of"), _maker_of(branch)} & found}
        return found if more <= found else self.leaning_on(found | more)

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
        """Whether there is anything to shuffle: branches on several views that files hold."""
        branches = [*self.branches.values(), *(self.branches[name]["weights"]["teacher"] for name in self.on_pairs)]
        return len({branch["view"]["name"] for branch in branches if not _is_made(branch["view"])}) > 1

    def taught_by(self, branch: str) -> bool:
        """Whether anybody learns from this branch."""
        return any(branch in self.owners(*edge.teacher) for edge in self.edges.values())

    @property
    def distils(self) -> bool:
        """Whether anything but labels and masks teaches anybody: peers, an exit's own deeper layers."""
        return any(self.owners(*edge.teacher) - {BATCH} for edge in self.edges.values())

    @property
    def steers(self) -> bool:
        """Whether masks are all that a comparison adds to the labels: no teacher, no peer, nothing that pairs have taught."""
        if self.teachers or self.distils or self.student in self.on_pairs:
            return False
        return any(MASK in edge.teacher and self.student in self.owners(*edge.student) for edge in self.edges.values())

    def view_of(self, node: str) -> Mapping[str, Any]:
        """What a branch sees, or the first of the networks that an ensemble is made of."""
        if node in self.ensembles:
            return self.view_of(self.ensembles[node][0].branch)
        view: Mapping[str, Any] = self.branches[node]["view"]
        return view

    def explanations(self, branch: str) -> dict[str, Reading]:
        """Of each explanation of a branch, the reading whose class it explains."""
        return {name: Reading.parse(of["classes"]) for name, of in (self.branches[branch].get("explanations") or {}).items()}

    def taps(self, branch: str) -> list[str]:
        return list(self.branches[branch].get("taps") or {})


def _is_made(view: Mapping[str, Any]) -> bool:
    """Whether no file holds it."""
    kind = view["modality"].get("type")
    return isinstance(kind, type) and issubclass(kind, Makes)


def _maker_of(branch: Mapping[str, Any]) -> str | None:
    """The branch whose reading this one eats."""
    reading = (branch.get("eats") or {}).get("reading")
    return None if reading is None else Reading.parse(reading).branch
