"""Classes that a mirror changes: who walks to the left walks to the right in a picture that is flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xkd.geometry import Matrix


def read_flips(path: Path, table: Any, classes: Sequence[str], labels: str) -> Mapping[str, str]:
    """The table `[flips]` of a manifest, both ways: `left = "right"` says what is left to right in a flipped picture, and the reverse."""
    if not isinstance(table, dict):
        raise ValueError(f'{path}: write [flips] as a table of classes, such as left = "right"')
    if table and labels == "number":
        raise ValueError(
            f"{path}: [flips] names classes, and labels are numbers: set the augmentation's flip to 0 where a mirror changes them"
        )
    both: dict[str, str] = {}
    for one, other in [*table.items(), *((other, one) for one, other in table.items())]:
        if one not in classes:
            raise ValueError(f"{path}: [flips] names class {one!r}; classes are {list(classes)}")
        if both.setdefault(one, other) != other:
            raise ValueError(f"{path}: [flips] makes two classes of '{one}': '{both[one]}' and '{other}'")
    return both


def flipped(target: Tensor, matrix: Matrix, flips: Mapping[str, str], classes: Sequence[str]) -> Tensor:
    """A class () or 0/1 of each class (K,), as it is in a picture whose draw runs from right to left."""
    if not flips or matrix[0, 0] >= 0:
        return target
    swapped = torch.tensor([classes.index(flips.get(name, name)) for name in classes])
    if target.ndim:
        return target[swapped]
    return swapped[target] if target >= 0 else target
