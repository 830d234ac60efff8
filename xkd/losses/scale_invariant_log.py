"""Distances by their ratios: one factor for a whole image costs less than errors that differ from pixel to pixel.

Eigen, Puhrsch and Fergus, "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network", NeurIPS 2014, arXiv:1406.2283,
equation 4: with d = log y - log y* of each of an image's n known pixels, mean(d^2) - share mean(d)^2. They train with a share (their
lambda) of 0.5 and measure with 1. The "SILog loss" of later code (Lee et al., BTS, arXiv:1907.10326) is 10 times the square
root of it over all pixels of a batch, with 0.85; this is Eigen's, by image.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.known_pixels import require_one_grid
from xkd.losses.precision import in_float32


class ScaleInvariantLog(nn.Module):
    """Of maps (B, C, H, W) above 0, the mean over the images in which something is known. Zero if equal.

    `share`, 0 to 1, of what a factor common to all of an image's pixels would cost is forgiven: at 0 nothing is, at 1 all of it. What is
    NaN on the teacher's side, 0 or below, nobody knows. `ValueError` for a student's value of 0 or below, told on the CPU alone;
    `Dense(ratios=True)` gives none.
    """

    takes_unknown = True

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share is 0 to 1, got {share}")
        self.share = share

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [torch.randn((4, 2, 3, 4), generator=generator, dtype=torch.float64).exp() for _ in range(2)]

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        require_one_grid("ScaleInvariantLog", student, teacher)
        # an accelerator would be waited for
        if student.device.type == "cpu" and not torch.compiler.is_compiling() and (student <= 0).any():
            least = float(student.detach().min())
            raise ValueError(f"ScaleInvariantLog takes numbers above 0, the student gives {least:g}: use Dense(ratios=True), or PixelL1")
        known = teacher > 0  # NaN is not
        ratios = torch.where(known, student.log() - teacher.log(), 0.0).flatten(1)
        count = known.flatten(1).sum(1)
        mean = ratios.sum(1) / count.clamp(min=1)
        of_images = ratios.square().sum(1) / count.clamp(min=1) - self.share * mean.square()
        return of_images.sum() / (count > 0).sum().clamp(min=1)
