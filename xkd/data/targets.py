"""What a row's target is, by what the rows are annotated with: a class, several labels, numbers, or the classes of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xkd.batch import Annotation
from xkd.data import choose
from xkd.data.manifest import Manifest
from xkd.data.rows import Row

UNKNOWN: Final = -1  # target of what nobody labelled, numbers and pixels too
_MIXED: Final = ("label", "labels")  # kinds of annotation of which a share of one and a share of another is a target


def annotation_of(manifest: Manifest, target: str) -> Annotation:
    """Of the column `label`, or of the masks' pixels."""
    return Annotation("pixels", manifest.mask.classes) if target == "mask" and manifest.mask else manifest.annotation


def targets_of(rows: Sequence[Row], annotation: Annotation) -> NDArray[Any]:
    """(N, ...) of all rows at once; of pixels, which are read with the row, whether it has them: its stratum."""
    if annotation.kind == "labels":
        return choose.label_sets(rows, annotation.names)
    if annotation.kind == "numbers":
        unknown = (float(UNKNOWN),) * len(annotation.names)
        return np.array([row.numbers if row.labels is not None else unknown for row in rows], np.float32).reshape(
            len(rows), len(annotation.names)
        )
    return choose.strata(rows, annotation.names)


def unknown_pixels(size: tuple[int, int]) -> Tensor:
    return torch.full(size, UNKNOWN)


def can_be_mixed(annotation: Annotation) -> bool:
    """Whether the target of a mixture of two images is the mixture of theirs."""
    return annotation.kind in _MIXED
