"""Neuron selectivity transfer: the places where channels are active, compared as two distributions (maximum mean discrepancy).

Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, arXiv:1707.01219, with the polynomial
kernel (x . y)^2; means over channels, as in RepDistiller (weight 50 there).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class NST(nn.Module):
    """Of maps (B, C, H, W) and (B, D, I, J), the larger average-pooled to the smaller grid; channels are vectors of length one.

    Mean k(t, t) + mean k(s, s) - 2 mean k(s, t) over pairs of channels, mean over rows. Zero if proportional.
    """

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = (F.normalize(maps.flatten(2), dim=2) for maps in comparable("NST", student, teacher, cells=2))
        of_student, of_teacher, num_positions = student.shape[1], teacher.shape[1], student.shape[2]
        if 2 * num_positions**2 < of_student**2 + of_teacher**2 + of_student * of_teacher:
            # the same number from matrices of positions, which are smaller: the sum over c, d of (x_c . y_d)^2 is <x'x, y'y>
            return (_by_position(student) - _by_position(teacher)).pow(2).sum((1, 2)).mean()
        return _kernel(teacher, teacher) + _kernel(student, student) - 2 * _kernel(student, teacher)


def _kernel(first: Float[Tensor, "b c n"], second: Float[Tensor, "b d n"]) -> Float[Tensor, ""]:
    return (first @ second.mT).pow(2).mean()


def _by_position(channels: Float[Tensor, "b c n"]) -> Float[Tensor, "b n n"]:
    return channels.mT @ channels / channels.shape[1]
