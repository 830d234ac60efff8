"""Group-wise linear: one linear layer per neighbourhood of the teacher's grid, so unlike places may be projected unlike.

Liu et al., "Cross-Architecture Knowledge Distillation", ACCV 2022, arXiv:2207.05273, equations 5 and 6. The grouping is that of the
authors' code: neighbourhoods of 4x4 from the top left, those at the right and bottom edge cut short, so 16 layers for 14x14 and 4 for
7x7. As in the code, without the dropout that the paper mentions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import resize
from xkd.projectors.projector import require_maps


class GroupLinear(nn.Module):
    """(B, C, H, W) -> (B, D, I, J): the student's map on the teacher's grid, then a linear layer per `neighbourhood` x `neighbourhood`.

    Parameters grow with the grid: ceil(I / 4) * ceil(J / 4) layers of C * D, so 196 of them for 56x56. Meant for a ViT's grid.
    """

    weight: nn.Parameter  # (rows of groups, columns of groups, D, C)
    bias: nn.Parameter  # (rows of groups, columns of groups, D)

    def __init__(self, neighbourhood: int = 4) -> None:
        super().__init__()
        if neighbourhood < 1:
            raise ValueError(f"neighbourhood must be at least 1, got {neighbourhood}")
        self.neighbourhood = neighbourhood
        self.size = (0, 0)

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        (channels, *_), (out_channels, height, width) = require_maps(source, target, "GroupLinear")
        groups = (-(-height // self.neighbourhood), -(-width // self.neighbourhood))
        bound = channels**-0.5  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(*groups, out_channels, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(*groups, out_channels).uniform_(-bound, bound))
        self.size = (height, width)

    def forward(self, reading: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        (height, width), (rows, columns) = self.size, self.weight.shape[:2]
        tall, wide = min(self.neighbourhood, height), min(self.neighbourhood, width)
        maps = F.pad(resize(reading, self.size), (0, columns * wide - width, 0, rows * tall - height))
        groups = maps.reshape(*reading.shape[:2], rows, tall, columns, wide)
        projected = torch.einsum("bcrysx,rsdc->bdrysx", groups, self.weight) + self.bias.permute(2, 0, 1)[:, :, None, :, None]
        return projected.flatten(4).flatten(2, 3)[:, :, :height, :width]
