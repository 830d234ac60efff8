"""The columns of some classes alone: what a network that has gone on to learn others says of those that an earlier one knew.

Li and Hoiem, "Learning without Forgetting" (LwF), ECCV 2016, arXiv:1606.09282: the soft targets of the network as it was are compared with
the new one's scores of the old classes, by a softmax over these alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Only(nn.Module):
    """Logits (B, K) or (B, K, H, W) of one source, of `classes` alone and in their order. Gradients go on to the source."""

    columns: Tensor
    most = 1
    contract_arguments: ClassVar = {"classes": ("c", "a")}
    contract_exempt = ("shape", "absent", "alone", "alike")  # it has one source, and fewer columns than that

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(f"Only names different classes, two or more, got {list(self.classes)}")
        self.register_buffer("columns", torch.zeros(0, dtype=torch.long), persistent=False)

    def classes_of(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Those that are left of the source's; `ValueError` where one is not among them."""
        if unknown := [name for name in self.classes if name not in classes]:
            raise ValueError(f"Only names the class '{unknown[0]}'; its source has {list(classes)}")
        return self.classes

    def bind(self, shape: tuple[int, ...], num_sources: int, reading: tuple[int, ...], classes: tuple[str, ...]) -> None:
        names = self.classes_of(classes)
        if shape[0] != len(classes):
            raise ValueError(f"Only takes columns of scores of the {len(classes)} classes {list(classes)}, and these are {shape}")
        self.columns = torch.tensor([classes.index(name) for name in names], device=self.columns.device)

    def forward(self, readings: tuple[Float[Tensor, "b k *grid"], ...], there: Bool[Tensor, "n b"]) -> Float[Tensor, "b m *grid"]:
        return readings[0].index_select(1, self.columns)
