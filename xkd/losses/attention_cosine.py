"""Attention similarity: one minus the cosine of two attention maps of any kind, on a common grid.

The cosine of Shin et al., "Teaching Where to Look: Attention Similarity Knowledge Distillation for Low Resolution Face
Recognition", ECCV 2022, arXiv:2209.14498, and of e2KD (Parchami-Araghi et al., ECCV 2024), here for maps from unlike networks:
a transformer's token attention, a CNN's activation energy, Grad-CAM. It does not depend on the map's size or scale.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class AttentionCosine(nn.Module):
    """Of attention (B, C, H, W) and (B, D, I, J), each averaged over its channels (heads); mean over rows; zero if proportional."""

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = (maps.mean(1) for maps in comparable("AttentionCosine", student, teacher, cells=2))
        return (1 - F.cosine_similarity(student.flatten(1), teacher.flatten(1), dim=1)).mean()
