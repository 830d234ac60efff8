"""Activation: real images excite a network more than noise does, so generated ones are to excite it.

The activation loss of "Data-Free Learning of Student Networks" (DAFL), Chen et al., ICCV 2019, arXiv:1904.01186, equation 4: the negative
L1 norm of the teacher's features before its classifier; the mean over features, as in their code (the paper sums over them).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32


class Activation(nn.Module):
    """Minus the mean of |features| of the student's side (B, D) or (B, C, H, W). It has no least value, so its weight is small, 1e-3.

    The teacher's side is not looked at: name the same reading.
    """

    contract_exempt = ("zero",)  # it is negative

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *anything"]) -> Float[Tensor, ""]:
        return -student.abs().mean()
