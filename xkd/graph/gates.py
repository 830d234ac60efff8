"""Gates: which samples a term is for, such as those where the teacher is right; the others have no part in its value or gradient.

Open for scores that are not finite: a term that they close out would hide that they are broken.
Choosing rows makes the processor wait for an accelerator once per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Gate(Protocol):
    """Called with the reading it names and, where it asks for `target`, with the labels; such a gate is closed for unlabelled rows."""

    @property
    def reading(self) -> str: ...


@dataclass(frozen=True)
class Right:
    """Open where the network whose output is named gives the true class."""

    reading: str

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

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"Confident's threshold is a probability, 0 to 1, got {self.threshold}")

    def __call__(self, output: Float[Tensor, "b k"]) -> Bool[Tensor, " b"]:
        _require_logits(self, output)
        return (output.float().softmax(1).amax(1) >= self.threshold) | _broken(output)


def _broken(output: Float[Tensor, "b k"]) -> Bool[Tensor, " b"]:
    return ~output.isfinite().all(1)


def _require_logits(gate: Gate, output: Tensor) -> None:
    if output.ndim != 2:
        raise ValueError(f"{type(gate).__name__}('{gate.reading}') needs logits (B, K) of whole images, got {tuple(output.shape)}")
