"""Attention transfer: where the student's channels are active, compared with where the teacher's are.

Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928. The variant is that of the authors'
code: mean over channels of x^p, flattened, L2-normalised, *mean* of squared differences (the paper's equation 2 has a norm, its
section 3.1 |x|, which is the same for an even p, and after a ReLU).
The mean makes the loss scale as 1 / (H W): a weight of 1000 for 7x7 maps (the authors' beta) is another one for 28x28;
`AttentionCosine` does not depend on the map's size.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class AT(nn.Module):
    """Of feature maps (B, C, H, W) and (B, D, I, J): the larger is average-pooled to the smaller grid first. Zero if equal."""

    def __init__(self, p: float = 2.0) -> None:
        super().__init__()
        if p <= 0 or p != int(p):
            raise ValueError(f"p, the power of activations of either sign, must be a whole number from 1 on, got {p}")
        self.p = int(p)

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = comparable("AT", student, teacher, cells=2)
        return (self._attention(student) - self._attention(teacher)).pow(2).mean()

    def _attention(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b hw"]:
        return F.normalize(maps.pow(self.p).mean(1).flatten(1), dim=1)
