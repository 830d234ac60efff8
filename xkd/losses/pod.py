"""Pooled outputs distillation: what a map holds in each of its rows and in each of its columns, channel by channel.

Douillard et al., "PODNet: Pooled Outputs Distillation for Small-Tasks Incremental Learning", ECCV 2020, arXiv:2004.13513, POD-spatial
(equation 4), as in the authors' code: activations are squared, sums over the width (B, C, H) and over the height (B, C, W) are put into one
vector per row of the batch and divided by its length, distances are Euclidean and *not* squared, and pairs of maps are averaged
(the paper has a sum). POD-flat, the other part of their loss, is in their code one minus the cosine of the features before the classifier.
Weights there: 3 and 1, times the root of (all classes / new classes) in a lifelong run.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.grid import comparable
from xkd.losses.pairs import pairs_of
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one


class POD(nn.Module):
    """Distance, 0 to sqrt(2), of the profiles of maps (B, C, H, W), or of a tuple of maps a side; mean over rows and pairs.

    Zero if proportional. The maps of a pair have equal channels; the larger is average-pooled to the smaller grid before it is squared.
    """

    contract_shapes = ((3, 4, 4), (5, 2, 4))

    @in_float32
    def forward(
        self,
        student: Float[Tensor, "b _ _ _"] | tuple[Float[Tensor, "b _ _ _"], ...],
        teacher: Float[Tensor, "b _ _ _"] | tuple[Float[Tensor, "b _ _ _"], ...],
    ) -> Float[Tensor, ""]:
        distances = [_distance(*pair) for pair in pairs_of("POD", student, teacher)]
        return torch.stack(distances).mean()


class PODFlat(nn.Module):
    """One minus the cosine, 0 to 2, of features (B, D), or of maps (B, D, H, W) averaged over positions; mean over rows.

    Zero if proportional. Both sides have equal features.
    """

    @in_float32
    def forward(self, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]) -> Float[Tensor, ""]:
        if student.ndim not in (2, 4) or teacher.ndim not in (2, 4) or student.shape[:2] != teacher.shape[:2]:
            shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            raise ValueError(f"PODFlat compares as many features of the same rows, got {shapes}; give the term a projector")
        one, other = (of_length_one(reading.flatten(2).mean(2) if reading.ndim == 4 else reading) for reading in (student, teacher))
        return (1 - (one * other).sum(1)).mean()


def _distance(student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b c i j"]) -> Float[Tensor, ""]:
    of_student, of_teacher = (_profile(maps) for maps in comparable("POD", student, teacher, channels=True, cells=2))
    distance: Tensor = torch.linalg.vector_norm(of_student - of_teacher, dim=1)
    return distance.mean()


def _profile(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
    energy = maps.pow(2)
    return of_length_one(torch.cat([energy.sum(3).flatten(1), energy.sum(2).flatten(1)], dim=1))
