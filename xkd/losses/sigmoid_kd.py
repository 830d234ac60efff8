"""Sigmoid distillation: several labels per image, each of which is a question of yes or no that the teacher answers.

The logits' part (MLD) of Yang et al., "Multi-Label Knowledge Distillation", ICCV 2023, arXiv:2308.06453, without its
label-wise embeddings. The authors have no temperature, which is the default tau 1, and sum over classes (weight 10 in their
config for COCO); other temperatures come with the factor tau^2 of `KD`. Their code clamps probabilities to 1e-8, ours stays in log space.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits
from xkd.losses.precision import in_float32


class SigmoidKD(nn.Module):
    """tau^2 * sum over classes of KL(teacher || student) of (p, 1 - p), p = sigmoid(logit / tau). Zero if equal.

    Of logits (B, K), or (B, K, H, W) with the mean over positions; mean over rows. It asks for no labels.
    """

    of_classes = True

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.tau = tau

    @in_float32
    def forward(self, student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"]) -> Float[Tensor, ""]:
        check_logits(self, student, teacher, least=1)
        student, teacher = student / self.tau, teacher / self.tau
        yes = F.kl_div(F.logsigmoid(student), F.logsigmoid(teacher), reduction="none", log_target=True)
        no = F.kl_div(F.logsigmoid(-student), F.logsigmoid(-teacher), reduction="none", log_target=True)
        return (yes + no).sum(1).mean() * self.tau**2
