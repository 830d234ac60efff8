"""Features split by frequency: what is slow is learned closely, what is fast, which sensors have less in common, only in its rough size.

"fd_cmkd" is Liu et al., "Distilling Cross-Modal Knowledge via Feature Disentanglement", AAAI 2026, arXiv:2511.19887, as in a copy of the
authors' code: the real Fourier transform over the features of a pooled vector, without its constant; the halves are scaled to length
one, the slow one is compared by squares, the fast one by squares of sign(x) log(1 + |x|). Not here: their classifiers of the halves, which
teacher and student share. The order of features, on which the split depends, means nothing in most networks: a learned projector sets it.

"freqkd" is Thaker et al., "FreqKD: Frequency-Decoupled Cross-Modal Knowledge Distillation for Infrared Object Detection", arXiv:2606.11572,
as in published code of that method: maps less their mean over positions, each position scaled to length one over channels; the 2D Fourier
transform over positions, of which a box of +-cutoff/2 of each axis is slow; the fast part by squares of log(1 + |x|), which does not see
signs, with weight 0.1. The box has one negative frequency more than positive ones, as theirs has; the real part is taken.

Both have the mean over features or channels where the sum is taken here, so that the value does not depend on how many there are: their
weight, 1, is one over the features here.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one


class FrequencySplit(nn.Module):
    """Slow plus `high` times fast squared difference of maps (B, C, H, W), or with "fd_cmkd" of vectors (B, D). Zero if equal.

    Summed over channels, mean over rows and positions: 0 to 4 for each part. `cutoff`, 0..1, is the share of frequencies that is slow (1/2
    in both papers). "fd_cmkd" averages maps over positions first, whatever their grids; its authors' `high` is 1. A constant map, or one
    position, has no part in "freqkd", where a grid of 2 x 2 has no fast part either.
    """

    def __init__(self, variant: Literal["freqkd", "fd_cmkd"] = "freqkd", cutoff: float = 0.5, high: float = 0.1) -> None:
        super().__init__()
        if variant not in ("freqkd", "fd_cmkd"):
            raise ValueError(f"variant must be 'freqkd' or 'fd_cmkd', got {variant!r}")
        if not 0 < cutoff < 1:
            raise ValueError(f"cutoff is the share of frequencies that is slow, above 0 and below 1, got {cutoff}")
        if high < 0:
            raise ValueError(f"high is the weight of the fast part, 0 or more, got {high}")
        self.variant, self.cutoff, self.high = variant, cutoff, high

    @in_float32
    def forward(self, student: Float[Tensor, "b *shape"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        if self.variant == "fd_cmkd":
            student, teacher = (reading.flatten(2).mean(2) if reading.ndim == 4 else reading for reading in (student, teacher))
        if student.shape != teacher.shape or student.ndim != (2 if self.variant == "fd_cmkd" else 4):
            wanted = "vectors (B, D) or maps of as many channels" if self.variant == "fd_cmkd" else "maps (B, C, H, W) of one shape"
            shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            raise ValueError(f"FrequencySplit('{self.variant}') compares {wanted}, got {shapes}; give the term a projector")
        split = _of_vectors if self.variant == "fd_cmkd" else _of_maps
        slow, fast = ((a - b).square().sum(1).mean() for a, b in zip(split(student, self.cutoff), split(teacher, self.cutoff), strict=True))
        return slow + self.high * fast


def _of_vectors(features: Float[Tensor, "b d"], cutoff: float) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
    """Slow and fast, each of length one; the fast one on a logarithmic scale."""
    if features.shape[1] < 4:
        raise ValueError(f"FrequencySplit('fd_cmkd') splits 4 features or more, got {tuple(features.shape)}")
    spectrum = torch.fft.rfft(features, dim=1)
    last = max(1, int(cutoff * spectrum.shape[1]))
    frequency = torch.arange(spectrum.shape[1], device=features.device)
    bands = ((frequency > 0) & (frequency <= last), frequency > last)  # neither has the constant
    slow, fast = (of_length_one(torch.fft.irfft(spectrum * band, n=features.shape[1], dim=1)) for band in bands)
    return slow, fast.sign() * fast.abs().log1p()


def _of_maps(maps: Float[Tensor, "b c h w"], cutoff: float) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """Slow and fast of standardised maps; the fast one's sizes on a logarithmic scale."""
    maps = of_length_one(maps - maps.mean((2, 3), keepdim=True))
    box = _slow(maps.shape[2], cutoff).unsqueeze(1) & _slow(maps.shape[3], cutoff)
    slow = torch.fft.ifft2(torch.fft.fft2(maps) * box.to(maps.device)).real
    return slow, (maps - slow).abs().log1p()


def _slow(positions: int, cutoff: float) -> Tensor:
    """Which frequencies of an axis are slow, in the order of `torch.fft.fft`."""
    radius = max(1, int(positions * cutoff / 2))
    frequency: Tensor = torch.fft.fftfreq(positions, 1 / positions).round()
    return (frequency >= -radius) & (frequency < radius)
