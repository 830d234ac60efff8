"""The teacher's grid and nothing else: for maps of equal channels, such as attention maps and logits of a segmentation."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import resize
from xkd.projectors.projector import require_maps


class Resize(nn.Module):
    """(B, C, H, W) -> (B, C, I, J): average-pooled along an axis that shrinks, interpolated along one that grows; it learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.size = (0, 0)

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        (channels, *_), (out_channels, *size) = require_maps(source, target, "Resize")
        if channels != out_channels:
            raise ValueError(f"Resize keeps the channels, got {source} -> {target}; Conv1x1, MLP or Orthogonal change them")
        self.size = (size[0], size[1])

    def forward(self, reading: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
        return resize(reading, self.size)
