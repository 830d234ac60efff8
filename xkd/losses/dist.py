"""DIST: the student's probabilities need not equal the teacher's, only correlate: within each row and within each class.

Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, arXiv:2205.10536, in the form with tau^2 that
OFA-KD and torchdistill have (the authors' code for segmentation has no temperature). Each norm in Pearson's coefficient is at
least 1e-8, as in torchdistill, so that equal logits give zero; the authors' code adds 1e-8 to the product of the norms.

Two traps of the definition. With two classes a row's coefficient is 1 or -1 whatever the probabilities, so that the first part has no
gradient (nor has the second with two rows). And the coefficient does not depend on scale: a student whose probabilities are
uniform, as from a head of zeros, gets a gradient ten million times that of unit logits.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.logits import check_logits
from xkd.losses.precision import in_float32


class DIST(nn.Module):
    """tau^2 * (beta * (1 - mean correlation of rows over classes) + gamma * (1 - mean correlation of classes over rows)).

    Of logits (B, K), or (B, K, H, W) with pixels as rows, all those of the batch, as the authors do. Zero if equal. A single row has
    nothing that a class could correlate over: the second part is then left out, not the constant that the formula would give.
    """

    of_classes = True

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, tau: float = 1.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.beta, self.gamma, self.tau = beta, gamma, tau

    @in_float32
    def forward(self, student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"]) -> Float[Tensor, ""]:
        check_logits(self, student, teacher)
        of_student, of_teacher = _rows((student / self.tau).softmax(1)), _rows((teacher / self.tau).softmax(1))
        value = self.beta * _distance(of_student, of_teacher)
        if len(of_student) > 1:
            value = value + self.gamma * _distance(of_student.T, of_teacher.T)
        return value * self.tau**2


def _rows(p: Float[Tensor, "b k *grid"]) -> Float[Tensor, "rows k"]:
    return p.movedim(1, -1).flatten(0, -2)


def _distance(student: Float[Tensor, "m n"], teacher: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """One minus Pearson's coefficient of each row, averaged."""
    student, teacher = student - student.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True)
    return 1 - F.cosine_similarity(student, teacher, dim=1, eps=1e-8).mean()
