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


def require_maps(source: tuple[int, ...], target: tuple[int, ...], projector: str) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Both shapes, if both are those of maps; `ValueError` otherwise."""
    if len(source) != 3 or len(target) != 3:
        raise ValueError(
            f"{projector} projects maps (C, H, W) to maps, got {source} -> {target}: tap layers before the pooling, or use MLP for vectors"
        )
    return (source[0], source[1], source[2]), (target[0], target[1], target[2])
