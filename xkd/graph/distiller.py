"""The distiller: branches and ensembles are nodes, terms are edges; `forward` is the whole training step up to the backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xkd.batch import Batch
from xkd.graph import wiring
from xkd.graph.averages import check_alike, follow
from xkd.graph.branch import Branch, Capture
from xkd.graph.ensemble import Ensemble
from xkd.graph.example import example_batch
from xkd.graph.explanation import TARGET
from xkd.graph.inputs import Eaten
from xkd.graph.meanings import Nodes, check_meanings
from xkd.graph.processes import are_several, shares_of_rows
from xkd.graph.reading import Reading, Readings
from xkd.graph.shared import follows, share
from xkd.graph.term import Term
from xkd.graph.unseen import UNSEEN, groups_seen
from xkd.graph.weights import EMA
from xkd.tasks.task import Task, checked


@dataclass(frozen=True)
class Step:
    """What a training step gives: `loss` to call backward on, `parts` the unweighted value of each term."""

    loss: Float[Tensor, ""]
    parts: dict[str, Tensor]


class Distiller(nn.Module):
    """One branch is named the student: it alone is evaluated, visualised and exported. Call `bind()` before you make the optimiser.

    In a loop of your own, call `after_step()` after the optimiser's, and set `epoch` (a number, with fractions) where weights have
    schedules: it is 0 until you do.
    """

    def __init__(
        self,
        branches: Mapping[str, Branch],
        terms: Mapping[str, Term],
        student: str,
        task: Task,
        ensembles: Mapping[str, Ensemble] | None = None,
    ) -> None:
        super().__init__()
        ensembles = ensembles or {}
        self.task = checked(task)
        share(branches)
        wiring.check_names(student, branches, ensembles)
        wiring.check_terms(terms)
        # registered as modules, typed as what they hold
        self.branches = cast("Mapping[str, Branch]", nn.ModuleDict(branches))
        self.terms = cast("Mapping[str, Term]", nn.ModuleDict(terms))
        self.ensembles = cast("Mapping[str, Ensemble]", nn.ModuleDict(ensembles))
        self.student_name = student
        self.epoch = 0.0  # weights with a schedule read it
        self.term_flops: dict[str, int] = {}  # of projector and loss for one image, as `count_flops`; filled by the dry run
        self.compares: dict[str, str] = {}  # what each term reads, with shapes; filled by the dry run
        self._bound = False
        wiring.check_readings(branches, ensembles, terms)
        wiring.check_averages(branches)
        self._order = wiring.ordered_branches(branches)
        self._joins = wiring.ordered_ensembles(ensembles)
        # what nobody reads is not explained, nor combined
        self._compared = wiring.all_read(ensembles, [reading for term in terms.values() for reading in term.readings])
        self._read = self._compared | {branch.eats.reading for branch in branches.values() if not branch.eats.of_view}
        self.needed = {name: self._needed(name) for name in branches}

    @property
    def student(self) -> Branch:
        return self.branches[self.student_name]

    def task_of(self, branch: str) -> Task:
        """What a branch's output means: its own task, or the run's."""
        return self.branches[branch].task_in(self.task)

    def forward(self, batch: Batch) -> Step:
        """The step's loss. Where several processes train, each term's mean is over the rows of all of them once gradients are averaged."""
        readings, together = self.read(batch), self.training and are_several()
        parts = {name: self.part(name, readings, batch, together) for name in self.terms}
        if together:
            shares = shares_of_rows([1 if term.gather else term.num_rows for term in self.terms.values()], batch.index.device)
            parts = {name: part * share for (name, part), share in zip(parts.items(), shares, strict=True)}
        loss = torch.stack([term.weight_at(self.epoch) * parts[name] for name, term in self.terms.items()]).sum()
        if together:
            loss = loss + self._unread(readings)
        return Step(loss, {name: part.detach() for name, part in parts.items()})

    def _unread(self, readings: Readings) -> Tensor | float:
        """Zero, attached to what no term reads, such as a classifier above features: processes wait for a gradient of every parameter."""
        unread = [of for name, held in readings.captures.items() for key, of in held.items() if f"{name}.{key}" not in self._compared]
        return sum(reading.sum() * 0 for reading in unread if reading.requires_grad)

    def read(self, batch: Batch) -> Readings:
        """Readings of each branch that learns or is read, then the ensembles'; who explains another's class, or eats from it, is later."""
        captures: dict[str, Capture] = {}
        for name in self._order:
            captures[name] = self._capture(name, captures, batch)
        readings = self._readings(captures, batch)
        for name in self._joins:
            if f"{name}.{wiring.OUTPUT}" in self._read:
                readings = self.ensembles[name].join(name, readings)
        return readings

    def joined(self, name: str, batch: Batch) -> Readings:
        """An ensemble's output with the readings that it is made of; of branches its own sources alone run. Not for explanations."""
        nodes = {Reading.parse(of).branch for of in wiring.all_read(dict(self.ensembles.items()), [f"{name}.{wiring.OUTPUT}"])}
        readings = self._readings({of: branch(batch, self.task) for of, branch in self.branches.items() if of in nodes}, batch)
        for of in self._joins:
            if of in nodes:
                readings = self.ensembles[of].join(of, readings)
        return readings

    def answers(self, name: str, batch: Batch) -> Capture:
        """What a branch that `stands_alone` answers: the readings that training asks for, which `Batch.cached` may hold instead."""
        capture = self._capture(name, {}, batch)
        return {reading: capture[reading] for reading in self.needed[name]}

    def stands_alone(self, name: str) -> bool:
        """Whether a branch answers a row and a draw alike throughout a run.

        It is frozen, no average, explains no class but its own, and sees nothing of other branches or rows.
        """
        branch = self.branches[name]
        explained = [of.classes for reading, of in branch.explanations.items() if reading in self.needed[name]]
        alike = branch.eats.alone and not follows(name, dict(self.branches.items()))
        return branch.frozen and alike and set(explained) <= {f"{name}.output"}

    def _capture(self, name: str, captures: Mapping[str, Capture], batch: Batch) -> Capture:
        branch = self.branches[name]
        if branch.frozen and not self.needed[name]:  # nobody reads it, as where several teachers are compared
            return {}
        held = {reading: batch.cached[f"{name}.{reading}"] for reading in self.needed[name] if f"{name}.{reading}" in batch.cached}
        if branch.frozen and held and len(held) == len(self.needed[name]):
            return held
        wanted = {reading: of for reading, of in branch.explanations.items() if f"{name}.{reading}" in self._read}
        classes = {reading: self._classes(name, of.classes, captures, batch) for reading, of in wanted.items()}
        capture: Capture = branch(batch, self.task, classes, self._eaten(branch, captures, batch))
        return capture

    def _eaten(self, branch: Branch, captures: Mapping[str, Capture], batch: Batch) -> Eaten | None:
        """What another branch has made for this one."""
        if branch.eats.of_view:
            return None
        readings = self._readings(captures, batch)
        return Eaten(readings[branch.eats.reading], readings.there(branch.eats.reading))

    def _needed(self, name: str) -> list[str]:
        """The readings of a branch that a training step asks for: by terms, or to know whose class is explained."""
        read = self._read | {of.classes for branch in self.branches.values() for of in branch.explanations.values()}
        return [reading for reading in self.branches[name].readings if f"{name}.{reading}" in read]

    def _classes(self, name: str, reading: str, captures: Mapping[str, Capture], batch: Batch) -> Tensor | None:
        """The class that a branch's explanation is of in each row; a term leaves out the rows that have none."""
        of = Reading.parse(reading).branch
        if of == name:
            return None
        if reading == TARGET and batch.target.is_floating_point():
            raise ValueError(
                f"branch '{name}' explains the class of '{TARGET}', and a mixed sample has no one class: explain '{name}.output', or take"
                " mix out of the train_dataloader"
            )
        return batch.target.clamp(min=0) if reading == TARGET else self.task_of(of).choose(captures[of]["output"].detach())

    def part(self, name: str, readings: Readings, batch: Batch, together: bool = False) -> Float[Tensor, ""]:
        """The unweighted value of a term; one without weight, such as one that a schedule has stopped, is 0 and not computed."""
        term = self.terms[name]
        if not term.weight_at(self.epoch):
            return term.zero(readings)
        try:
            part: Tensor = term(readings, batch, together=together)
        except (ValueError, IndexError) as error:
            raise ValueError(f"term '{name}' cannot compare {self.compares.get(name) or term.readings}: {error}") from error
        return part

    def predict(self, batch: Batch) -> Tensor:
        """What the student says, from its own view alone."""
        return self.task.predict(self.student(batch, self.task)["output"])

    def after_step(self) -> None:
        """Call after `optimizer.step()`: branches with EMA weights follow the branch they average."""
        for branch in self.branches.values():
            if isinstance(branch.weights, EMA):
                follow(branch, self.branches[branch.weights.of], branch.weights.decay)

    def bind(self) -> None:
        """The dry run: each branch gets its own view, heads and projectors learn their shapes, each loss is tried once.

        A second call changes nothing: layers may have been trained by then.
        """
        if self._bound:
            return
        nodes = Nodes(dict(self.branches.items()), dict(self.ensembles.items()), self.task)
        check_meanings(self.student_name, nodes, dict(self.terms.items()), self.needed)
        captures = {name: self._bind_branch(name, branch) for name, branch in self.branches.items()}
        views = {branch.view.name: branch.view for branch in self.branches.values()}
        batch = example_batch(list(views.values()), self.task, 2, self.student.mean.device, self.student.view.size)
        readings = self._readings(captures, batch)
        wiring.check_eaten(dict(self.branches.items()), readings, self.task)
        for name in self._joins:
            if self.ensembles[name].need == UNSEEN:
                self.ensembles[name].seen = groups_seen(name, self.ensembles[name].of, dict(self.branches.items()))
            readings = self.ensembles[name].bind(name, readings, nodes.sources_task(name))
        wiring.check_learned(dict(self.ensembles.items()), dict(self.terms.items()))
        for name, term in self.terms.items():
            self._bind_term(name, term, readings, batch)
        for branch in self.branches.values():
            if isinstance(branch.weights, EMA):
                check_alike(branch, self.branches[branch.weights.of], branch.weights.of)
                follow(branch, self.branches[branch.weights.of], decay=0.0)
        self._bound = True

    def _bind_branch(self, name: str, branch: Branch) -> Capture:
        def readers(nodes: Mapping[str, Term] | Mapping[str, Ensemble]) -> list[str]:
            return [reader for reader, of in nodes.items() if any(reading.startswith(f"{name}.") for reading in of.readings)]

        try:
            return branch.bind(self.task, mask_size=self.student.view.size)
        except ValueError as error:
            joined = f" and ensembles {readers(self.ensembles)}" if readers(self.ensembles) else ""
            raise ValueError(f"branch '{name}', read by terms {readers(self.terms)}{joined}: {error}") from error

    def _bind_term(self, name: str, term: Term, readings: Readings, batch: Batch) -> None:
        shapes = self.compares[name] = " and ".join(f"{r} {tuple(readings[r].shape[1:])}" for r in term.readings)
        training = term.training
        for reading in term.readings:
            if not torch.isfinite(readings[reading]).all():
                raise ValueError(f"term '{name}' compares {shapes}, but '{reading}' is not finite: are its weights?")
        try:
            term.bind(readings)
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                term.eval()(readings, batch, gated=False)
            if term.gate is not None:
                term.opened(readings, batch)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ValueError(f"term '{name}' cannot compare {shapes}: {error}") from error
        term.train(training)
        self.term_flops[name] = int(counter.get_total_flops()) // len(batch)

    def _readings(self, captures: Mapping[str, Capture], batch: Batch) -> Readings:
        views = {name: branch.view.name for name, branch in self.branches.items() if branch.eats.of_view}
        eats = {name: branch.eats.reading for name, branch in self.branches.items()}
        explains = {
            f"{name}.{reading}": of.classes for name, branch in self.branches.items() for reading, of in branch.explanations.items()
        }
        return Readings(captures, batch, views, explains, eats)


def count_flops(branch: Branch, task: Task) -> int:
    """Floating-point operations of one forward pass for one image, multiply and add counted as two.

    Those of matrix products, convolutions and attention; not of what is done element by element.
    """
    batch = example_batch([branch.view], task, 1, branch.mean.device)
    training = branch.training
    with torch.no_grad():
        branch.eval()(batch, task)  # the first pass of all also checks the taps, which costs more passes
        # the counter of torch 2.12 does not know a processor's fused attention
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            branch(batch, task)
    branch.train(training)
    return int(counter.get_total_flops())
