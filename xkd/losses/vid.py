"""Variational information distillation: the student predicts the teacher's features, each channel with an uncertainty that is learned.

Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR 2019, arXiv:1904.05835. The variant is that of
RepDistiller, whose code comes from the authors: the *mean* over channels and positions of ((mu - t)^2 / sigma^2 + log sigma^2) / 2, with
sigma^2 = softplus(scale) + 1e-5 for each channel, at first 5; mu by three 1x1 convolutions without bias, as wide as the teacher's map
(weight 1 there). In mdistiller the scales stand in a plain list and are never trained; here they are a
parameter like any other.
"""

from __future__ import annotations

from math import expm1, log

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32
from xkd.losses.rows import require_equal_rows

EPS = 1e-5  # the authors'


class VID(nn.Module):
    """Of maps (B, C, H, W) and (B, D, I, J), the larger average-pooled to the smaller grid, or of vectors (B, C) and (B, D).

    It is a negative log-likelihood: below 0 where the student predicts well and the variance is small. `variance` is sigma^2 at the
    start, above 1e-5. The layers and the scales (D,) are made by `bind`, in the dry run.
    """

    scales: nn.Parameter

    def __init__(self, variance: float = 5.0) -> None:
        super().__init__()
        if variance <= EPS:
            raise ValueError(f"variance, where sigma^2 starts, must be above {EPS}, got {variance}")
        self.variance = variance
        self.regressor = nn.Sequential()

    def bind(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        """Make the layers for readings of these shapes, (C, H, W) or (C,)."""
        if len(student) != len(teacher) or len(student) not in (1, 3):
            raise ValueError(f"VID predicts maps from maps or vectors from vectors, got {student} and {teacher}")
        (given, *_), (width, *_) = student, teacher
        for channels in (given, width, width):
            if len(self.regressor):
                self.regressor.append(nn.ReLU())
            self.regressor.append(nn.Conv2d(channels, width, 1, bias=False))
        start = self.variance - EPS
        self.scales = nn.Parameter(torch.full((width,), start + log(-expm1(-start))))  # softplus of it is the variance

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        if not len(self.regressor):
            raise ValueError("VID has no layers yet: call bind(), as a distiller's dry run does, before the optimiser is made")
        require_equal_rows("VID", student, teacher)
        if student.ndim == teacher.ndim == 2:
            student, teacher = student[:, :, None, None], teacher[:, :, None, None]
        student, teacher = comparable("VID", student, teacher)
        variance = (F.softplus(self.scales) + EPS)[:, None, None]
        mean: Tensor = self.regressor(student)
        return ((mean - teacher).pow(2) / variance + variance.log()).mean() / 2
