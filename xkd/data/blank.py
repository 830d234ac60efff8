"""Rows without files, for runs that have no data: a generator makes what is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest
from xkd.data.paired import PairedDataset
from xkd.data.rows import Pairs, Row
from xkd.data.shots import is_made
from xkd.data.targets import NOTHING

_NAME: Final = "blank rows"


class Blank(PairedDataset):
    """`rows` unlabelled rows, an epoch's length, of `views` that no file holds, such as `Noise`; for `train_dataloader.dataset`.

    Each draw of a row is other noise, by `seed`, row and draw. `ValueError` for a view of a real sensor, or without rows.
    """

    def __init__(self, rows: int, views: Sequence[View], *, seed: int = 0) -> None:
        if rows < 1:
            raise ValueError(f"Blank(rows=...) is how many rows an epoch has, 1 or more; got {rows}")
        if recorded := [view for view in views if not is_made(view)]:
            raise ValueError(
                f"Blank has no files, so it cannot provide view '{recorded[0].name}' of {recorded[0].modality.name}: only what is made,"
                " such as Noise; with real rows too use PairedDataset"
            )
        super().__init__(_manifest(rows), "train", views, Augment(flip=0.0, jitter=0.0), seed=seed, target=NOTHING)


def _manifest(rows: int) -> Manifest:
    names = [f"blank{number:06}" for number in range(rows)]
    made = tuple(
        Row(name, "train", name, {}, "", {}, None, mask="", crop=None, boxes=None, scores=(), meta={"id": name, "group": name})
        for name in names
    )
    return Manifest(Path(_NAME), _NAME, "", "", (), False, {}, None, Pairs(), {}, made)
