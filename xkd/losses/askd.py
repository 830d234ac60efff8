"""Attention similarity distillation: a student that sees little is to attend as one that sees all, to the same channels and places.

Shin et al., "Teaching Where to Look: Attention Similarity Knowledge Distillation for Low Resolution Face Recognition", ECCV 2022,
arXiv:2209.14498, equation 6, for the attention maps that CBAM computes, before their sigmoid (after it they lie near 1/2, and every
cosine near 1). The authors' code sums over the blocks and weighs with 5, so that a weight depends on the depth; here is the *mean* over the
pairs. `AttentionCosine` is the same cosine for maps of any networks, averaged over channels.

In a timm network made with `block_args=dict(attn_layer="cbam")` these maps are what the gates are given:
`Tap("layer1.0.se.channel.gate", side="input", layout="NCHW")` and `Tap("layer1.0.se.spatial.gate", side="input", layout="NCHW")`. A block
that gives zeros, as each of timm's ResNets does before its first step (`zero_init_last`), has no map yet: cosine 0, and no gradient.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import comparable
from xkd.losses.pairs import pairs_of
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one


class ASKD(nn.Module):
    """1 - cosine, 0 to 2, of all values of a map, or of a tuple of maps a side; mean over rows and pairs. Zero if proportional.

    A channel map is (B, C) or (B, C, 1, 1), a spatial one (B, 1, H, W). The maps of a pair have equal channels; the larger is
    average-pooled to the smaller grid.
    """

    contract_shapes = ((5, 1, 1), (1, 4, 4), (6,))

    @in_float32
    def forward(
        self,
        student: Float[Tensor, "b ..."] | tuple[Float[Tensor, "b ..."], ...],
        teacher: Float[Tensor, "b ..."] | tuple[Float[Tensor, "b ..."], ...],
    ) -> Float[Tensor, ""]:
        cosines = [_cosine(*pair) for pair in pairs_of("ASKD", student, teacher)]
        return 1 - torch.stack(cosines).mean()


def _cosine(student: Float[Tensor, "b ..."], teacher: Float[Tensor, "b ..."]) -> Float[Tensor, ""]:
    shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
    student, teacher = (reading[:, :, None, None] if reading.ndim == 2 else reading for reading in (student, teacher))
    student, teacher = (maps.flatten(1) for maps in comparable("ASKD", student, teacher, channels=True))
    if student.shape[1] < 2:
        raise ValueError(f"ASKD compares maps of two values or more, got {shapes}: tap a layer with a larger grid")
    return (of_length_one(student) * of_length_one(teacher)).sum(1).mean()
