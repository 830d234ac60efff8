"""Modality discriminator: the student learns features that cannot be told from the teacher's.

The adversarial term of Liu et al., "Cross-Architecture Knowledge Distillation", ACCV 2022, arXiv:2207.05273, equations 8 and 9: a
discriminator of three linear layers minimises -log D(teacher) - log(1 - D(student)), and the student maximises the same. Both in one
backward pass and by one optimiser, through the gradient reversal of Ganin and Lempitsky, "Unsupervised Domain Adaptation by
Backpropagation", ICML 2015, arXiv:1409.7495. (The authors' code detaches the student's side, so that its student learns nothing from it.)
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32
from xkd.losses.rows import require_equal_rows


class ModalityDiscriminator(nn.Module):
    """Of features (B, D), or of maps (B, D, H, W) position by position; the larger map is average-pooled. Mean over rows and positions.

    The value is the discriminator's loss: near 0 where it tells the sides apart, 2 log 2 = 1.39 where it can only guess. The student's
    gradient is that of the value times `-strength`. The layers are made by `bind`, in the dry run.
    """

    contract_exempt = ("gradcheck",)  # the student's gradient is reversed

    def __init__(self, width: int = 128, strength: float = 1.0) -> None:
        super().__init__()
        if width < 1 or strength <= 0:
            raise ValueError(f"width and strength must be positive, got {width} and {strength}")
        self.width, self.strength = width, strength
        self.layers = nn.Sequential()

    def bind(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        """Make the layers for readings of these shapes, (D,) or (D, H, W)."""
        if len(student) != len(teacher) or len(student) not in (1, 3) or student[0] != teacher[0]:
            raise ValueError(f"ModalityDiscriminator sees features of one length, got {student} and {teacher}; give the term a projector")
        width = self.width
        layers = [nn.Linear(student[0], width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)]
        self.layers.extend(layers)

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        if not len(self.layers):
            raise ValueError(
                "ModalityDiscriminator has no layers yet: call bind(), as a distiller's dry run does, before the optimiser is made"
            )
        require_equal_rows("ModalityDiscriminator", student, teacher)
        if student.ndim == 4:
            student, teacher = comparable("ModalityDiscriminator", student, teacher, channels=True)
        reversed_student: Tensor = _Reversal.apply(student, self.strength)
        # softplus(-z) is -log D and softplus(z) is -log(1 - D), with D = sigmoid(z)
        return F.softplus(-self._logits(teacher)).mean() + F.softplus(self._logits(reversed_student)).mean()

    def _logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features.movedim(1, -1))
        return logits


class _Reversal(torch.autograd.Function):
    """The same values; the gradient changes its sign."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None
