"""FitNets: the student's features, through a projector, imitate the teacher's.

Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550, equation 3; trained jointly with the other terms
instead of in a first stage of its own, as in RepDistiller and mdistiller (weight 100 there).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.precision import in_float32


class FitNet(nn.Module):
    """Mean squared error between features of equal shape; zero if equal."""

    @in_float32
    def forward(self, student: Float[Tensor, "b *shape"], teacher: Float[Tensor, "b *shape"]) -> Float[Tensor, ""]:
        if student.shape != teacher.shape:  # some unlike shapes would broadcast
            shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            raise ValueError(f"FitNet compares equal shapes, got {shapes}; give the term a projector")
        return F.mse_loss(student, teacher)
