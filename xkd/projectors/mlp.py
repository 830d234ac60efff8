"""A two-layer perceptron over channels, for pooled vectors and, position by position, for maps."""

from __future__ import annotations

from torch import Tensor, nn

from xkd.grid import resize


class MLP(nn.Module):
    """(B, C) -> (B, D), or (B, C, H, W) -> (B, D, I, J); the hidden layer is `ratio` times as wide as the wider end."""

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__()
        if ratio <= 0:
            raise ValueError(f"ratio must be positive, got {ratio}")
        self.ratio = ratio
        self.layers = nn.Sequential()
        self.size: tuple[int, ...] = ()

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        if len(source) != len(target) or len(source) not in (1, 3):
            raise ValueError(f"MLP projects vectors to vectors or maps to maps, got {source} -> {target}")
        hidden = max(1, round(self.ratio * max(source[0], target[0])))
        self.layers.extend([nn.Linear(source[0], hidden), nn.GELU(), nn.Linear(hidden, target[0])])
        self.size = target[1:]

    def forward(self, reading: Tensor) -> Tensor:
        if reading.ndim == 2:
            projected: Tensor = self.layers(reading)
            return projected
        projected = self.layers(reading.movedim(1, -1)).movedim(-1, 1)
        return resize(projected, (self.size[0], self.size[1]))
