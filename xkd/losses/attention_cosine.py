"""Attention similarity: one minus the cosine of two attention maps of any kind, on a common grid.

The cosine of Shin et al., "Teaching Where to Look: Attention Similarity Knowledge Distillation for Low Resolution Face
Recognition", ECCV 2022, arXiv:2209.14498, and of e2KD (Parchami-Araghi et al., ECCV 2024), here for maps from unlike networks:
a transformer's token attention, a CNN's activation energy, Grad-CAM. It does not depend on the map's size or scale.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import comparable
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one


class AttentionCosine(nn.Module):
    """Of attention (B, C, H, W) and (B, D, I, J), each averaged over its channels (heads); mean over rows; zero if proportional."""

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        maps = comparable("AttentionCosine", student, teacher, cells=2)
        student, teacher = (of_length_one(each.mean(1).flatten(1)) for each in maps)
        return (1 - (student * teacher).sum(1)).mean()
