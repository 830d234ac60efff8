"""What every projector offers: it learns both shapes once, before the optimiser is made."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Projector(Protocol):
    """A module whose layers are made by `bind`; shapes are without the batch: (C, H, W) or (D,)."""

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        """Make the layers from a reading of shape `source` to one of shape `target`; `ValueError` where it cannot serve them."""

    def __call__(self, reading: Tensor) -> Tensor: ...


def require_map(shape: tuple[int, ...], projector: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"{projector} projects maps (C, H, W); this reading has shape {shape}: tap a layer before the pooling, or use MLP")
    return shape[0], shape[1], shape[2]
