"""A term's weight over the epochs: warm-up, cosine, stop. Anything that turns an epoch (a float) into a weight will do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

Schedule = Callable[[float], float]  # weight as a function of the epoch


@dataclass(frozen=True)
class Ramp:
    """A weight that grows linearly from 0 at epoch `start` to `weight` at epoch `end`."""

    weight: float
    start: float
    end: float

    def __post_init__(self) -> None:
        _require_order("ramp", self.start, self.end)

    def __call__(self, epoch: float) -> float:
        return self.weight * _share(epoch, self.start, self.end)


@dataclass(frozen=True)
class Cosine:
    """`weight` until epoch `start`, then half a cosine down (or up) to `final` at epoch `end`, where it stays."""

    weight: float
    start: float
    end: float
    final: float = 0.0

    def __post_init__(self) -> None:
        _require_order("cosine", self.start, self.end)

    def __call__(self, epoch: float) -> float:
        return self.final + (self.weight - self.final) * (1 + cos(pi * _share(epoch, self.start, self.end))) / 2


@dataclass(frozen=True)
class StopAt:
    """`weight`, itself a number or a schedule, before epoch `epoch`; 0 from there on."""

    weight: float | Schedule
    epoch: float

    def __call__(self, epoch: float) -> float:
        if epoch >= self.epoch:
            return 0.0
        return self.weight(epoch) if callable(self.weight) else self.weight


def _share(epoch: float, start: float, end: float) -> float:
    return min(max((epoch - start) / max(end - start, 1e-9), 0.0), 1.0)


def _require_order(name: str, start: float, end: float) -> None:
    if end < start:
        raise ValueError(f"a {name}'s end must not lie before its start, got start={start}, end={end}")
