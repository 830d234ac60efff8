"""Rows that lack a sensor, made of rows that have all: what a comparison would find if recordings had failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from xkd.data import choose
from xkd.data.manifest import Manifest
from xkd.data.rows import Row


@dataclass(frozen=True)
class Gaps:
    """A share of the training rows, `fraction` (above 0, at most 1), loses one of `sensors`, each of them equally often.

    `sensors` are columns of the manifest. Rows that have all of them are chosen by `seed`, classes in turn, whatever label they keep.
    The files stay where they are; for the training such a row is one without that cell. A teacher's own run does not see it either, so
    that a sensor that fails costs the teacher too.
    """

    sensors: Sequence[str]
    fraction: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sensors or len(set(self.sensors)) < len(self.sensors):
            raise ValueError(f"gaps.sensors are different columns of the manifest, at least one; got {list(self.sensors)}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"gaps.fraction is above 0 and at most 1, got {self.fraction}")

    def left(self, rows: Sequence[Row], manifest: Manifest) -> list[Row]:
        """The same rows in the same order, some without one of their sensors; `KeyError` names a sensor that the manifest has not."""
        if unknown := [name for name in self.sensors if name not in manifest.modalities]:
            raise KeyError(f"{manifest.root}: gaps.sensors names '{unknown[0]}'; it has {sorted(manifest.modalities)}")
        whole = [row for row in rows if all(name in row.files for name in self.sensors)]
        if not whole:
            raise ValueError(f"{manifest.root}: gaps.sensors = {list(self.sensors)}, and no row has all of them")
        total, lost = round(self.fraction * len(whole)), dict[str, str]()
        if not total:
            raise ValueError(f"{manifest.root}: gaps.fraction = {self.fraction:g} of the {len(whole)} rows that have all sensors is no row")
        for place, name in enumerate(self.sensors):
            others = [row for row in whole if row.id not in lost]
            share = (total - len(lost)) // (len(self.sensors) - place)
            # a draw of its own: labels and masks that are kept are the first of the draw that is by the seed alone
            draw = crc32(f"gaps {name} {self.seed}".encode())
            lost.update((row.id, name) for row in choose.subset(others, manifest.classes, share, draw))
        return [_without(row, lost[row.id]) if row.id in lost else row for row in rows]


def _without(row: Row, sensor: str) -> Row:
    return replace(row, files={name: files for name, files in row.files.items() if name != sensor})
