"""Normalised knowledge distillation: the other classes, renormalised without the label, are learned apart from the label.

Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss and Customized Soft
Labels", ICCV 2023, arXiv:2303.13005, as in the authors' code: the label's part has no temperature, the others' comes with tau^2.
Both are cross-entropies. They take gamma 1.5 and tau 1, beside the labels' cross-entropy (weight 1 there). Not here: the paper's other
half, USKD, which makes soft labels without a teacher.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits, labelled_class, mean_over
from xkd.losses.precision import in_float32


class NKD(nn.Module):
    """-p_t log p_s of the label, and gamma * tau^2 times -sum of q_t log q_s, the probabilities among the other classes at tau.

    Of logits (B, K) with a target (B,), or (B, K, H, W) with (B, H, W); mean over rows and pixels whose target is not -1. It does not
    vanish for like logits. Of targets of class probabilities (B, K), which MixUp and CutMix make, the likeliest class is the label, as in
    the authors' code.
    """

    of_classes = True

    def __init__(self, gamma: float = 1.5, tau: float = 1.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.gamma, self.tau = gamma, tau

    @in_float32
    def forward(
        self, student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], target: Shaped[Tensor, "b ..."]
    ) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        label, known = labelled_class(self, student, target)
        of_label = -(teacher.softmax(1) * F.log_softmax(student, dim=1) * label).sum(1)
        log_student, log_teacher = (_others(logits / self.tau, label) for logits in (student, teacher))
        of_others = -(log_teacher.exp() * ~label * log_student).sum(1)
        return mean_over(of_label + self.gamma * self.tau**2 * of_others, known)


def _others(logits: Float[Tensor, "b k *grid"], label: Bool[Tensor, "b k *grid"]) -> Float[Tensor, "b k *grid"]:
    """Log-probabilities of the classes given that it is not the label; 0 for the label, where they are -inf."""
    return F.log_softmax(logits.masked_fill(label, -torch.inf), dim=1).masked_fill(label, 0.0)
