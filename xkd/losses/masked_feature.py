"""Masked features: the student imitates the teacher's features inside the region of interest alone.

The foreground-weighted distance of Chen et al., "BEVDistill", ICLR 2023, arXiv:2211.09386, as in the authors' code: squared
differences summed over channels, weighted by the mask, divided by the mask's sum (their weight is 0.01 for 256 channels). Here the
region is any mask (a lesion, a leaf, an object), not a Gaussian drawn into boxes, and each row is divided by its own sum, so an image
with a small region counts as much as one with a large (theirs divides once per batch, and multiplies in a way that is right for a batch
of one only). UniDistill (CVPR 2023, arXiv:2303.15083) takes L1 distances at nine points of each box instead.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import comparable, masks_on_grid
from xkd.losses.precision import in_float32


class MaskedFeature(nn.Module):
    """Squared distance of maps (B, C, H, W) and (B, C, I, J) inside masks (B, 1, Y, X) in 0..1; zero if equal.

    Mean over masked positions, then over the rows whose mask is not empty; 0 where there is none. The larger map is average-pooled to
    the smaller grid, the mask area-averaged to it.
    """

    @in_float32
    def forward(
        self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"], mask: Float[Tensor, "b 1 y x"]
    ) -> Float[Tensor, ""]:
        student, teacher = comparable("MaskedFeature", student, teacher, channels=True)
        region = masks_on_grid("MaskedFeature", mask, student)
        distance = (student - teacher).pow(2).sum(1, keepdim=True)
        area = region.sum((1, 2, 3))
        defined = (area > 0).to(student.dtype)
        # an empty mask divides 0 by 1
        inside = (distance * region).sum((1, 2, 3)) / (area + (1 - defined))
        return inside.sum() / defined.sum().clamp(min=1)
