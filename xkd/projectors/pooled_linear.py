"""Average pooling and a linear layer: a class head on any tap (a shallow exit), or a map compared with a vector."""

from __future__ import annotations

from torch import Tensor, nn


class PooledLinear(nn.Module):
    """(B, C, H, W) or (B, C) -> (B, K); bound to a target of shape (K,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential()

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        if len(source) not in (1, 3) or len(target) != 1:
            raise ValueError(f"PooledLinear projects maps or vectors to a vector (K,), got {source} -> {target}")
        self.layers.append(nn.Linear(source[0], target[0]))

    def forward(self, reading: Tensor) -> Tensor:
        logits: Tensor = self.layers(reading.flatten(2).mean(2) if reading.ndim > 2 else reading)
        return logits
