"""What losses of logits share: the same classes on both sides, the labelled class, the mean over what is labelled."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

_UNKNOWN: Final = -1  # what Batch.target has where there is no label


def check_logits(loss: nn.Module, student: Tensor, teacher: Tensor, least: int = 2) -> None:
    """Unlike shapes, some of which would broadcast, are a `ValueError`; so are fewer than `least` classes."""
    name, shapes = type(loss).__name__, f"{tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.shape != teacher.shape:
        raise ValueError(f"{name} compares logits over the same classes and positions, got {shapes}")
    if student.shape[1] < least:
        raise ValueError(f"{name} needs at least {least} classes, got logits {shapes}; SigmoidKD serves one class")


def labelled_class(
    loss: nn.Module, student: Float[Tensor, "b k *grid"], target: Shaped[Tensor, "b ..."]
) -> tuple[Bool[Tensor, "b k *grid"], Bool[Tensor, "b *grid"]]:
    """One true value over the classes of each row or pixel, its label, and where there is one (target other than -1).

    Targets are class indices of the logits' shape without its classes, or class probabilities of the logits' own shape,
    which mixing of samples makes: then the likeliest class is the label. Other targets, 0/1 of several labels too, are a `ValueError`.
    """
    name, shapes = type(loss).__name__, f"logits {tuple(student.shape)} and target {tuple(target.shape)}"
    if target.is_floating_point():
        if target.shape != student.shape:
            raise ValueError(f"{name} needs class indices, or one probability for each logit, got {shapes}")
        # on an accelerator in the dry run alone: looking at values makes the processor wait
        looked_at = target.device.type == "cpu" or not loss.training
        if looked_at and not ((target >= 0).all() and torch.allclose(target.sum(1), target.new_ones(()), atol=1e-3)):
            raise ValueError(f"{name} needs class indices or probabilities that sum to one; SigmoidKD serves several labels per row")
        label, known = target.argmax(1), torch.ones_like(target[:, 0], dtype=torch.bool)
    else:
        if target.shape != (len(student), *student.shape[2:]):
            raise ValueError(f"{name} needs one class index for each row or pixel, got {shapes}")
        known = target != _UNKNOWN
        label = target.where(known, 0).long()
    return torch.zeros_like(student, dtype=torch.bool).scatter_(1, label.unsqueeze(1), True), known


def mean_over(values: Float[Tensor, "b *grid"], known: Bool[Tensor, "b *grid"]) -> Float[Tensor, ""]:
    """The mean of the known values; zero, and attached to the graph, where nothing is known."""
    return (values * known).sum() / known.sum().clamp(min=1)
