"""Normalised distance: features are standardised before they are compared, so neither side's scale matters.

Miles and Mikolajczyk, "Understanding the Role of the Projector in Knowledge Distillation" (a simple recipe, SRD), AAAI 2024,
arXiv:2303.11098, as in the authors' code: both sides batch-normalised (no affine part, eps 1e-4), log of the sum of |difference|^4.
Here the sum is a mean over rows, which takes log(B) off the value and leaves the gradient as it is. Miles et al., "VkD: Improving
Knowledge Distillation using Orthogonal Projections", CVPR 2024, arXiv:2403.06213, in the variant of the authors' code for classification:
only the teacher is standardised, each row over its features (layer normalisation), and the distance is smooth L1; it belongs to an
orthogonal projector. Both pool maps over positions first.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.precision import in_float32

_EPS = 1e-4  # of SRD's batch normalisation


class NormalizedDistance(nn.Module):
    """Of features (B, D) or maps (B, D, H, W) with any grid, averaged over positions. Mean over rows.

    "srd" (their weight: 2) compares the batch: a row alone has no statistics, so its value and gradient are 0. Its logarithm has no
    lower end; equal features give that of the smallest positive number.
    """

    def __init__(self, variant: Literal["srd", "vkd"] = "srd", power: float = 4.0) -> None:
        super().__init__()
        if variant not in ("srd", "vkd"):
            raise ValueError(f"variant must be 'srd' or 'vkd', got {variant!r}")
        if power < 1:
            raise ValueError(f"power must be 1 or more, got {power}")
        self.variant, self.power = variant, power

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        if student.ndim not in (2, 4) or teacher.ndim not in (2, 4) or student.shape[:2] != teacher.shape[:2]:
            shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            raise ValueError(f"NormalizedDistance compares as many features of the same rows, got {shapes}; give the term a projector")
        student, teacher = (reading.flatten(2).mean(2) if reading.ndim == 4 else reading for reading in (student, teacher))
        if self.variant == "vkd":
            return F.smooth_l1_loss(student, F.layer_norm(teacher, teacher.shape[1:]))
        if len(student) == 1:
            return student.sum() * 0
        difference = _standardised(student) - _standardised(teacher)
        distance = difference.abs().pow(self.power).sum(1).mean()
        return distance.clamp(min=torch.finfo(distance.dtype).tiny).log()


def _standardised(features: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Each feature over the batch, by the biased variance; no running statistics."""
    return F.batch_norm(features, None, None, training=True, eps=_EPS)
