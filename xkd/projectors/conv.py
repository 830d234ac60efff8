"""A 1x1 convolution from the student's channels to the teacher's, then the teacher's grid.

The regressor of Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550, which is a larger convolution there.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import resize
from xkd.projectors.projector import require_maps


class Conv1x1(nn.Module):
    """(B, C, H, W) -> (B, D, I, J); `norm` appends batch normalisation, which frees the student from the teacher's scale."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.norm = norm
        self.layers = nn.Sequential()
        self.size = (0, 0)

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        (channels, *_), (out_channels, height, width) = require_maps(source, target, "Conv1x1")
        self.layers.append(nn.Conv2d(channels, out_channels, 1, bias=not self.norm))
        if self.norm:
            self.layers.append(nn.BatchNorm2d(out_channels))
        self.size = (height, width)

    def forward(self, reading: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        return resize(self.layers(reading), self.size)
