"""Supervision as an edge of the graph: cross-entropy against the labels, for one label or several per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.precision import in_float32

_UNKNOWN: Final = -1  # what Batch.target has where there is no label


class CrossEntropy(nn.Module):
    """Cross-entropy of logits (B, K), or (B, K, H, W) with a target (B, H, W), mean over rows; targets of -1 do not count, 0 if all are.

    `weight` has one factor per class, for rare classes; as in `torch.nn.CrossEntropyLoss` the mean is then the weighted one.
    Targets of floats are class probabilities (B, K), which mixing of samples makes.
    """

    weight: Tensor | None

    of_classes = True

    def __init__(self, label_smoothing: float = 0.0, weight: Sequence[float] = ()) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", torch.tensor(weight) if weight else None, persistent=False)

    @in_float32
    def forward(self, student: Float[Tensor, "b k *grid"], target: Shaped[Tensor, "b ..."]) -> Float[Tensor, ""]:
        weight = None if self.weight is None else self.weight.to(student.dtype)
        if target.is_floating_point():
            _check_probabilities(target, always=not self.training)
            return F.cross_entropy(student, target.to(student.dtype), weight=weight, label_smoothing=self.label_smoothing)
        total = F.cross_entropy(
            student, target, weight=weight, label_smoothing=self.label_smoothing, ignore_index=_UNKNOWN, reduction="sum"
        )
        known = (target != _UNKNOWN).to(student.dtype)
        whole = (known if weight is None else known * weight[target.clamp(min=0)]).sum()
        return total / torch.where(whole > 0, whole, 1.0)  # no pixel of a small batch may be known


def _check_probabilities(target: Tensor, always: bool) -> None:
    """On an accelerator in the dry run alone: looking at values makes the processor wait."""
    if (always or target.device.type == "cpu") and not (
        (target >= 0).all() and torch.allclose(target.sum(1), target.new_ones(()), atol=1e-3)
    ):
        raise ValueError("CrossEntropy needs class indices or probabilities; use KD for a network's logits, BinaryCrossEntropy for 0/1")


class BinaryCrossEntropy(nn.Module):
    """Sigmoid cross-entropy of logits (B, K) against 0/1 targets (B, K), mean over rows and classes; `weight` multiplies positives."""

    weight: Tensor | None

    of_classes = True

    def __init__(self, weight: Sequence[float] = ()) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight) if weight else None, persistent=False)

    @in_float32
    def forward(self, student: Float[Tensor, "b k"], target: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
        weight = None if self.weight is None else self.weight.to(student.dtype)
        return F.binary_cross_entropy_with_logits(student, target.to(student.dtype), pos_weight=weight)
