"""Similarity-preserving distillation: rows that are alike to the teacher are to be alike to the student.

Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv:1907.09682; rows of length one (L2), as in the
paper and RepDistiller (weight 3000 there). No projector is needed: the batch's Gram matrices have one size whatever the networks.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32
from xkd.losses.rows import as_vectors


class SP(nn.Module):
    """Squared Frobenius distance of the row-normalised Gram matrices of vectors (B, D) or maps (flattened), over B^2.

    Zero if proportional, and for a single row, which has no relation.
    """

    contract_exempt = ("mean",)  # the rows of a Gram matrix have length one however many they are: doubling the batch halves it

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        student, teacher = as_vectors("SP", student, teacher)
        return (_similarity(student) - _similarity(teacher)).pow(2).mean()


def _similarity(vectors: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    gram = vectors @ vectors.T
    lengths: Tensor = torch.linalg.vector_norm(gram, dim=1, keepdim=True)
    return gram / lengths.masked_fill(lengths == 0, 1.0)  # an epsilon there would give a row of zeros a gradient of 1 / epsilon
