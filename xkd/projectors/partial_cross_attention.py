"""The student's side of partially cross attention: a map becomes queries, keys and values, and attends to itself.

Liu et al., "Cross-Architecture Knowledge Distillation", ACCV 2022, arXiv:2207.05273, equations 1 and 3: three 3x3 convolutions, then
softmax(Q K^T / sqrt(d)) V. *Not* here: what gives the method its name, swapping elements of Q, K and V for the teacher's at
random while training, since a projector does not see the teacher. The authors' code does not swap either; it makes Q, K and V by one
linear layer, and compares scores before the softmax.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import resize
from xkd.projectors.projector import require_maps


class PartialCrossAttention(nn.Module):
    """(B, C, H, W) -> (B, D, I, J): the student's map on the teacher's grid, then self-attention over its positions.

    Its counterpart is what the teacher's attention gives, a reading of kind "features": `Tap("blocks.11.attn.norm")` of a timm ViT is
    that of equation 3, `Tap("blocks.11.attn")` the same after its output layer. `heads` divides the teacher's channels. A tap of
    kind "attention" is another thing, the class token's weights, and a student's map has no class token: compare those with
    `AttentionCosine`. The cost grows with the square of the number of positions.
    """

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads must be at least 1, got {heads}")
        self.heads = heads
        self.layers = nn.Sequential()  # queries, keys and values in one convolution
        self.size = (0, 0)

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        (channels, *_), (out_channels, height, width) = require_maps(source, target, "PartialCrossAttention")
        if out_channels % self.heads:
            raise ValueError(f"PartialCrossAttention splits {out_channels} channels into {self.heads} heads, got {source} -> {target}")
        self.layers.append(nn.Conv2d(channels, 3 * out_channels, 3, padding=1))
        self.size = (height, width)

    def forward(self, reading: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        projected = self.layers(resize(reading, self.size))
        queries, keys, values = projected.reshape(len(reading), 3, self.heads, -1, self.size[0] * self.size[1]).mT.unbind(1)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return attended.transpose(2, 3).reshape(len(reading), -1, *self.size)
