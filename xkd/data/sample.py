"""One row of a paired data set as tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

NO_DRAW: Final = -1  # the draw of evaluation: no augmentation


@dataclass(frozen=True)
class Sample:
    """One row as tensors; `collate` makes a `Batch` of several. Views that the row lacks are zeros and not `present`."""

    views: dict[str, Tensor]  # (C, H, W), uint8 counts or float32 in the sensor's unit
    present: dict[str, bool]
    target: Tensor  # () class index, -1 if unlabelled; (K,) 0/1 floats for multi-label; (H, W) class indices for pixels
    labelled: bool
    mask: Tensor  # (1, H, W) share of each pixel inside the region of interest, at the first view's size
    masked: bool
    index: int
    draw: int
    boxes: Tensor  # (N, 4) x1 y1 x2 y2 in 0..1 of the view, whole or in part inside it
    meta: dict[str, str]
    cached: dict[str, Tensor] = field(default_factory=dict)  # readings of branches that need not run
