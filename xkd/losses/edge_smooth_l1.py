"""Smooth L1 of each pixel, and of how errors change from pixel to pixel: edges come out where the teacher has them, and sharp.

The first part is Girshick's, "Fast R-CNN", ICCV 2015, arXiv:1504.08083, equation 3. The second is the multi-scale gradient matching of
Li and Snavely, "MegaDepth", CVPR 2018, arXiv:1804.00607, and of Ranftl et al., "Towards Robust Monocular Depth Estimation",
arXiv:1907.01341: |difference of the errors of two neighbours|, across and down, on every pixel, every second, every fourth
and so on. Both of them take it of disparities or logarithms that were aligned first; here it is of the values themselves. Their code
divides by the number of known pixels, this by the number of pairs of neighbours that are both known, so that few returns of a scanner do
not make it vanish.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.known_pixels import errors_of, mean_of_known
from xkd.losses.precision import in_float32


class EdgeSmoothL1(nn.Module):
    """Of maps (B, C, H, W), in units of `scale`: squared below errors of `beta`, absolute above, plus `edges` times the second part.

    That is the sum over `levels` grids, each with half of the last one's pixels a side. Zero if equal. NaN on the teacher's side is what
    nobody knows; where nothing is known the loss is 0. The mean over the processes of a training is weighted by rows.
    """

    takes_unknown = True

    def __init__(self, beta: float = 1.0, scale: float = 1.0, edges: float = 0.5, levels: int = 4) -> None:
        super().__init__()
        if not beta > 0 or not scale > 0 or not edges >= 0 or levels < 1:
            raise ValueError(
                "EdgeSmoothL1: beta and scale are above 0, edges 0 or more, levels 1 or more;"
                f" got beta={beta}, scale={scale}, edges={edges}, levels={levels}"
            )
        self.beta, self.scale, self.edges, self.levels = beta, scale, edges, levels

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        errors, known = errors_of("EdgeSmoothL1", student, teacher)
        errors = errors / self.scale
        value = mean_of_known(F.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none", beta=self.beta), known)
        for level in range(self.levels):
            coarse, seen = errors[..., :: 2**level, :: 2**level], known[..., :: 2**level, :: 2**level]
            across = mean_of_known(coarse.diff(dim=3).abs(), seen[..., 1:] & seen[..., :-1])
            down = mean_of_known(coarse.diff(dim=2).abs(), seen[..., 1:, :] & seen[..., :-1, :])
            value = value + self.edges * (across + down)
        return value
