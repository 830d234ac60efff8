"""Mask energy: the share of the student's attention that falls outside the region of interest.

The Energy loss of Rao et al., "Studying How to Efficiently and Effectively Guide Models with Explanations", ICCV 2023,
arXiv:2303.11932: one minus the energy-based pointing game. The mask is area-averaged to the attention's grid, which equals
scoring the attention, enlarged by repetition, at the mask's own size. The authors cut attention off at zero; here the whole is the sum of
magnitudes, which is the same for attention that is not negative, and of signed attention (`GradCAM(..., signed=True)`) it is a loss
whose gradient does not vanish as soon as all of a map is below zero: what lies inside the mask is raised until it is above. (It does
where all of a negative map lies inside the mask.)
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import masks_on_grid
from xkd.losses.precision import in_float32


class MaskEnergy(nn.Module):
    """Of attention (B, C, H, W), averaged over channels, and masks (B, 1, I, J) in 0..1.

    From 0 (all inside) to 1 (all outside), of signed attention to 2 (all inside and negative).

    Mean over the rows whose mask is not empty (a healthy leaf has no lesion to look at); 0 where there is none.
    """

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], mask: Float[Tensor, "b 1 i j"]) -> Float[Tensor, ""]:
        if student.ndim != 4 or student.shape[-2] * student.shape[-1] < 2:
            shapes = f"{tuple(student.shape)} and masks {tuple(mask.shape)}"
            raise ValueError(
                f"MaskEnergy needs attention (B, C, H, W) of 2 positions or more, got {shapes}; tap a layer with a larger grid"
            )
        attention = student.mean(1, keepdim=True)
        region = masks_on_grid("MaskEnergy", mask, attention)
        share = (attention * region).sum((1, 2, 3)) / attention.abs().sum((1, 2, 3)).clamp(min=1e-12)
        defined = (region.sum((1, 2, 3)) > 0).to(attention.dtype)
        return ((1 - share) * defined).sum() / defined.sum().clamp(min=1)
