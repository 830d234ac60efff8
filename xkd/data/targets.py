"""What a row's target is, by what the rows are annotated with: a class, labels, numbers, boxes, the classes or quantities of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from xkd.batch import Annotation, View
from xkd.data import choose
from xkd.data.annotations import Masks
from xkd.data.manifest import Manifest, Mask
from xkd.data.region import one_hot
from xkd.data.request import check_choice
from xkd.data.rows import ANY, Row
from xkd.data.supervisor import VIEW, quantities
from xkd.geometry import Box, Matrix
from xkd.modalities.raster import warp

NOTHING: Final = "nothing"  # the target of images whose labels are not the run's, and the kind of annotation that they have
UNKNOWN: Final = -1  # target of what nobody labelled, numbers and pixels too
_MIXED: Final = ("label", "labels")  # kinds of annotation of which a share of one and a share of another is a target


def annotation_of(manifest: Manifest, target: str, supervisor: View | None = None) -> Annotation:
    """Of the column `label`, of the boxes, of the masks' pixels, or of those of the view that is the target."""
    if supervisor is not None:
        numbers = quantities(supervisor)
        return Annotation("quantities", tuple(number.name for number in numbers), numbers)
    if target == NOTHING:
        return Annotation(NOTHING, ())
    if target == "boxes":
        return Annotation("boxes", manifest.classes)
    return Annotation("pixels", manifest.mask.classes) if target == "mask" and manifest.mask else manifest.annotation


def labelled_by(rows: Sequence[Row], target: str) -> list[Row]:
    """With what is learned in the place of the column `label`, None where it is nowhere: of boxes their classes, of a mask nothing more.

    Boxes that a detector drew are no labels.
    """
    if target == NOTHING:
        return [replace(row, labels=None, numbers=()) for row in rows]
    if target == "mask":
        return [replace(row, labels=() if row.mask else None, numbers=()) for row in rows]
    if target == "boxes":
        known = [row.boxes is not None and not row.scores for row in rows]
        named = [tuple(sorted({name for _, name in row.boxes or () if name != ANY})) for row in rows]
        return [replace(row, labels=names if there else None) for row, there, names in zip(rows, known, named, strict=True)]
    return list(rows)


def targets_of(rows: Sequence[Row], annotation: Annotation) -> NDArray[Any]:
    """(N, ...) of all rows at once; of pixels and boxes, which are known with the draw, whether a row has them: its stratum."""
    if annotation.kind == "labels":
        return choose.label_sets(rows, annotation.names)
    if annotation.kind == "numbers":
        unknown = (float(UNKNOWN),) * len(annotation.names)
        return np.array([row.numbers if row.labels is not None else unknown for row in rows], np.float32).reshape(
            len(rows), len(annotation.names)
        )
    return choose.strata(rows, annotation.names)


def check_target(manifest: Manifest, target: str, masks: Masks) -> None:
    """`ValueError` for a target that the data set does not have, or not with these masks."""
    if not target.startswith(VIEW):
        check_choice("target", target, ("label", "mask", "boxes", NOTHING, f"{VIEW}NAME"))
    if target == "mask" and (manifest.mask is None or masks.source != "mask" or masks.fraction < 1):
        raise ValueError(
            f"{manifest.root}: target='mask' needs [mask] in manifest.toml, masks.source='mask' and masks.fraction=1 here;"
            " fewer labels are labels.fraction"
        )
    if target == "boxes" and masks.fraction < 1:
        raise ValueError(f"{manifest.root}: target='boxes' needs masks.fraction=1; fewer labels are labels.fraction")


def pixel_target(codes: NDArray[Any], mask: Mask, matrix: Matrix, size: tuple[int, int], crop: Box) -> Int[Tensor, "y x"]:
    """The class with the largest share of each pixel, -1 where less than half of the pixel is known."""
    shares = warp(one_hot(codes, mask), matrix, size, crop, (0.0,) * len(mask.classes))
    classes = torch.from_numpy(shares.argmax(2))
    return torch.where(torch.from_numpy(shares.sum(2) >= 0.5), classes, UNKNOWN)


def unknown_pixels(size: tuple[int, int]) -> Tensor:
    return torch.full(size, UNKNOWN)


def can_be_mixed(annotation: Annotation) -> bool:
    """Whether the target of a mixture of two images is the mixture of theirs."""
    return annotation.kind in _MIXED
