"""Any grid to any grid: maps of unlike sizes are compared on the grid that is the smaller one along each axis."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def resize(maps: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """Average-pool an axis that shrinks, interpolate one that grows (bilinear, so the mean is kept as nearly as a grid allows)."""
    height, width = maps.shape[-2:]
    smaller = (min(height, size[0]), min(width, size[1]))
    if smaller != (height, width):
        maps = F.adaptive_avg_pool2d(maps, smaller)
    if smaller != size:
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return maps


def common_grid(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b2 d i j"]
) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b2 d y x"]]:
    """Both maps, each axis average-pooled to the smaller of the two lengths."""
    size = (min(first.shape[-2], second.shape[-2]), min(first.shape[-1], second.shape[-1]))
    return resize(first, size), resize(second, size)
