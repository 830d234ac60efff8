"""Decoupled knowledge distillation: how sure the teacher is of the label, and how it ranks the other classes, weighted apart.

Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679. The variant is that of the authors' code:
times tau^2, and among the other classes the label's logit is lowered by 1000. They raise the loss's weight linearly over the first 20
epochs (a `Ramp`), and use beta 0.5 and tau 1 on ImageNet. Their logarithm of a rounded 1 - p is -inf when p of the label nears 1; here
log(1 - p) is the log-sum-exp of the other classes.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn, stack
from torch.nn import functional as F

from xkd.losses.logits import check_logits, labelled_class, mean_over
from xkd.losses.precision import in_float32


class DKD(nn.Module):
    """tau^2 * (alpha * KL of (label, not label) + beta * KL among the other classes), teacher to student. Zero if equal.

    Of logits (B, K) with a target (B,), or (B, K, H, W) with (B, H, W); mean over rows and pixels whose target is not -1. Of targets
    of class probabilities (B, K), which MixUp and CutMix make, the likeliest class is the label, as in the code of OFA-KD.
    """

    of_classes = True

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, tau: float = 4.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.alpha, self.beta, self.tau = alpha, beta, tau

    @in_float32
    def forward(
        self, student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], target: Shaped[Tensor, "b ..."]
    ) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        label, known = labelled_class(self, student, target)
        student_binary, student_others = _decoupled(student / self.tau, label)
        teacher_binary, teacher_others = _decoupled(teacher / self.tau, label)
        of_label = F.kl_div(student_binary, teacher_binary, reduction="none", log_target=True).sum(1)
        of_others = F.kl_div(student_others, teacher_others, reduction="none", log_target=True).sum(1)
        return mean_over(self.alpha * of_label + self.beta * of_others, known) * self.tau**2


def _decoupled(
    logits: Float[Tensor, "b k *grid"], label: Bool[Tensor, "b k *grid"]
) -> tuple[Float[Tensor, "b two *grid"], Float[Tensor, "b k *grid"]]:
    """Log-probabilities of (label, not label), and of each class given that it is not the label (there about -1000 for the label)."""
    log_p = F.log_softmax(logits, dim=1)
    others = log_p - 1000.0 * label  # -inf would make 0 * inf of the label's own part
    return stack([(log_p * label).sum(1), others.logsumexp(1)], 1), F.log_softmax(others, dim=1)
