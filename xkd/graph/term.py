"""A term: one edge of the graph, `weight * loss(projector(student reading), teacher reading)`, over the rows that have both."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.gates import Gate
from xkd.graph.processes import gathered
from xkd.graph.reading import Readings, readings_of
from xkd.graph.schedules import Schedule
from xkd.losses.learned import LearnedLoss, reads_several
from xkd.losses.precision import widen
from xkd.projectors import Projector

Readable = str | tuple[str, ...]  # "branch.tap", "branch.output", "ensemble.output", "batch.target", "batch.mask", ..., or several

BATCH_READINGS = ("target", "mask")
MASK = "batch.mask"
EXTRAS = ("target", "mask", "index")  # what a loss may ask for by naming a third parameter


class Term(nn.Module):
    """Readings are named; rows are chosen here, so a loss stays plain: `(student, teacher) -> scalar`, mean over the rows it gets.

    The teacher's side is detached. Half precision is widened to float32 and autocast is off for the loss; float64 stays. Where no row is
    left the term is zero; so is a loss on relations among rows where one is left. `gate` chooses among the rows, such as those where the
    teacher is right. `mask` is what a loss that asks for a mask gets: the annotated one, or a reading such as a head `AttentionMask`.
    `gather` is for losses on relations among rows where several processes train: each sees the rows of all, as one process would.
    """

    def __init__(
        self,
        loss: nn.Module,
        student: Readable,
        teacher: Readable,
        projector: nn.Module | None = None,
        *,
        weight: float | Schedule = 1.0,
        gate: Gate | None = None,
        mask: str = MASK,
        gather: bool = False,
    ) -> None:
        super().__init__()
        if projector is not None and not isinstance(projector, Projector):
            raise ValueError(f"{type(projector).__name__} has no bind(source, target), so it cannot be a projector")
        self.gather = gather
        self.num_rows = 0  # that the last call had in this process
        self.strict = True  # whether a teacher's side that is not finite is an error at once, or shows in the loss alone
        self.loss, self.projector = loss, projector
        self.student, self.teacher, self.weight, self.gate = _names(student), _names(teacher), weight, gate
        if not isinstance(loss, nn.Module):
            raise ValueError(f"the loss of a term must be a module, such as KD(), got {loss!r}")
        parameters = list(inspect.signature(loss.forward).parameters)
        self.extras = parameters[2:]
        if len(parameters) < 2 or not set(self.extras) <= set(EXTRAS):
            raise ValueError(f"{type(loss).__name__}.forward must take (student, teacher) and may take {list(EXTRAS)}; it has {parameters}")
        if not self.student or not self.teacher:
            raise ValueError(f"a term needs at least one reading on each side, got {self.student} and {self.teacher}")
        for name in self.student:
            if name.startswith("batch."):
                raise ValueError(f"the student's side of a term must be a branch's reading, got '{name}'")
        self.mask = _names(mask)[0]
        if self.mask != MASK and "mask" not in self.extras:
            raise ValueError(f"{type(loss).__name__}.forward takes no mask beside {parameters}, so it has no use for mask='{mask}'")
        if gate is not None and (not isinstance(gate, Gate) or not callable(gate)):
            raise ValueError(f"a gate is Right('branch.output'), Confident('branch.output', 0.9) or something of their form, got {gate!r}")
        self.gate_reading = () if gate is None else _names(gate.reading)
        self.gate_extras = [] if gate is None else list(inspect.signature(gate).parameters)[1:]
        if not set(self.gate_extras) <= {"target", "there"}:
            raise ValueError(f"a gate takes its reading and may take target and there, {type(gate).__name__} takes {self.gate_extras}")

    @property
    def readings(self) -> tuple[str, ...]:
        return self.compared + self.gate_reading

    @property
    def compared(self) -> tuple[str, ...]:
        """The readings that the loss sees."""
        return self.student + self.teacher + self.mask_reading

    @property
    def required(self) -> tuple[str, ...]:
        """The readings without one of which a row has no part."""
        return self.compared if "there" in self.gate_extras else self.readings

    @property
    def mask_reading(self) -> tuple[str, ...]:
        """The network's reading that serves as mask, if one does."""
        return () if self.mask == MASK else (self.mask,)

    @property
    def _whole(self) -> tuple[str, ...]:
        """The teacher's side without a target that may hold NaN where nobody knows, as the loss says that it may."""
        return tuple(name for name in self.teacher if not (name == "batch.target" and getattr(self.loss, "takes_unknown", False)))

    def weight_at(self, epoch: float) -> float:
        return self.weight(epoch) if callable(self.weight) else self.weight

    def needs(self, field: str) -> bool:
        taken = field in self.extras and not (field == "mask" and self.mask_reading)
        return f"batch.{field}" in self.teacher or taken or field in self.gate_extras

    def forward(self, readings: Readings, batch: Batch, gated: bool = True, together: bool = False) -> Float[Tensor, ""]:
        """The loss of the rows that are left; a dry run lets those through that the gate would keep out.

        `together` says that all processes are in this call, so that rows can be gathered.
        """
        rows = self.rows(readings, batch)
        if gated and self.gate is not None:
            rows = rows & self.opened(readings, batch)
        self.num_rows = int(rows.sum())
        gather = self.gather and together
        if not self.num_rows and not gather:
            return self.zero(readings)
        chosen = None if rows.all() else rows.nonzero().flatten().to(batch.index.device, non_blocking=True)

        def read(name: str) -> Tensor:
            return readings[name] if chosen is None else readings[name][chosen]

        student = [read(name) for name in self.student]
        if self.projector is not None:
            student = [self.projector(reading) if self.num_rows else self._no_rows(reading) for reading in student]
        teacher = [read(name).detach() for name in self.teacher]
        if self.strict:
            _check_finite(self._whole, [of for name, of in zip(self.teacher, teacher, strict=True) if name in self._whole], student)
        given = {"target": batch.target, "mask": readings[self.mask].detach(), "index": batch.index}
        extras = [given[name] if chosen is None else given[name][chosen] for name in self.extras]
        if gather:
            student, teacher, extras = ([gathered(of) for of in side] for side in (student, teacher, extras))
            if not len(student[0]):
                return self.zero(readings)
        with torch.autocast(batch.index.device.type, enabled=False):  # anyone's loss, not ours alone
            value: Tensor = self.loss(widen(_one_or_all(student)), widen(_one_or_all(teacher)), *extras)
        return value if self.num_rows else value + self.zero(readings)

    def _no_rows(self, reading: Tensor) -> Tensor:
        """What the projector would give for none: layers that norm a batch cannot be asked."""
        return reading.new_zeros((0, *self._projected_shape(reading.new_zeros((1, *reading.shape[1:])))))

    def zero(self, readings: Readings) -> Float[Tensor, ""]:
        """Attached to every parameter, so that distributed training sees all of them in every step."""
        attached: list[Tensor] = [*(readings[name] for name in self.student), *self.parameters()]
        return torch.stack([widen(tensor).sum() * 0 for tensor in attached]).sum()

    def rows(self, readings: Readings, batch: Batch) -> Bool[Tensor, " b"]:
        """The one row mask: both sides are present, with a label and a mask where the loss needs them. On the CPU."""
        self._check_rows(readings, batch)
        rows = torch.ones(len(batch), dtype=torch.bool)
        for name in self.required:
            if not name.startswith("batch."):
                rows = rows & readings.there(name)
        if self.needs("target"):
            rows = rows & batch.labelled
        if self.needs("mask"):
            rows = rows & batch.masked
        return rows

    def _check_rows(self, readings: Readings, batch: Batch) -> None:
        """What has other rows than the batch would be indexed all the same."""
        needed = [f"batch.{field}" for field in ("target", "mask") if self.needs(field)]
        for name in (*self.readings, *needed):
            if len(readings[name]) != len(batch):
                raise ValueError(f"'{name}' is {tuple(readings[name].shape)}, and the batch has {len(batch)} rows")

    def opened(self, readings: Readings, batch: Batch) -> Bool[Tensor, " b"]:
        """Which rows the gate lets through. On the CPU: choosing them waits for the accelerator."""
        gate: Any = self.gate
        given = {"target": batch.target, "there": torch.stack([readings.there(name) for name in self.gate_reading])}
        asked = [readings[name].detach() for name in self.gate_reading]
        rows: Tensor = gate(_one_or_all(asked), *[given[name] for name in self.gate_extras])
        return rows.cpu()

    def bind(self, readings: Readings) -> None:
        """Size the projector, and a loss that has layers of its own, by the shapes of a dry run."""
        if self.projector is None and not isinstance(self.loss, LearnedLoss):
            return
        several = len(self.student) != 1 or len(self.teacher) != 1
        if several and (self.projector is not None or not reads_several(self.loss)):
            raise ValueError("a projector, or a loss with layers, serves a term with one reading on each side")
        student, target = readings[self.student[0]], _shapes([readings[name] for name in self.teacher])
        if self.projector is not None:
            self.projector.bind(tuple(student.shape[1:]), target)
            self.projector.to(student.device)
        if isinstance(self.loss, LearnedLoss):
            sources = [readings[name] for name in self.student]
            self.loss.bind(_shapes(sources) if several else self._projected_shape(student), target)
            self.loss.to(student.device)

    def _projected_shape(self, student: Tensor) -> tuple[int, ...]:
        """Without the batch; in eval mode, since a dry run leaves no trace in running statistics."""
        if self.projector is None:
            return tuple(student.shape[1:])
        training = self.projector.training
        with torch.no_grad():
            shape = self.projector.eval()(student).shape
        self.projector.train(training)
        return tuple(shape[1:])


