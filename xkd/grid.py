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


def comparable(
    loss: str, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b2 d i j"], *, channels: bool = False, cells: int = 1
) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b2 d y x"]]:
    """Both maps on their common grid, or a `ValueError` that names `loss` and both shapes.

    `channels`: the formula needs as many on both sides; `cells`: fewer positions would leave nothing to compare.
    """
    shapes = f"maps of {tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.ndim != 4 or teacher.ndim != 4:
        raise ValueError(f"{loss} compares maps (B, C, H, W), got {shapes}; tap a layer before the pooling")
    if len(student) != len(teacher):
        raise ValueError(f"{loss} compares the same rows, got {shapes}")
    if channels and student.shape[1] != teacher.shape[1]:
        raise ValueError(f"{loss} compares equal channels, got {shapes}; give the term a projector")
    student, teacher = common_grid(student, teacher)
    if student.shape[-2] * student.shape[-1] < cells:
        raise ValueError(f"{loss} compares {cells} positions or more, got {shapes}; tap a layer with a larger grid")
    return student, teacher


def masks_on_grid(loss: str, masks: Float[Tensor, "b 1 i j"], maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
    """The share of each cell of `maps` that its mask covers, in the precision of `maps`; masks have any size of the maps' aspect."""
    shapes = f"masks {tuple(masks.shape)} and maps {tuple(maps.shape)}"
    if masks.ndim != 4 or masks.shape[1] != 1 or len(masks) != len(maps):
        raise ValueError(f"{loss} needs one mask (1, H, W) for each row, got {shapes}")
    (height, width), (rows, columns) = masks.shape[-2:], maps.shape[-2:]
    if abs(height * columns - width * rows) > max(height, width):  # more than one cell of the map
        raise ValueError(f"{loss} needs masks of the same image as the maps, got {shapes}, which differ in their proportions")
    return resize(masks.to(maps.dtype), (maps.shape[-2], maps.shape[-1]))
