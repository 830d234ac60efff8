"""Correlation congruence: how alike each two rows are, by a Gaussian kernel, compared with how alike they are to the teacher.

Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019, arXiv:1904.01802, with its Gaussian kernel: the
Taylor series of exp(-gamma |x - y|^2) for vectors of length one, exp(-2 gamma) * sum over p up to `order` of (2 gamma x . y)^p / p!.
The variant is that of the paper, squared differences over B^2; torchdistill takes the root. RepDistiller's is another loss, which
multiplies the differences of rows that happen to be neighbours in the batch. The paper brings both sides to one width by linear layers
first; the matrices that are compared have the batch's size whatever the widths, so there is no layer here.
"""

from __future__ import annotations

from math import exp, factorial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32
from xkd.losses.rows import as_vectors


class CC(nn.Module):
    """Of vectors (B, D) or maps (flattened), of any widths; the defaults are the paper's.

    Mean squared difference over the pairs of rows. Zero if proportional, and for a single row, which has no relation.
    """

    def __init__(self, gamma: float = 0.4, order: int = 2) -> None:
        super().__init__()
        if gamma <= 0:
            raise ValueError(f"gamma must be positive, got {gamma}")
        if order < 1:
            raise ValueError(f"order, the last power of the Taylor series, must be at least 1, got {order}")
        self.gamma, self.order = gamma, order

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        student, teacher = as_vectors("CC", student, teacher)
        return (self._kernel(student) - self._kernel(teacher)).pow(2).mean()

    def _kernel(self, vectors: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
        lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        unit = vectors / lengths.masked_fill(lengths == 0, 1.0)  # an epsilon there would give a row of zeros a gradient of 1 / epsilon
        exponents = 2 * self.gamma * (unit @ unit.T)
        series = torch.stack([exponents.pow(p) / factorial(p) for p in range(self.order + 1)]).sum(0)
        return exp(-2 * self.gamma) * series