def _check_finite(names: tuple[str, ...], teacher: list[Tensor], student: list[Tensor]) -> None:
    """On the processor alone: an accelerator would be waited for in every step.

    Where the student is broken too, whatever broke it comes first, and a peer or an average has it from there.
    """
    if torch.compiler.is_compiling() or student[0].device.type != "cpu":
        return
    for name, reading in zip(names, teacher, strict=True):
        if not _is_finite(reading) and all(map(_is_finite, student)):
            advice = "look for bad pixels, or for weights that diverged"
            if name == "batch.target":
                advice = "pixels that nobody knows are NaN, which needs a loss with takes_unknown = True, such as PixelL1"
            raise ValueError(f"'{name}' {tuple(reading.shape)} is not finite: {advice}")


def _is_finite(reading: Tensor) -> bool:
    # a sum costs a fortieth of the look at each value, and is finite only where all of them are; one of large values may overflow
    return bool(reading.sum().isfinite()) or bool(reading.isfinite().all())


def _names(reading: Readable) -> tuple[str, ...]:
    return tuple(map(str, readings_of(reading)))


def _shapes(readings: list[Tensor]) -> Any:
    """Without the batch: the shape of one reading, a tuple of those of several."""
    shapes = tuple(tuple(reading.shape[1:]) for reading in readings)
    return shapes[0] if len(shapes) == 1 else shapes


def _one_or_all(readings: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    return readings[0] if len(readings) == 1 else tuple(readings)
