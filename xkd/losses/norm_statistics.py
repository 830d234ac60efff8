"""Norm statistics: generated images are to look to every batch norm layer as the training images did.

The feature regularisation of "Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion", Yin et al., CVPR 2020,
arXiv:1912.08795, equation 4, used for a generator by "Data-Free Network Quantization With Adversarial Knowledge Distillation" (DFQ),
Choi et al., CVPR 2020 workshops, arXiv:2005.04136: the distance of a batch's mean and variance from a layer's running ones, added up over
layers. As in their code the distance is the norm over channels, not squared, and the variance that of the batch's positions, biased.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32


class NormStatistics(nn.Module):
    """Of what a tap of kind "norms" reads (B, layers, 4, C), the same on both sides: `student="judge.norms", teacher="judge.norms"`.

    The student's side has the moments of the batch, the teacher's the running statistics.
    """

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [torch.rand((4, 3, 4, 5), generator=generator, dtype=torch.float64) for _ in range(2)]

    @in_float32
    def forward(self, student: Float[Tensor, "b layers 4 c"], teacher: Float[Tensor, "b layers 4 c"]) -> Float[Tensor, ""]:
        mean, squares = student[:, :, 0].mean(0), student[:, :, 1].mean(0)
        known = teacher[:, :, 2:].mean(0)
        distances = torch.stack([mean - known[:, 0], squares - mean.square() - known[:, 1]])
        value: Tensor = torch.linalg.vector_norm(distances, dim=2).sum()
        return value
