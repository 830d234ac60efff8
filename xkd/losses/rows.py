"""What losses on vectors share: equal rows on both sides, maps read as vectors, lengths of one."""

from __future__ import annotations

from typing import Final

from jaxtyping import Float
from torch import Tensor

_EMPTY: Final = 1e-12  # a row of less is empty, without a direction and without a gradient to speak of


def require_equal_rows(loss: str, student: Tensor, teacher: Tensor) -> None:
    if len(student) != len(teacher):  # a single row would broadcast
        raise ValueError(f"{loss} compares equal numbers of rows, got {tuple(student.shape)} and {tuple(teacher.shape)}")


def as_vectors(
    loss: str, student: Float[Tensor, "b *features"], teacher: Float[Tensor, "b *others"]
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b e"]]:
    """Both sides flattened from dimension 1."""
    require_equal_rows(loss, student, teacher)
    return student.flatten(1), teacher.flatten(1)


def of_length_one(vectors: Float[Tensor, "b n *grid"]) -> Float[Tensor, "b n *grid"]:
    """Divided by their Euclidean lengths, at each position; empty ones stay so."""
    # F.cosine_similarity would take those of less than 1e-8, such as an untrained network's Grad-CAM, for empty
    length = vectors.norm(dim=1, keepdim=True)
    scaled: Tensor = vectors / length.where(length > _EMPTY, 1.0)
    return scaled
