"""One row of a paired data set as tensors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from xkd.batch import View

NO_DRAW: Final = -1  # the draw of evaluation: no augmentation


@dataclass(frozen=True)
class Sample:
    """One row as tensors; `collate` makes a `Batch` of several. Views that the row lacks are zeros and not `present`."""

    views: dict[str, Tensor]  # (C, H, W), uint8 counts or float32 in the sensor's unit
    present: dict[str, bool]
    target: Tensor  # () class index, -1 if unlabelled; (K,) 0/1 floats for multi-label; (H, W) classes or (C, H, W) numbers of pixels
    labelled: bool
    mask: Tensor  # (1, H, W) share of each pixel inside the region of interest, at the first view's size
    masked: bool
    index: int
    draw: int
    boxes: Tensor  # (N, 4) x1 y1 x2 y2 in 0..1 of the view, whole or in part inside it
    meta: dict[str, str]
    cached: dict[str, Tensor] = field(default_factory=dict)  # readings of branches that need not run
    ignored: Tensor = field(default_factory=lambda: torch.zeros(0, 4))  # (N, 4) as boxes: regions within which nothing is known
    groups: dict[str, str] = field(default_factory=dict)  # whose recording each view shows; empty where that is no one group
    broken: str = ""  # why the row could not be read, which then has no view, label or mask


def unread(
    views: Sequence[View], without: Collection[str], target: Tensor, index: int, draw: int, meta: dict[str, str], why: str
) -> Sample:
    """What stands in the place of a row that cannot be read; no pixels of the views `without`, which nobody needs."""
    return Sample(
        views={view.name: torch.zeros((view.modality.channels, *view.size)) for view in views if view.name not in without},
        present={view.name: False for view in views},
        target=target,
        labelled=False,
        mask=torch.zeros((1, *views[0].size)),
        masked=False,
        index=index,
        draw=draw,
        boxes=torch.zeros((0, 4)),
        meta=meta,
        broken=why,
    )


def as_tensor(image: NDArray[Any]) -> Tensor:
    """(C, H, W) of an image (H, W, C)."""
    return torch.from_numpy(image).permute(2, 0, 1)
