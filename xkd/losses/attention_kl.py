"""Attention divergence: two maps as distributions over positions.

The divergence of Wang et al., "MiniLM: Deep Self-Attention Distillation", NeurIPS 2020, arXiv:2002.10957, for one map of
an image in place of one per query, with a softmax and a temperature over positions that make any map a distribution (heads or channels
are averaged first). No factor tau^2. A map that already sums to one has values near 1 / (H W), which a softmax at tau = 1 makes all
but uniform: choose tau near that size.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.grid import comparable
from xkd.losses.precision import in_float32


class AttentionKL(nn.Module):
    """KL(teacher || student) over positions, of (B, C, H, W) and (B, D, I, J) averaged over channels; mean over rows. Zero if equal.

    The larger map is average-pooled to the smaller grid.
    """

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.tau = tau

    @in_float32
    def forward(self, student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d i j"]) -> Float[Tensor, ""]:
        student, teacher = comparable("AttentionKL", student, teacher, cells=2)
        log_student, log_teacher = (F.log_softmax(maps.mean(1).flatten(1) / self.tau, dim=1) for maps in (student, teacher))
        return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
