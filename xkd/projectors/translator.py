"""A translator from the student's map, often a ViT's tokens, to the teacher's: convolutions that also change the grid.

Shang et al., "Theia: Distilling Diverse Vision Foundation Models for Robot Learning", CoRL 2024, arXiv:2407.20179. The variant is the
"lconv" of the authors' code: normalisation, two 3x3 convolutions each followed by ReLU and normalisation, a linear layer. Theirs know a
few square grids (14, 16 and 64); here each convolution doubles or halves an axis as long as that brings it nearer to the teacher's,
and `resize` does the rest. Normalisation is over channels and positions together as theirs, but with one scale and
offset per channel instead of one per element, so it does not grow with the grid.
"""

from __future__ import annotations

from math import log2

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import resize
from xkd.projectors.projector import require_maps

NUM_CONVOLUTIONS = 2


class Translator(nn.Module):
    """(B, C, H, W) -> (B, D, I, J); the hidden layers are `ratio` times as wide as the student's map."""

    def __init__(self, ratio: float = 1.0) -> None:
        super().__init__()
        if ratio <= 0:
            raise ValueError(f"ratio must be positive, got {ratio}")
        self.ratio = ratio
        self.layers = nn.Sequential()
        self.size = (0, 0)

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        (channels, *grid), (out_channels, height, width) = require_maps(source, target, "Translator")
        doublings = (round(log2(height / grid[0])), round(log2(width / grid[1])))
        self.layers.append(nn.GroupNorm(1, channels))
        for number in range(NUM_CONVOLUTIONS):
            hidden = max(1, round(self.ratio * source[0]))
            self.layers.extend([_convolution(channels, hidden, doublings, number), nn.ReLU(), nn.GroupNorm(1, hidden)])
            channels = hidden
        self.layers.append(nn.Conv2d(channels, out_channels, 1))
        self.size = (height, width)

    def forward(self, reading: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        return resize(self.layers(reading), self.size)


def _convolution(channels: int, hidden: int, doublings: tuple[int, int], number: int) -> nn.Module:
    """3x3; halves each axis that has to shrink more than `number` times, or doubles those that have to grow. One layer cannot do both."""
    halved = (1 + (-doublings[0] > number), 1 + (-doublings[1] > number))
    doubled = (1 + (doublings[0] > number), 1 + (doublings[1] > number))
    if min(doublings) < 0 or max(doubled) == 1:
        return nn.Conv2d(channels, hidden, 3, halved, padding=1)
    return nn.ConvTranspose2d(channels, hidden, 3, doubled, padding=1, output_padding=(doubled[0] - 1, doubled[1] - 1))
