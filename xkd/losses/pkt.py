"""Probabilistic knowledge transfer: each row's probabilities to pick the others as neighbours.

Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv:1803.10837,
with the cosine kernel (cos + 1) / 2. The variant is that of the authors' code: a row counts among its own neighbours, 1e-7 is added to
lengths and probabilities, and the *mean* over the B x B entries is taken (weight 30000 in RepDistiller).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import in_float32
from xkd.losses.rows import as_vectors

EPS = 1e-7  # the authors'


class PKT(nn.Module):
    """Mean of P_t log(P_t / P_s) over the pairs of rows of vectors (B, D) or maps (flattened). Zero if equal, and for a single row."""

    contract_exempt = ("mean",)  # probabilities are shared out among the rows: doubling the batch halves them

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        student, teacher = as_vectors("PKT", student, teacher)
        p_student, p_teacher = _neighbours(student), _neighbours(teacher)
        return (p_teacher * ((p_teacher + EPS) / (p_student + EPS)).log()).mean()


def _neighbours(vectors: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    unit = vectors / (lengths + EPS).masked_fill(lengths == 0, 1.0)  # a row of zeros would get a gradient of 1 / EPS
    affinity = (unit @ unit.T + 1) / 2
    return affinity / affinity.sum(1, keepdim=True)
