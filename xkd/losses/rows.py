"""What the losses on relations share: equal rows on both sides, and maps read as vectors."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def require_equal_rows(loss: str, student: Tensor, teacher: Tensor) -> None:
    if len(student) != len(teacher):  # a single row would broadcast
        raise ValueError(f"{loss} compares equal numbers of rows, got {tuple(student.shape)} and {tuple(teacher.shape)}")


def as_vectors(
    loss: str, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b e"]]:
    """Both sides flattened from dimension 1."""
    require_equal_rows(loss, student, teacher)
    return student.flatten(1), teacher.flatten(1)
