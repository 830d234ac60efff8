"""Inter-channel correlation: which channels of one image are active together, compared with the teacher's.

Liu et al., "Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation", ICCV 2021, arXiv:2202.03680. The variant
is that of the authors' code for classification (ICKD-C): C x C products over positions, each row of length one, the sum of squared
differences over C, mean over images (weight 2.5 for CIFAR-100; torchdistill divides by the number of images once more). Their 1x1
convolution with batch normalisation on the student's side is the projector `Conv1x1(norm=True)`. Not here: the parts of the grid that
they compare one by one for segmentation.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32
from xkd.losses.rows import require_equal_rows


class ICKD(nn.Module):
    """Of maps (B, C, H, W) and (B, C, I, J) of any grids, since positions are summed over; mean over rows. Zero if proportional."""

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        shapes = f"maps of {tuple(student.shape)} and {tuple(teacher.shape)}"
        if student.ndim != 4 or teacher.ndim != 4:
            raise ValueError(f"ICKD compares maps (B, C, H, W), got {shapes}; tap a layer before the pooling")
        require_equal_rows("ICKD", student, teacher)
        if student.shape[1] != teacher.shape[1]:
            raise ValueError(f"ICKD compares equal channels, got {shapes}; give the term a projector, such as Conv1x1(norm=True)")
        return (_correlation(student) - _correlation(teacher)).pow(2).sum(2).mean()


def _correlation(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c c"]:
    channels = maps.flatten(2)
    products = channels @ channels.mT
    lengths: Tensor = torch.linalg.vector_norm(products, dim=2, keepdim=True)
    return products / lengths.masked_fill(lengths == 0, 1.0)  # an epsilon would give a channel of zeros a gradient of 1 / epsilon
