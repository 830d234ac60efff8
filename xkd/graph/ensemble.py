"""An ensemble: a node of the graph that has no network and eats no view; its one reading, "output", is made of other readings."""

from __future__ import annotations

import inspect
from typing import Any, Final, Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from xkd.ensembles.bound import Bound, OfClasses
from xkd.graph.reading import BATCH, Reading, Readings
from xkd.graph.unseen import UNSEEN, unseen
from xkd.losses.precision import widen
from xkd.tasks.task import Task

EXTRAS: Final = ("target", "reading")  # what a way to combine may ask for by naming a third parameter


class Ensemble(nn.Module):
    """`of` names the sources, readings of one shape: outputs, heads, maps, other ensembles. `by` says how they become one.

    A row counts if `need` of its sources are there, "any" or "all" of them; of a row that counts, absent sources have no weight.
    "unseen" is out of fold: a source counts as absent in rows of a group (a column of the manifest) whose labels it has learned from, so
    that of networks trained without a fold each (`Fold`) a training row is answered by the one that has not seen it, and a row of val, of
    test or of a group without labels by all. Its sources are frozen, and their checkpoints say which groups those are. Not
    detached by itself: on the teacher's side of a term the term detaches it, on the student's side gradients go on to the sources. Half
    precision is widened to float32, autocast is off, as in a term.

    `by` is a module called as `by(readings, there)`, see `xkd.ensembles`: `Mean()`, `Entropy()`, `Confidence()`, `MinLogit()`,
    `Gated(reading)`, `Specialists(...)`, `Only(classes)`, or your own. Raises `ValueError` for sources that it cannot serve.
    """

    def __init__(self, of: tuple[str, ...], by: nn.Module, need: Literal["any", "all", "unseen"] = "any") -> None:
        super().__init__()
        if not isinstance(by, nn.Module):
            raise ValueError(f"an ensemble's by is a module, such as Mean(), got {by!r}")
        if need not in ("any", "all", UNSEEN):
            raise ValueError(f"an ensemble's need is 'any' or 'all' of its sources, or '{UNSEEN}' (out of fold), got {need!r}")
        self.of, self.by, self.need = tuple(of), by, need
        least, most, way = max(1, getattr(by, "least", 1)), getattr(by, "most", len(self.of)), type(by).__name__
        if len(self.of) > most:
            raise ValueError(f"{way} takes {most} source, got {list(self.of)}")
        if len(self.of) < least:
            raise ValueError(f"{way} combines {least} sources or more, got {list(self.of)}{'' if self.of else ': name some in of='}")
        for name in self.of:
            if Reading.parse(name).branch == BATCH:
                raise ValueError(f"an ensemble is made of readings of branches and ensembles, got '{name}'")
            if self.of.count(name) > 1:
                raise ValueError(f"an ensemble names '{name}' twice among its sources {list(self.of)}")
        parameters = list(inspect.signature(by.forward).parameters)
        self.extras = parameters[2:]
        if len(parameters) < 2 or not set(self.extras) <= set(EXTRAS):
            raise ValueError(f"{way}.forward must take (readings, there) and may take {list(EXTRAS)}; it has {parameters}")
        self.seen: tuple[frozenset[str], ...] = ()  # with need="unseen" the groups that have taught each source; filled by the dry run
        self.shape: tuple[int, ...] = ()  # of its reading, without the batch; filled by the dry run
        self.asked = (str(by.reading),) if "reading" in self.extras else ()

    @property
    def readings(self) -> tuple[str, ...]:
        """All that must be read to make this one."""
        return self.of + self.asked

    def meaning(self, task: Task) -> Task:
        """What its output means, its sources' being of `task`: the same, unless its way to combine has other classes."""
        return task.among(self.by.classes_of(task.names)) if isinstance(self.by, OfClasses) else task

    def join(self, name: str, readings: Readings) -> Readings:
        """The readings of a step with this node's, as `name`."""
        there = torch.stack([readings.there(source) for source in self.of])
        if self.need == UNSEEN:
            there = there & unseen(self.of, self.seen, readings)
        rows = self.counts(there)
        for asked in self.asked:
            rows = rows & readings.there(asked)
        return readings.with_made(name, self(readings, there, rows), rows)

    def counts(self, there: Bool[Tensor, "n b"]) -> Bool[Tensor, " b"]:
        """The rows in which `need` of the sources are there."""
        return there.all(0) if self.need == "all" else there.any(0)

    def forward(self, readings: Readings, there: Bool[Tensor, "n b"], rows: Bool[Tensor, " b"]) -> Tensor:
        """One reading of the batch; zero, but attached to its sources, in rows that do not count, which `by` does not see."""
        sources = [widen(readings[name]) for name in self.of]
        if not rows.any():
            return self._none(sources)
        chosen = None if rows.all() else rows.nonzero().flatten().to(sources[0].device, non_blocking=True)

        def those(of: Tensor) -> Tensor:
            return of if chosen is None else of[chosen]

        extras: dict[str, Any] = {"target": readings.batch.target, "reading": widen(readings[self.asked[0]]) if self.asked else None}
        held = those(there.T.to(sources[0].device, non_blocking=True)).T
        with torch.autocast(sources[0].device.type, enabled=False):
            value: Tensor = self.by(tuple(map(those, sources)), held, *[those(extras[name]) for name in self.extras])
        if chosen is None:
            return value
        return value.new_zeros((len(rows), *value.shape[1:])).index_copy(0, chosen, value)

    def _none(self, sources: list[Tensor]) -> Tensor:
        """Where no row counts; distributed training sees every parameter all the same."""
        attached = [sum((tensor.sum() * 0 for tensor in (*sources, *self.parameters())), sources[0].new_zeros(()))]
        rows, columns, *grid = sources[0].shape
        return attached[0].expand(rows, self.shape[0] if self.shape else columns, *grid)

    def bind(self, name: str, readings: Readings, task: Task) -> Readings:
        """The dry run of this node, whose sources answer by `task`: do they fit together? `ValueError` names them, and what would fit."""
        shapes = [tuple(readings[source].shape[1:]) for source in self.of]
        told = " and ".join(f"{source} {shape}" for source, shape in zip(self.of, shapes, strict=True))
        where = f"ensemble '{name}' cannot combine {told}"
        if len(set(shapes)) > 1:
            raise ValueError(
                f"{where}: all need one shape. Where networks know other classes give their branches class_map=ClassMap(own=..., to=...);"
                " maps of other sizes need a head on each, or a term each"
            )
        if getattr(self.by, "of_classes", False):
            self._check_classes(where, shapes[0], task)
        asked = [tuple(readings[reading].shape[1:]) for reading in self.asked]
        training = self.training
        try:
            if isinstance(self.by, Bound):
                self.by.bind(shapes[0], len(shapes), asked[0] if asked else (), task.names)
                self.to(readings[self.of[0]].device)
            with torch.no_grad():
                self.eval()
                joined = self.join(name, readings)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ValueError(
                f"{where}{''.join(f' by {of} {shape}' for of, shape in zip(self.asked, asked, strict=True))}: {error}"
            ) from error
        finally:
            self.train(training)
        shape = (len(self.meaning(task).names), *shapes[0][1:]) if isinstance(self.by, OfClasses) else shapes[0]
        if (given := tuple(joined[f"{name}.output"].shape[1:])) != shape:
            raise ValueError(f"{where}: {type(self.by).__name__} gives {given}, not {'their shape' if shape == shapes[0] else shape}")
        self.shape = shape
        return joined

    def _check_classes(self, where: str, shape: tuple[int, ...], task: Task) -> None:
        way, instead, names = type(self.by).__name__, "Mean(tau=math.inf) takes the mean of the values", list(task.names)
        if names and not task.of_classes:
            raise ValueError(f"{where}: {way} mixes probabilities of classes, and this task has {task.noun} {names}: {instead}")
        if names and not task.exclusive:
            raise ValueError(f"{where}: {way} mixes probabilities of classes of which one is right, and this task has several: {instead}")
        if shape[0] != len(names):
            raise ValueError(f"{where}: {way} mixes probabilities of the task's {len(names)} classes {names}: {instead}")
