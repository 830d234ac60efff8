"""A network that makes images of noise, for branches that judge them or learn from them.

The generator of "Data-Free Learning of Student Networks" (DAFL), Chen et al., ICCV 2019, arXiv:1904.01186, which is DCGAN's with
upsampling and convolutions in place of transposed ones, as Fast-Datafree's `Generator` has it: a linear layer to a small map, then batch
norm, upsampling and convolutions with LeakyReLU(0.2), and a sigmoid. Ours begins with a map of about 8 pixels a side, whatever the size
(two upsamplings for 32 pixels, as theirs), gives the range of a sensor in place of 0..1, and may be told a class.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.batch import View
from xkd.modality import Quantified

_FIRST = 8  # pixels of the first map's longer side
_SLOPE = 0.2


class Generator(nn.Module):
    """Noise (B, latent, 1, 1) to images (B, C, H, W) of `view`, in its sensor's unit and within its range.

    With `classes` the last of the noise's numbers, one for each class, draw a class in each row: the largest of them, so that all are
    equally likely; the network sees which one it is in their place. The class is module "drawn", one-hot (B, classes), for a tap.
    `width` is the number of channels of the largest map; the smaller ones have twice as many. `grey` gives all channels one share of their
    range: of a sensor whose images are known to be grey. A branch of it has `task=Features()`.
    """

    low: Tensor
    span: Tensor

    def __init__(self, view: View, latent: int = 100, classes: int = 0, width: int = 64, *, grey: bool = False) -> None:
        super().__init__()
        if not 0 <= classes < latent or width < 1:
            raise ValueError(f"Generator: classes from 0 to below latent, width 1 or more; got {classes}, {latent} and {width}")
        self.latent, self.classes = latent, classes
        if classes:
            self.drawn = _Largest()
        low, high = zip(*_ranges(view), strict=True)
        self.register_buffer("low", torch.tensor(low).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("span", (torch.tensor(high) - torch.tensor(low)).reshape(1, -1, 1, 1), persistent=False)
        times = max(1, round(math.log2(max(view.size) / _FIRST)))
        sizes = [(math.ceil(view.size[0] / 2**k), math.ceil(view.size[1] / 2**k)) for k in range(times, -1, -1)]
        self.first = (2 * width, *sizes[0])
        self.linear = nn.Linear(latent, math.prod(self.first))
        layers: list[nn.Module] = [nn.BatchNorm2d(2 * width)]
        for place, size in enumerate(sizes[1:], start=1):
            wide = width if place == times else 2 * width
            layers += [nn.Upsample(size), nn.Conv2d(2 * width, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1 if grey else len(low), 3, 1, 1), nn.Sigmoid())

    def forward(self, noise: Float[Tensor, "b z h w"]) -> Float[Tensor, "b c y x"]:
        if noise.shape[1:] != (self.latent, 1, 1):
            raise ValueError(
                f"Generator(latent={self.latent}) is given {tuple(noise.shape[1:])} in each row: its view is Noise(channels={self.latent})"
                " of size (1, 1)"
            )
        seed = noise.flatten(1)
        if self.classes:
            seed = torch.cat([seed[:, : -self.classes], self.drawn(seed[:, -self.classes :])], 1)
        shares: Tensor = self.layers(self.linear(seed).unflatten(1, self.first))
        return self.low + self.span * shares


class NoiseImages(nn.Module):
    """Noise (B, C or 1, H, W) as images of `view`, each value by itself within the sensor's range: a control of what a generator is worth.

    Noise of one channel makes grey images.
    """

    low: Tensor
    high: Tensor

    def __init__(self, view: View) -> None:
        super().__init__()
        for name, ends in zip(("low", "high"), zip(*_ranges(view), strict=True), strict=True):
            self.register_buffer(name, torch.tensor(ends).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, noise: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        shares = (0.5 + noise / 4).clamp(0, 1)  # two standard deviations reach the ends
        return self.low + (self.high - self.low) * shares


class _Largest(nn.Module):
    """One-hot of the largest number of each row."""

    def forward(self, numbers: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        return F.one_hot(numbers.argmax(1), numbers.shape[1]).to(numbers.dtype)


def _ranges(view: View) -> list[tuple[float, float]]:
    """Of each channel."""
    return [
        span
        for sensor in view.sensors
        for span in ([of for *_, of in sensor.quantities] if isinstance(sensor, Quantified) else [sensor.range] * sensor.channels)
    ]
