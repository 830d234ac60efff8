"""Multi-level logit distillation: soft targets of each row, how rows go together, and how classes go together, at several temperatures.

Jin, Wang, Lin, "Multi-Level Logit Distillation", CVPR 2023. With probabilities P (B, K) at each temperature, summed over temperatures:
tau^2 KL(teacher || student) of the rows (instance level), |P P^T of the student - of the teacher|^2 / B (batch level) and
|P^T P of the student - of the teacher|^2 / K (class level), as in the authors' code, with temperatures 2 to 6 and weight 0.9 beside the
labels' 0.1.

Like there, what the teacher is sure of is left out: rows whose likeliest class has more than the batch's median probability (instance and
batch level), classes whose probabilities add up to more than the median (class level), at temperature 1. In the authors' code each level is
a scalar by then, so that their masks halve it for every row alike; here the masks act *per row and per class*, as the mean over all rows,
those left out being 0. Their second, strongly augmented image per sample is another draw here, not another term.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits
from xkd.losses.precision import in_float32

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)  # the authors'
HALF = 0.5  # the share of rows, and of classes, that the masks keep


class MLKD(nn.Module):
    """Of logits (B, K); zero if equal. Batch and class levels grow with the number of rows, as the paper's do: keep the batch's size."""

    contract_exempt = ("mean",)

    of_classes = True

    def __init__(self, taus: Sequence[float] = TEMPERATURES) -> None:
        super().__init__()
        if not taus or min(taus) <= 0:
            raise ValueError(f"taus must be one positive temperature or more, got {list(taus)}")
        self.taus = tuple(taus)

    @in_float32
    def forward(self, student: Float[Tensor, "b k"], teacher: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        sure = teacher.softmax(1)
        rows, classes = _lower_half(sure.amax(1)), _lower_half(sure.sum(0))
        return torch.stack([_levels(student / tau, teacher / tau, rows, classes, tau) for tau in self.taus]).sum()


def _levels(
    student: Float[Tensor, "b k"], teacher: Float[Tensor, "b k"], rows: Float[Tensor, " b"], classes: Float[Tensor, " k"], tau: float
) -> Float[Tensor, ""]:
    log_student, log_teacher = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    instance = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    p_student, p_teacher = log_student.exp(), log_teacher.exp()
    batch = (p_student @ p_student.T - p_teacher @ p_teacher.T).pow(2).sum(1)
    among_classes = (p_student.T @ p_student - p_teacher.T @ p_teacher).pow(2).sum(1)
    return ((tau**2 * instance + batch) * rows).mean() + (among_classes * classes).mean()


def _lower_half(sure: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """1 where a value is at most the median, else 0."""
    return (sure <= sure.quantile(HALF)).to(sure.dtype)
