"""Knowledge review: each stage of the teacher teaches the student's stage of its depth and all deeper ones.

Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv:2104.09044, as in the authors' code: from the deepest stage to
the shallowest, attention-based fusion (ABF) of the student's map with what the deeper stages left, then a 3x3 convolution to the
teacher's channels, and the hierarchical context loss (HCL): mean squared errors on the whole map and pooled to 4x4, 2x2 and 1x1, weighted
1, 1/2, 1/4, 1/8 over their sum, *summed* over stages. The authors' weight is from 0.6 to 8 for CIFAR-100, 1 for ImageNet, raised
linearly over the first 20 epochs (a `Ramp`).

Their maps are square; here grids may be any. A level of HCL that would shrink neither axis is left out, which is their rule on square
maps. A fused map is brought to the teacher's grid by pooling an axis that shrinks and interpolating one that grows; theirs takes the
nearest position.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import resize
from xkd.losses.learned import Shape
from xkd.losses.precision import in_float32

LEVELS = (4, 2, 1)  # the grids of HCL beside the whole map


class ReviewKD(nn.Module):
    """Of as many readings of the student as of the teacher, shallow to deep: maps (B, C, H, W), or vectors (B, C) such as pooled features.

    One reading on each side is a stage of its own, with nothing to fuse. The fusion is as wide as the student's deepest stage, at most
    `width`. The layers are made by `bind`, in the dry run; their batch normalisation takes its running statistics where a batch
    gives a single value per channel.
    """

    reads_several = True
    contract_shapes = ((3, 4, 4), (5, 2, 4), (6,))

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width, the most channels that stages are fused in, must be at least 1, got {width}")
        self.width = width
        self.fusions = nn.ModuleList()  # deepest first

    def bind(self, student: Shape | tuple[Shape, ...], teacher: Shape | tuple[Shape, ...]) -> None:
        """Make the layers for readings of these shapes, (C, H, W) or (C,), or as many of them on each side."""
        of_student, of_teacher = _stages(student), _stages(teacher)
        if len(of_student) != len(of_teacher) or any(len(shape) not in (1, 3) for shape in (*of_student, *of_teacher)):
            raise ValueError(f"ReviewKD compares as many maps or vectors of the student as of the teacher, got {student} and {teacher}")
        width = min(self.width, of_student[-1][0])
        for (channels, *_), (out_channels, *grid) in zip(of_student[::-1], of_teacher[::-1], strict=True):
            size = (grid[0], grid[1]) if grid else (1, 1)
            self.fusions.append(_Fusion(channels, width, out_channels, size, fuse=len(self.fusions) > 0))

    @in_float32
    def forward(
        self,
        student: Float[Tensor, "b ..."] | tuple[Float[Tensor, "b ..."], ...],
        teacher: Float[Tensor, "b ..."] | tuple[Float[Tensor, "b ..."], ...],
    ) -> Float[Tensor, ""]:
        if not len(self.fusions):
            raise ValueError("ReviewKD has no layers yet: call bind(), as a distiller's dry run does, before the optimiser is made")
        of_student, of_teacher = _maps(student), _maps(teacher)
        if not len(of_student) == len(of_teacher) == len(self.fusions):
            raise ValueError(f"ReviewKD was bound to {len(self.fusions)} readings a side, got {len(of_student)} and {len(of_teacher)}")
        deeper, losses = None, []
        for fusion, given, wanted in zip(self.fusions, of_student[::-1], of_teacher[::-1], strict=True):
            predicted, deeper = fusion(given, deeper)
            losses.append(_hierarchical(predicted, wanted))
        return torch.stack(losses).sum()


class _Fusion(nn.Module):
    """One stage: the student's map, fused with the deeper stages', as the teacher's map; and what it leaves for the shallower stage."""

    def __init__(self, channels: int, width: int, out_channels: int, size: tuple[int, int], fuse: bool) -> None:
        super().__init__()
        self.size = size
        self.enter, self.enter_norm = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.leave, self.leave_norm = nn.Conv2d(width, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        self.attention = nn.Conv2d(2 * width, 2, 1) if fuse else None
        for convolution in (self.enter, self.leave):
            nn.init.kaiming_uniform_(convolution.weight, a=1)

    def forward(
        self, maps: Float[Tensor, "b c h w"], deeper: Float[Tensor, "b m y x"] | None
    ) -> tuple[Float[Tensor, "b d i j"], Float[Tensor, "b m i j"]]:
        fused = _normed(self.enter_norm, self.enter(maps))
        if self.attention is not None and deeper is not None:
            grown = F.interpolate(deeper, fused.shape[-2:], mode="nearest")
            own, others = self.attention(torch.cat([fused, grown], dim=1)).sigmoid().split(1, dim=1)
            fused = fused * own + grown * others
        fused = resize(fused, self.size)
        return _normed(self.leave_norm, self.leave(fused)), fused


def _normed(norm: nn.BatchNorm2d, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """One value per channel has no statistics, and torch would refuse it: a single row of a pooled stage."""
    if maps.numel() > maps.shape[1]:
        normed: Tensor = norm(maps)
        return normed
    return F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _hierarchical(student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    height, width = student.shape[-2:]
    loss, weight, whole = F.mse_loss(student, teacher), 1.0, 1.0
    for level in LEVELS:
        size = (min(level, height), min(level, width))
        if size == (height, width):
            continue
        weight /= 2
        whole += weight
        loss = loss + weight * F.mse_loss(F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size))
    return loss / whole


def _stages(shapes: Shape | tuple[Shape, ...]) -> tuple[Shape, ...]:
    several = tuple(shape for shape in shapes if isinstance(shape, tuple))
    return several or (tuple(size for size in shapes if isinstance(size, int)),)


def _maps(readings: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    several = readings if isinstance(readings, tuple) else (readings,)
    return tuple(each[:, :, None, None] if each.ndim == 2 else each for each in several)
