"""Knowledge distillation: the teacher's softened class probabilities as targets.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531, section 2. The factor tau^2, which
keeps the gradient's size when tau changes, is included, as in the common implementations. `standardize` is Sun et al., "Logit
Standardization in Knowledge Distillation", CVPR 2024: each row's logits are z-scored (unbiased std + 1e-7) on both sides first.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits
from xkd.losses.precision import in_float32


class KD(nn.Module):
    """tau^2 * KL(teacher || student) of logits (B, K), or (B, K, H, W) with the mean over positions; mean over rows. Zero if equal."""

    of_classes = True

    def __init__(self, tau: float = 4.0, standardize: bool = False) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.tau = tau
        self.standardize = standardize

    @in_float32
    def forward(self, student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"]) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        if self.standardize:
            student, teacher = _z_score(student), _z_score(teacher)
        log_student = F.log_softmax(student / self.tau, dim=1)
        log_teacher = F.log_softmax(teacher / self.tau, dim=1)
        divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
        return divergence.mean() * self.tau**2


def _z_score(logits: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b k *grid"]:
    return (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + 1e-7)
