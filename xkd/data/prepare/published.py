"""Layouts of published pairs of a camera and a thermal one, with boxes: what they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from xkd.data.prepare.annotated import AnnotatedImage, Annotations
from xkd.data.prepare.listing import Source
from xkd.data.prepare.records import Table
from xkd.data.prepare.split import split_by_group

RGB: Final[Table] = {"sensor": "rgb"}
THERMAL: Final[Table] = {"sensor": "thermal", "unit": "8-bit counts", "scale": 1.0, "range": [0.0, 255.0]}
_VAL: Final = 0.15  # of the authors' train


@dataclass(frozen=True)
class Published:
    """The annotated pictures with their splits, and the sensors' files."""

    annotations: Annotations
    sources: Mapping[str, Source]

    def noting(self, *notes: str) -> Published:
        return replace(self, annotations=replace(self.annotations, notes=(*self.annotations.notes, *notes)))


def with_val(pictures: Sequence[AnnotatedImage], group: str, seed: int) -> list[AnnotatedImage]:
    """Some groups of train become val, where the authors have no split to choose a checkpoint by."""
    if any(picture.split == "val" for picture in pictures):
        return list(pictures)
    groups = {picture.name: _group(picture.name, group) for picture in pictures if picture.split == "train"}
    drawn = split_by_group(((name, frozenset()) for name in groups.values()), {"train": 1 - _VAL, "val": _VAL}, seed)
    return [replace(picture, split=drawn[groups[picture.name]]) if picture.name in groups else picture for picture in pictures]


def needed(root: Path, *names: str) -> None:
    """`FileNotFoundError` for what a layout lacks, with all that it has to hold."""
    if missing := [name for name in names if not (root / name).exists()]:
        raise FileNotFoundError(f"{root}: lacks {missing}; this layout holds {list(names)}")


def _group(name: str, group: str) -> str:
    match = re.search(group, name)
    return match[1] if match else name
