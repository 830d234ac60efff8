"""Gates: which samples a term is for, such as those where the teacher is right; the others have no part in its value or gradient.

Open for scores that are not finite: a term that they close out would hide that they are broken.
Choosing rows makes the processor wait for an accelerator once per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

READING_KEYS: Final = ("reading", "student", "teachers")  # the arguments of a gate that name readings


@runtime_checkable
class Gate(Protocol):
    """Called with the reading it names, a tuple where it names several, and with what further parameters ask for by name.

    `target` gives it the labels; such a gate is closed for unlabelled rows. `there` gives it a Bool tensor (N, B), which of its N readings
    are there in which row; it is closed for rows that lack one of its readings unless it asks. A gate may say `trained`: readings that
    must be of a branch that learns; and `of_classes`: outputs that it reads are scores of classes.
    """

    @property
    def reading(self) -> str | tuple[str, ...]: ...


@dataclass(frozen=True)
class Right:
    """Open where the network whose output is named gives the true class."""

    reading: str
    of_classes = True

    def __call__(self, output: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
        _require_logits(self, output)
        if target.ndim != 1:
            raise ValueError(f"Right('{self.reading}') needs one class per sample, got targets {tuple(target.shape)}")
        return (output.argmax(1) == target) | _broken(output)


@dataclass(frozen=True)
class Confident:
    """Open where the likeliest class has a probability of at least `threshold`, 0..1."""

    reading: str
    threshold: float
    of_classes = True

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"Confident's threshold is a probability, 0 to 1, got {self.threshold}")

    def __call__(self, output: Float[Tensor, "b k"]) -> Bool[Tensor, " b"]:
        _require_logits(self, output)
        return (output.float().softmax(1).amax(1) >= self.threshold) | _broken(output)


@dataclass(frozen=True)
class SameOrder:
    """Open where two networks order the classes alike: Kendall's rank correlation tau-b of their scores, -1..1, is above `threshold`.

    Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation", CVPR 2024, whose threshold is 0; there the two
    are proxies, heads on the last features. It needs no label. A row of equal scores has no order, and is closed. A term is the
    mean over the rows that are open; the authors' code divides by all rows of the batch. Takes memory for K^2 / 2 pairs a row.
    """

    reading: tuple[str, str]
    threshold: float = 0.0
    of_classes = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "reading", tuple(self.reading))
        if len(set(self.reading)) != 2 or len(self.reading) != 2:
            raise ValueError(f"SameOrder compares two readings, such as ('rgb.output', 'thermal.output'), got {self.reading}")
        if not -1 <= self.threshold < 1:
            raise ValueError(f"SameOrder's threshold is a rank correlation, -1 or more and below 1, got {self.threshold}")

    def __call__(self, outputs: tuple[Float[Tensor, "b k"], ...]) -> Bool[Tensor, " b"]:
        one, other = outputs
        for name, output in zip(self.reading, outputs, strict=True):
            if output.ndim != 2 or output.shape != one.shape:
                raise ValueError(f"SameOrder compares logits (B, K) of whole images, '{name}' is {tuple(output.shape)}")
        return (_rank_correlation(one, other) > self.threshold) | _broken(one) | _broken(other)


def _rank_correlation(one: Float[Tensor, "b k"], other: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Kendall's tau-b of each row; NaN where all scores of a side are equal."""
    first, second = torch.triu_indices(one.shape[1], one.shape[1], 1, device=one.device)
    ups, others = ((scores[:, first] - scores[:, second]).sign().float() for scores in (one, other))
    return (ups * others).sum(1) / (ups.abs().sum(1) * others.abs().sum(1)).sqrt()


@dataclass(frozen=True)
class Dropped:
    """UNIC's teacher dropping, for the term of the teacher at place `of` in `teachers`; each teacher's term has such a gate.

    Sariyildiz et al., "UNIC: Universal Classification Models via Multi-Teacher Distillation", ECCV 2024, arXiv:2408.05088, section 3.3:
    of a row's teachers the one that the student is farthest from always teaches; each of the others is dropped with probability `p`, anew
    in each step. Farthest is by KL(teacher || student) of logits (B, K), where UNIC compares features by cosine and smooth L1. Each term is
    the mean over the rows that it keeps; the authors' code divides by all kept pairs of the batch. Absent teachers are dropped.
    """

    student: str
    teachers: tuple[str, ...]
    of: int
    p: float = 0.5
    of_classes = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "teachers", tuple(self.teachers))
        if len(set(self.teachers)) != len(self.teachers) or len(self.teachers) < 2:
            raise ValueError(f"Dropped chooses among two teachers or more, got {list(self.teachers)}")
        if not 0 <= self.of < len(self.teachers):
            raise ValueError(
                f"Dropped's of is the place of its teacher in {list(self.teachers)}, 0 to {len(self.teachers) - 1}, got {self.of}"
            )
        if not 0 <= self.p <= 1:
            raise ValueError(f"Dropped's p is a probability, 0 to 1, got {self.p}")

    @property
    def reading(self) -> tuple[str, ...]:
        return (self.student, *self.teachers)

    @property
    def trained(self) -> tuple[str, ...]:
        return (self.student,)

    def __call__(self, outputs: tuple[Float[Tensor, "b k"], ...], there: Bool[Tensor, "n b"]) -> Bool[Tensor, " b"]:
        student, *teachers = (output.float() for output in outputs)
        for name, output in zip(self.reading, outputs, strict=True):
            if output.ndim != 2 or output.shape != student.shape:
                raise ValueError(f"Dropped compares logits (B, K) of whole images, '{name}' is {tuple(output.shape)}")
        logs = student.log_softmax(1)
        distances = torch.stack([F.kl_div(logs, of.log_softmax(1), reduction="none", log_target=True).sum(1) for of in teachers])
        present = there[1:].to(distances.device)
        farthest = distances.masked_fill(~present, -torch.inf).argmax(0) == self.of
        kept = torch.rand(len(student)).to(distances.device) >= self.p
        here = (there[0] & there[1 + self.of]).to(distances.device)
        return (farthest | kept | ~distances[self.of].isfinite()) & here


def _broken(output: Float[Tensor, "b k"]) -> Bool[Tensor, " b"]:
    return ~output.isfinite().all(1)


def _require_logits(gate: Gate, output: Tensor) -> None:
    if output.ndim != 2:
        raise ValueError(f"{type(gate).__name__}('{gate.reading}') needs logits (B, K) of whole images, got {tuple(output.shape)}")
