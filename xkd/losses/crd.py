"""Contrastive representation distillation: the student's and the teacher's view of one row are told from those of other rows.

Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv:1910.10699, equation 18 (noise-contrastive estimation
with a memory bank), as in the authors' RepDistiller: both anchors, linear embeddings of length one, P = exp(s . t / tau) / Z with the
constants Z set from the first batch, negatives drawn uniformly *with replacement* from all rows (so K may exceed N, and a row
may be drawn as its own negative). Weight 0.8 there.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.memory import check_index, drawn_rows, new_bank, products, remember
from xkd.losses.precision import in_float32
from xkd.losses.rows import require_equal_rows
from xkd.projectors import PooledLinear

EPS = 1e-7  # the authors'


class CRD(nn.Module):
    """On vectors (B, C) and (B, D), or maps, which are average-pooled; `index` is each row's number in a data set of `num_rows`.

    What it learns or remembers is in the checkpoint: two embeddings, sized by `bind`; two banks (num_rows, dim), which remember each
    row's embedding with `momentum`; Z of both anchors. Nothing is remembered in eval mode or without gradients. A row that comes twice in a
    batch leaves one of its embeddings. Each process of a distributed run has its own banks; the first one's are saved.
    """

    contract_arguments: ClassVar = {"num_rows": 6, "num_negatives": 5}
    contract_exempt = (
        "gradcheck",  # Z of the first batch is a constant to the gradient
        "permutation",  # each row has its own random negatives
        "mean",
    )

    student_bank: Tensor
    teacher_bank: Tensor
    partition: Tensor

    def __init__(self, num_rows: int, num_negatives: int = 16384, tau: float = 0.07, momentum: float = 0.5, dim: int = 128) -> None:
        super().__init__()
        if min(num_rows, num_negatives, dim) < 1:
            raise ValueError(f"num_rows, num_negatives and dim must be at least 1, got {num_rows}, {num_negatives} and {dim}")
        if tau <= 0 or not 0 <= momentum < 1:
            raise ValueError(f"tau must be positive and momentum in 0..1 (without 1), got {tau} and {momentum}")
        self.num_rows, self.num_negatives, self.tau, self.momentum, self.dim = num_rows, num_negatives, tau, momentum, dim
        self.student_head, self.teacher_head = PooledLinear(), PooledLinear()
        self.register_buffer("student_bank", new_bank(num_rows, dim))
        self.register_buffer("teacher_bank", new_bank(num_rows, dim))
        self.register_buffer("partition", torch.zeros(2))  # Z with the student and with the teacher as anchor; 0 is not yet known

    def bind(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
        self.student_head.bind(student, (self.dim,))
        self.teacher_head.bind(teacher, (self.dim,))

    @in_float32
    def forward(
        self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"], index: Int[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        require_equal_rows("CRD", student, teacher)
        if len(self.student_head.layers) == 0:
            raise ValueError("CRD has no embeddings yet: call bind(student_shape, teacher_shape), or Distiller.bind() before training")
        check_index("CRD", index, self.num_rows)
        of_student = F.normalize(self.student_head(student), dim=1)
        of_teacher = F.normalize(self.teacher_head(teacher), dim=1)
        drawn = drawn_rows(index, self.num_rows, self.num_negatives)
        exponents = [products(of_student, self.teacher_bank, drawn), products(of_teacher, self.student_bank, drawn)]
        scores = torch.stack([(exponent / self.tau).exp() for exponent in exponents])
        fresh = scores.detach().mean((1, 2)) * self.num_rows
        partition = torch.where(self.partition > 0, self.partition, fresh)
        if self.training and torch.is_grad_enabled():
            self.partition.copy_(partition)
            remember(self.student_bank, index, of_student.detach(), self.momentum)
            remember(self.teacher_bank, index, of_teacher.detach(), self.momentum)
        return self._contrast(scores / partition[:, None, None])

    def _contrast(self, probability: Float[Tensor, "2 b k"]) -> Float[Tensor, ""]:
        """-log(P+ / (P+ + K/N)) - sum of log(K/N / (P- + K/N)), the first column being the positive; sum of both anchors."""
        noise = self.num_negatives / self.num_rows
        positive = torch.log1p((noise + EPS) / probability[:, :, 0])
        negative = torch.log1p((probability[:, :, 1:] + EPS) / noise).sum(2)
        return (positive + negative).sum(0).mean()
