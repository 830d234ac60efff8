"""Overhaul of feature distillation: features before the activation are compared, and only where the difference would survive it.

Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv:1904.01866, as in the authors' code: the teacher's values
below a margin of their channel are raised to it (margin ReLU); squared differences do not count where the teacher is not positive and
the student is no larger (partial L2); their *sum* over elements, mean over rows. The authors' weight is 1e-3 for CIFAR-100 and
1e-4 for ImageNet, halved for each shallower stage, a term each. Their 1x1 convolution with batch normalisation on the student's side is
the projector `Conv1x1(norm=True)`.

The margin is theirs, the mean of the negative values of a normal distribution, and -3 sigma where they are rarer than one in a
thousand. They take mean and sigma from the shift and scale of the batch normalisation before the activation; here the channels' mean and
sigma are measured in the teacher's readings, which is the same for its output, holds for what a residual is added to, and serves
teachers without batch normalisation.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import comparable
from xkd.losses.precision import in_float32

RARE = 1e-3  # the authors'


class OFD(nn.Module):
    """Of maps (B, C, H, W) and (B, C, I, J) before an activation; the larger is average-pooled to the smaller grid. Mean over rows.

    Stages of MobileNet, EfficientNet and ConvNeXt end before one, as does any tapped normalisation whose output is not overwritten in
    place. A ResNet's stages end behind a ReLU: then the margin has no effect, and a negative student costs nothing where the teacher is 0.

    Zero if equal. Mean and variance of the teacher's channels are those of all rows seen so far, so the teacher should be frozen; they are
    in the checkpoint, and stay as they are in eval mode or without gradients. Each process of a distributed run has its own; the first
    one's are saved. Sized by `bind`, in the dry run.
    """

    num_rows: Tensor  # seen so far
    mean: Tensor
    variance: Tensor

    def bind(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        """Make room for the statistics of a teacher's map (C, H, W)."""
        if len(student) != 3 or len(teacher) != 3:
            raise ValueError(f"OFD compares maps (C, H, W), got {student} and {teacher}; tap a layer before the pooling")
        self.register_buffer("num_rows", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(teacher[0]))
        self.register_buffer("variance", torch.zeros(teacher[0]))

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        if not hasattr(self, "mean"):
            raise ValueError("OFD has no statistics yet: call bind(), as a distiller's dry run does, before the optimiser is made")
        # checked before anything is remembered
        shown, target = comparable("OFD", student, self._margin_relu(teacher), channels=True)
        counts = (target > 0) | (shown > target)
        return ((shown - target).pow(2) * counts).sum((1, 2, 3)).mean()

    def _margin_relu(self, teacher: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        mean, variance = self._statistics(teacher.detach())
        return torch.maximum(teacher, margin(mean, variance.sqrt())[:, None, None])

    def _statistics(self, teacher: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Mean and variance of each channel, the present batch among the rows seen where the loss learns or has seen none."""
        learns = self.training and torch.is_grad_enabled()
        seen = self.num_rows + (len(teacher) if learns else 0)
        share = torch.where(self.num_rows == 0, 1.0, (seen - self.num_rows).to(self.mean.dtype) / seen.clamp(min=1))
        variance, mean = torch.var_mean(teacher, dim=(0, 2, 3), correction=0)
        apart = mean - self.mean
        mean = self.mean + share * apart
        variance = self.variance + share * (variance - self.variance) + share * (1 - share) * apart.pow(2)
        if learns:
            # a step that is not finite is left out by the optimiser, and must not stay here either
            finite = (mean + variance).isfinite().all()
            for held, new in ((self.num_rows, seen), (self.mean, mean), (self.variance, variance)):
                held.copy_(torch.where(finite, new, held))
        return mean, variance


def margin(mean: Float[Tensor, " c"], std: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """The expectation of a normal variable given that it is negative; -3 std where that is rare. Never positive."""
    steps = mean / std.clamp(min=torch.finfo(std.dtype).tiny)  # a channel that never changes has no std
    below = torch.special.ndtr(-steps)
    density = (-steps.pow(2) / 2).exp() / math.sqrt(2 * math.pi)
    return torch.where(below > RARE, mean - std * density / below, -3 * std)
