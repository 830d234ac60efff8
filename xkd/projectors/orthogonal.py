"""An orthogonal projection: lengths and angles of the student's features survive, so only the student can come nearer to the teacher.

Miles, Elezi and Deng, "VkD: Improving Knowledge Distillation using Orthogonal Projections", CVPR 2024, arXiv:2403.06213. The authors'
code keeps the matrix orthogonal with `torch.nn.utils.parametrizations.orthogonal`. Here it is the Q of a thin QR decomposition, which
reaches the same matrices: torch's Householder form, its default, loses columns as soon as weight decay touches its diagonal, and its
other forms solve or exponentiate a square of the wider side in every step. The paper's other half, normalising the teacher's
features, belongs to the loss: `NormalizedDistance`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import resize


class Orthogonal(nn.Module):
    """(B, C, H, W) -> (B, D, I, J), position by position; (B, C) -> (B, D); (B, C, H, W) -> (B, D), the mean over positions first.

    The projection P (D, C) has no bias. Up to as many channels as the teacher's (C <= D), its columns are orthonormal and no
    distance between features changes. A wider student (C > D) keeps D directions of its features, learned as P turns: the *rows* are
    orthonormal, and what lies across them is free. It stays so to rounding, whatever the optimiser does to the weight behind it.
    """

    weight: nn.Parameter  # (D, C); only the directions of its columns (or rows) matter

    def __init__(self) -> None:
        super().__init__()
        self.size: tuple[int, ...] = ()

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        if (len(source), len(target)) not in ((1, 1), (3, 3), (3, 1)):
            raise ValueError(f"Orthogonal projects maps to maps, vectors to vectors or maps to vectors, got {source} -> {target}")
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(target[0], source[0])))
        self.size = target[1:]

    @property
    def projection(self) -> Float[Tensor, "d c"]:
        wide = self.weight.shape[0] < self.weight.shape[1]
        basis, triangle = torch.linalg.qr(self.weight.T if wide else self.weight)
        # LAPACK's signs jump while the weight moves smoothly; a positive diagonal makes Q unique
        unique: Tensor = basis * torch.where(triangle.diagonal() < 0, -1.0, 1.0)
        return unique.T if wide else unique

    def forward(self, reading: Tensor) -> Tensor:
        if not self.size:
            projected: Tensor = F.linear(reading.flatten(2).mean(2) if reading.ndim > 2 else reading, self.projection)
            return projected
        return resize(F.conv2d(reading, self.projection[:, :, None, None]), (self.size[0], self.size[1]))
