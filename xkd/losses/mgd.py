"""Masked generative distillation: from a part of the student's features, a small generator must restore the teacher's.

Yang et al., "Masked Generative Distillation", ECCV 2022, arXiv:2205.01529, as in the authors' code: the student's map, brought to the
teacher's channels by a 1x1 convolution where they differ, loses a random share of its channels or positions; 3x3 convolution, ReLU,
3x3 convolution; alpha * the *sum* of squared differences over elements, mean over rows.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class MGD(nn.Module):
    """Of maps (B, C, H, W) and (B, D, I, J); the larger is average-pooled to the smaller grid.

    The defaults are the authors' for classification, which masks channels; theirs for detection and segmentation mask positions:
    `MGD("positions", share=0.65, alpha=2e-5)`. The masks come from torch's generator. The layers are made by `bind`, in the dry run.
    """

    contract_exempt = ("permutation", "mean")  # each row draws a mask of its own

    def __init__(self, masked: Literal["channels", "positions"] = "channels", share: float = 0.15, alpha: float = 7e-5) -> None:
        super().__init__()
        if masked not in ("channels", "positions"):
            raise ValueError(f"masked must be 'channels' or 'positions', got {masked!r}")
        if not 0 <= share < 1:
            raise ValueError(f"share, how much of a map is masked, must be in [0, 1), got {share}")
        self.masked, self.share, self.alpha = masked, share, alpha
        self.align: nn.Module = nn.Identity()
        self.generator = nn.Sequential()

    def bind(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        """Make the layers for maps of these shapes, (C, H, W) each."""
        if len(student) != 3 or len(teacher) != 3:
            raise ValueError(f"MGD compares maps (C, H, W), got {student} and {teacher}; tap a layer before the pooling")
        channels = teacher[0]
        if student[0] != channels:
            self.align = nn.Conv2d(student[0], channels, 1)
        self.generator.extend([nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)])

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        if not len(self.generator):
            raise ValueError("MGD has no layers yet: call bind(), as a distiller's dry run does, before the optimiser is made")
        student, teacher = comparable("MGD", student, teacher)
        aligned = self.align(student)
        rows, channels, height, width = aligned.shape
        shape = (rows, channels, 1, 1) if self.masked == "channels" else (rows, 1, height, width)
        kept = torch.rand(shape, device=aligned.device) >= self.share
        restored: Tensor = self.generator(aligned * kept)
        return self.alpha * (restored - teacher).pow(2).sum((1, 2, 3)).mean()
