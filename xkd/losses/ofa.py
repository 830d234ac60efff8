"""OFA: the teacher's probabilities as targets, with its confidence in the label enhanced, for students of another architecture.

Hao et al., "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation", NeurIPS 2023,
arXiv:2310.19444. The variant is that of the authors' code: sum over classes of -[(p_t + 1_y)^eps - 1_y] * log p_s, and no factor tau^2.
With eps 1 it is the cross-entropy with the teacher's probabilities; the authors take 1.5 on ImageNet, where the label weighs more and
the other classes less. It serves the logits, and the logit-space heads of the paper on taps of the student.
"""

from __future__ import annotations

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits, labelled_class, mean_over
from xkd.losses.precision import in_float32


class OFA(nn.Module):
    """Of logits (B, K) with a target (B,), or (B, K, H, W) with (B, H, W); mean over rows and pixels whose target is not -1.

    A cross-entropy, which does not vanish for like logits. Of targets of class probabilities (B, K), which MixUp and CutMix make, the
    likeliest class is the label, as in the authors' code.
    """

    of_classes = True

    def __init__(self, eps: float = 1.0, tau: float = 1.0) -> None:
        super().__init__()
        if eps <= 0 or tau <= 0:
            raise ValueError(f"eps and tau must be positive, got eps={eps} and tau={tau}")
        self.eps, self.tau = eps, tau

    @in_float32
    def forward(
        self, student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], target: Shaped[Tensor, "b ..."]
    ) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        label, known = labelled_class(self, student, target)
        is_label = label.to(student.dtype)
        enhanced = ((teacher / self.tau).softmax(1) + is_label).pow(self.eps) - is_label
        return mean_over(-(enhanced * F.log_softmax(student / self.tau, dim=1)).sum(1), known)
