"""Relational knowledge distillation: distances between two rows and angles among three, compared with the teacher's.

Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068, with smooth L1 over all pairs and triples, as in the
authors' code. Distances are divided by the mean of those that are not zero. Angles are computed from the distances by the law of
cosines, so that no B x B x D differences are held; equal rows have no angle (0) and no gradient. In float32 that costs digits where rows
are nearly equal: at a 10,000th of the others' distance the gradient is right to a hundredth, in float64 to 1e-9 everywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from xkd.losses.precision import in_float32
from xkd.losses.rows import as_vectors

EPS = 1e-12  # keeps a batch without two unlike rows from dividing by zero
BLOCK = 2**19  # angles at a time: few enough for a core's cache, which is faster than all at once


class RKD(nn.Module):
    """On vectors (B, D) or maps (flattened), of any widths. Zero if proportional, and for a single row, which has no relation."""

    def __init__(self, distance_weight: float = 25.0, angle_weight: float = 50.0) -> None:
        super().__init__()
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        student, teacher = as_vectors("RKD", student, teacher)
        d_student, d_teacher = _distances(student), _distances(teacher)
        loss = self.distance_weight * F.smooth_l1_loss(d_student, d_teacher)
        if self.angle_weight:
            loss = loss + self.angle_weight * _angle_loss(d_student, d_teacher)
        return loss


def _angle_loss(d_student: Float[Tensor, "b b"], d_teacher: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    """Block by block, each computed again in the backward pass: memory does not grow with B^3."""
    total, step = d_student.new_zeros(()), max(1, BLOCK // d_student.numel())
    for start in range(0, len(d_student), step):
        corners = slice(start, start + step)
        total = total + checkpoint(_block_loss, d_student, d_teacher, corners, use_reentrant=False, preserve_rng_state=False)
    return total / len(d_student) ** 3


def _block_loss(d_student: Float[Tensor, "b b"], d_teacher: Float[Tensor, "b b"], corners: slice) -> Float[Tensor, ""]:
    return F.smooth_l1_loss(_cosines(d_student, corners), _cosines(d_teacher, corners), reduction="sum")


def _distances(vectors: Float[Tensor, "b d"]) -> Float[Tensor, "b b"]:
    """In units of their mean. Not by products of rows, which leave noise where two rows are equal."""
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    return distances / (distances.sum() / (distances > 0).sum().clamp(min=1)).clamp(min=EPS)


def _cosines(distances: Float[Tensor, "b b"], corners: slice) -> Float[Tensor, "c b b"]:
    """[i, j, k] is the cosine of the angle at the i-th of the corners between rows j and k."""
    squares, apart = distances.pow(2), distances > 0
    inverse = torch.where(apart, 1 / torch.where(apart, distances, 1.0), 0.0)[corners]
    products = (squares[corners][:, :, None] + squares[corners][:, None, :] - squares) / 2
    return products * inverse[:, :, None] * inverse[:, None, :]
