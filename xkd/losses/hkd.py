"""Holistic knowledge distillation: each row and its neighbourhood, put into one embedding by a graph network, are told from other rows'.

Zhou et al., "Distilling Holistic Knowledge with Graph Neural Networks", ICCV 2021, arXiv:2108.05507. Features are embedded by a linear
layer, of length one. A graph joins each row of the batch with the `neighbours` rows of the most alike class probabilities (cosine; the row
itself is its own first neighbour, as in the authors' code), on the student's side by the student's, on the teacher's by the
teacher's. One graph convolution (TAGConv, one hop, the degree being the same for all: a linear layer of a row's own embedding beside its
neighbours' mean) gives a second embedding of length one. Both, as anchors of each side, are contrasted by InfoNCE with a memory of the
other side's first embeddings, as CRD's. Weight 3 beside soft targets and labels there.

The positive of a second embedding is three parts its row's memory and one part the other side's second embedding, as there. What differs
from the authors' code: negatives are the *other* side's memory, as the positive is (there the anchor's own side's, under the other one's
name); they are drawn uniformly with replacement from all rows, not from other classes', so unlabelled rows serve; a batch of fewer rows
than `neighbours` joins all of them in place of leaving the graph out.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.learned import Shape, Shapes, each_shape
from xkd.losses.memory import check_index, drawn_rows, mixed, new_bank, products, remember
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one, require_equal_rows
from xkd.projectors import PooledLinear

OF_MEMORY: Final = 0.75  # the memory's part in the positive of a second embedding


class HKD(nn.Module):
    """Of (features, logits) a side: vectors (B, C) or maps, which are average-pooled, and (B, K); `index` as `CRD`'s.

    The student's features have the gradient; its logits say who the neighbours are, and have none. What it learns or remembers is
    in the checkpoint: two embeddings and two graph convolutions, sized by `bind`; two banks (num_rows, dim), which remember with
    `momentum`. Nothing is remembered in eval mode or without gradients. Each process of a distributed run has its own banks and graphs;
    the first one's are saved.
    """

    reads_several = True
    contract_arguments: ClassVar = {"num_rows": 6, "neighbours": 2, "num_negatives": 5}
    contract_shapes = ((5, 2, 2), (3,))
    contract_exempt = (
        "gradcheck",  # what a positive takes from the other side's second embedding is a constant to the gradient
        "permutation",  # each row has its own random negatives
        "mean",
        "one_row",  # logits have no gradient, which these ask for
        "student_only",
    )

    student_bank: Tensor
    teacher_bank: Tensor

    def __init__(
        self,
        num_rows: int,
        neighbours: int = 8,
        *,
        num_negatives: int = 16384,
        tau: float = 0.07,
        momentum: float = 0.9,
        dim: int = 128,
    ) -> None:
        super().__init__()
        counts = {"num_rows": num_rows, "neighbours": neighbours, "num_negatives": num_negatives, "dim": dim}
        if min(counts.values()) < 1:
            raise ValueError(f"num_rows, neighbours, num_negatives and dim must be at least 1, got {counts}")
        if tau <= 0 or not 0 <= momentum < 1:
            raise ValueError(f"tau must be positive and momentum in 0..1 (without 1), got {tau} and {momentum}")
        self.num_rows, self.neighbours, self.num_negatives, self.tau, self.momentum = num_rows, neighbours, num_negatives, tau, momentum
        self.dim = dim
        self.student_head, self.teacher_head = PooledLinear(), PooledLinear()
        self.student_graph, self.teacher_graph = nn.Linear(2 * dim, dim), nn.Linear(2 * dim, dim)
        self.register_buffer("student_bank", new_bank(num_rows, dim))
        self.register_buffer("teacher_bank", new_bank(num_rows, dim))

    def bind(self, student: Shapes, teacher: Shapes) -> None:
        self.student_head.bind(_of_features(student), (self.dim,))
        self.teacher_head.bind(_of_features(teacher), (self.dim,))

    @in_float32
    def forward(
        self,
        student: tuple[Float[Tensor, "b ..."], Float[Tensor, "b k"]],
        teacher: tuple[Float[Tensor, "b ..."], Float[Tensor, "b m"]],
        index: Int[Tensor, " b"],
    ) -> Float[Tensor, ""]:
        for side in (student, teacher):
            _of_features(side)
        for reading in (*student, *teacher):
            require_equal_rows("HKD", reading, index)
        if len(self.student_head.layers) == 0:
            raise ValueError("HKD has no embeddings yet: call bind(student_shapes, teacher_shapes), or Distiller.bind() before training")
        check_index("HKD", index, self.num_rows)
        own_s, own_t = of_length_one(self.student_head(student[0])), of_length_one(self.teacher_head(teacher[0]))
        whole_s, whole_t = self._joined(own_s, student[1], self.student_graph), self._joined(own_t, teacher[1], self.teacher_graph)
        drawn = drawn_rows(index, self.num_rows, self.num_negatives)
        held_s, held_t = self.student_bank[index], self.teacher_bank[index]
        parts = [
            self._contrast(own_s, self.teacher_bank, drawn, held_t),
            self._contrast(own_t, self.student_bank, drawn, held_s),
            self._contrast(whole_s, self.teacher_bank, drawn, mixed(held_t, whole_t.detach(), OF_MEMORY)),
            self._contrast(whole_t, self.student_bank, drawn, mixed(held_s, whole_s.detach(), OF_MEMORY)),
        ]
        if self.training and torch.is_grad_enabled():
            remember(self.student_bank, index, own_s.detach(), self.momentum)
            remember(self.teacher_bank, index, own_t.detach(), self.momentum)
        return torch.stack(parts).sum()

    def _joined(self, own: Float[Tensor, "b d"], logits: Float[Tensor, "b k"], graph: nn.Linear) -> Float[Tensor, "b d"]:
        """The embedding of each row with its neighbours."""
        alike = of_length_one(logits.detach().softmax(1))
        cosines = (alike @ alike.T).fill_diagonal_(2.0)  # rounding must not put another row before itself
        nearest = cosines.topk(min(self.neighbours, len(own)), dim=1).indices
        joined: Tensor = graph(torch.cat([own, own[nearest].mean(1)], dim=1))
        return of_length_one(joined)

    def _contrast(
        self, anchors: Float[Tensor, "b d"], bank: Float[Tensor, "n d"], drawn: Int[Tensor, "b k"], positive: Float[Tensor, "b d"]
    ) -> Float[Tensor, ""]:
        """InfoNCE of the positive among the drawn rows; the first of those is the row's own, in whose place the positive stands."""
        scores = torch.cat([(anchors * positive).sum(1, keepdim=True), products(anchors, bank, drawn[:, 1:])], dim=1)
        return F.cross_entropy(scores / self.tau, torch.zeros_like(drawn[:, 0]))


def _of_features(side: Any) -> Shape:
    """The features' shape; `ValueError` where a side is not that of features and logits."""
    shapes = each_shape(side)
    if len(shapes) != 2 or len(shapes[0]) not in (1, 3) or len(shapes[1]) != 1:
        raise ValueError(
            f"HKD reads features (C,) or (C, H, W), and logits (K,), on each side, got {list(shapes)}; give the term such as ('rgb.pooled',"
            " 'rgb.output')"
        )
    return shapes[0]
