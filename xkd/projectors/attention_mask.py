"""Attention as a mask: where a network looks at more than half of its strongest, for what else has no masks.

The threshold of the min-max scaled map is that of the mask's intersection over union in Rao et al., ICCV 2023, arXiv:2303.11932. The
foreground of a teacher's own attention in place of annotated boxes is that of Zhang and Ma, "Improve Object Detection with Feature-based
Knowledge Distillation", ICLR 2021, there soft and over channels too.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AttentionMask(nn.Module):
    """(B, C, H, W) -> (B, 1, H, W) of zeros and ones: a head on a teacher's attention tap, to be read where a loss wants a mask.

    Averaged over channels (heads) and scaled to 0..1 for each row, an even map to zero; 1 from `threshold` on; NaN stays NaN. It learns
    nothing.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"AttentionMask's threshold is a share of the range of attention, between 0 and 1, got {threshold}")
        self.threshold = threshold

    def bind(self, source: tuple[int, ...], target: tuple[int, ...]) -> None:
        if len(source) != 3:
            raise ValueError(
                f"AttentionMask reads attention (C, H, W), got {source}: put this head on a tap of kind 'attention' or 'energy'"
            )

    def forward(self, reading: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        attention = reading.float().mean(1, keepdim=True)
        low, high = attention.amin((1, 2, 3), keepdim=True), attention.amax((1, 2, 3), keepdim=True)
        inside = (attention > low) & (attention >= low + self.threshold * (high - low))
        return inside.to(reading.dtype).where(high.isfinite(), reading.new_full((), torch.nan))  # a mask of zeros would hide it
