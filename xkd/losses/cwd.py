"""Channel-wise distillation: each channel, softened over positions, says where it is active; the student's follows the teacher's.

Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, arXiv:2011.13256, as in the authors' code: tau^2
times the divergence summed over positions, mean over channels *and* rows.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class CWD(nn.Module):
    """tau^2 * KL(teacher || student) over positions, of maps (B, C, H, W) and (B, C, I, J); the larger is average-pooled. Zero if equal."""

    def __init__(self, tau: float = 4.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.tau = tau

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = comparable("CWD", student, teacher, channels=True, cells=2)
        log_student = F.log_softmax(student.flatten(2) / self.tau, dim=2)
        log_teacher = F.log_softmax(teacher.flatten(2) / self.tau, dim=2)
        return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(2).mean() * self.tau**2
