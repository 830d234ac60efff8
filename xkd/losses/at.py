"""Attention transfer: where the student's channels are active, compared with where the teacher's are.

Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928. The variant is that of the authors'
code: mean over channels of |x|^p, flattened, L2-normalised, *mean* of squared differences (the paper's equation 2 has a norm).
|x| is that of the paper's section 3.1: for the authors' p = 2, and after a ReLU, it is x.
The mean makes the loss scale as 1 / (H W): a weight of 1000 for 7x7 maps (the authors' beta) is another one for 28x28;
`AttentionCosine` does not depend on the map's size.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable


class AT(nn.Module):
    """Of feature maps (B, C, H, W) and (B, D, I, J): the larger is average-pooled to the smaller grid first. Zero if equal."""

    def __init__(self, p: float = 2.0) -> None:
        super().__init__()
        self.p = p

    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = comparable("AT", student, teacher, cells=2)
        return (self._attention(student) - self._attention(teacher)).pow(2).mean()

    def _attention(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b hw"]:
        powers = maps.square() if self.p == 2 else maps.abs().pow(self.p)  # the usual case takes half the time
        return F.normalize(powers.mean(1).flatten(1), dim=1)
