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
        bound = (3 / dim) ** 0.5  # uniform in it, a row has length one on average
        self.register_buffer("student_bank", torch.empty(num_rows, dim).uniform_(-bound, bound))
        self.register_buffer("teacher_bank", torch.empty(num_rows, dim).uniform_(-bound, bound))
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
        # an accelerator would be waited for in every step, and refuses such a row by itself
        if index.device.type == "cpu" and not 0 <= int(index.min()) <= int(index.max()) < self.num_rows:
            raise ValueError(f"CRD remembers rows 0 to {self.num_rows - 1}, got row {_beyond(index, self.num_rows)}: num_rows is wrong")
        of_student = F.normalize(self.student_head(student), dim=1)
        of_teacher = F.normalize(self.teacher_head(teacher), dim=1)
        negatives = torch.randint(self.num_rows, (len(index), self.num_negatives), device=index.device)
        drawn = torch.cat([index[:, None], negatives], dim=1)
        exponents = [_products(of_student, self.teacher_bank, drawn), _products(of_teacher, self.student_bank, drawn)]
        scores = torch.stack([(exponent / self.tau).exp() for exponent in exponents])
        fresh = scores.detach().mean((1, 2)) * self.num_rows
        partition = torch.where(self.partition > 0, self.partition, fresh)
        if self.training and torch.is_grad_enabled():
            self.partition.copy_(partition)
            self._remember(self.student_bank, index, of_student.detach())
            self._remember(self.teacher_bank, index, of_teacher.detach())
        return self._contrast(scores / partition[:, None, None])

    def _contrast(self, probability: Float[Tensor, "2 b k"]) -> Float[Tensor, ""]:
        """-log(P+ / (P+ + K/N)) - sum of log(K/N / (P- + K/N)), the first column being the positive; sum of both anchors."""
        noise = self.num_negatives / self.num_rows
        positive = torch.log1p((noise + EPS) / probability[:, :, 0])
        negative = torch.log1p((probability[:, :, 1:] + EPS) / noise).sum(2)
        return (positive + negative).sum(0).mean()

    def _remember(self, bank: Tensor, index: Int[Tensor, " b"], embeddings: Float[Tensor, "b dim"]) -> None:
        held = bank[index]
        mixed = F.normalize(self.momentum * held + (1 - self.momentum) * embeddings, dim=1)
        # a step that is not finite is left out by the optimiser, and must not stay here either
        bank.index_copy_(0, index, torch.where(mixed.isfinite().all(1, keepdim=True), mixed, held))


def _products(anchors: Float[Tensor, "b dim"], bank: Float[Tensor, "n dim"], drawn: Int[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Of each anchor with its drawn rows of the bank, which are copied: the bank changes before the backward pass."""
    (num_rows, dim), (num_anchors, num_drawn) = bank.shape, drawn.shape
    if num_rows * (num_anchors + dim) <= num_anchors * num_drawn * dim:  # every row once takes less memory than each anchor's drawn rows
        return (anchors @ bank.clone().T).gather(1, drawn)
    return (bank[drawn] @ anchors[:, :, None]).squeeze(2)


def _beyond(index: Int[Tensor, " b"], num_rows: int) -> int:
    return int(index[(index < 0) | (index >= num_rows)][0])
