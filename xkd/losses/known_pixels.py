"""What losses on pixels share: both sides on one grid, and which pixels of the teacher's somebody knows."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Maps = Float[Tensor, "b c h w"]


def require_one_grid(loss: str, student: Tensor, teacher: Tensor) -> None:
    if student.ndim != 4 or student.shape != teacher.shape:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"{loss} compares numbers of pixels on one grid, (batch, channels, height, width) on both sides; got {shapes}")


def errors_of(loss: str, student: Maps, teacher: Maps) -> tuple[Maps, Bool[Tensor, "b c h w"]]:
    """Student less teacher, 0 and without a gradient where the teacher is NaN, and where it is not."""
    require_one_grid(loss, student, teacher)
    known = ~teacher.isnan()
    return torch.where(known, student - teacher, 0.0), known


def mean_of_known(values: Float[Tensor, "b ..."], known: Bool[Tensor, "b ..."]) -> Float[Tensor, ""]:
    """The mean over all known pixels of all rows; 0, with a gradient of 0, where none is known."""
    return torch.where(known, values, 0.0).sum() / known.sum().clamp(min=1)
