"""Exemplars: the few rows of earlier classes that a network which goes on to learn others may still see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal
from zlib import crc32

from xkd.data import choose
from xkd.data.request import check_choice
from xkd.data.rows import Row

_NONE: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})


@dataclass(frozen=True)
class Exemplars:
    """`per_class` labelled training rows of each of `classes`, or all of a class that has fewer.

    "drawn": by `seed` and the class alone, so that a later stage keeps the same ones, and a larger number adds to a smaller. "herding"
    (Rebuffi et al., "iCaRL", CVPR 2017, algorithm 4): those whose mean is nearest to the mean of their class, in `features`, a tap of a
    frozen branch of the run, such as "old.pooled". A run chooses them before it trains and writes them down as `exemplars.json` beside its
    checkpoints. Classes that stand in such a file beside the checkpoint of that branch keep the rows that were chosen then, the first of
    them where fewer are wanted, since a run that goes on has no others.

    `rows` are ids by class, in order of choice: what herding has chosen, which runs fill in; name your own in a loop of your own.
    """

    classes: Sequence[str]
    per_class: int = 20
    by: Literal["drawn", "herding"] = "drawn"
    features: str = ""
    seed: int = 0
    rows: Mapping[str, Sequence[str]] = field(default_factory=lambda: _NONE, hash=False)

    def __post_init__(self) -> None:
        check_choice("exemplars.by", self.by, ("drawn", "herding"))
        if self.per_class < 1:
            raise ValueError(f"exemplars.per_class is 1 or more, got {self.per_class}; without exemplars leave exemplars out")
        if (self.by == "herding") != bool(self.features):
            wanted = "a tap of a frozen branch, such as 'old.pooled'" if self.by == "herding" else "for by='herding' alone"
            raise ValueError(f"exemplars.features is {wanted}; got '{self.features}' with by='{self.by}'")

    def ids(self, rows: Sequence[Row], where: str) -> set[str]:
        """Ids of the rows that are kept, of the split's `rows`; `ValueError` says what is missing."""
        of_class = {name: [row for row in rows if row.labels == (name,)] for name in self.classes}
        if empty := [name for name, those in of_class.items() if not those]:
            raise ValueError(f"{where}: exemplars of class '{empty[0]}', and no labelled row of split 'train' has it")
        if self.by == "drawn":
            return {row.id for name, those in of_class.items() for row in self._drawn(name, those)}
        return {name for of, those in of_class.items() for name in self._chosen(of, those, where)}

    def _drawn(self, name: str, rows: Sequence[Row]) -> list[Row]:
        return choose.drawn(rows, self.per_class, crc32(f"exemplars {name} {self.seed}".encode()))

    def _chosen(self, name: str, rows: Sequence[Row], where: str) -> Sequence[str]:
        if name not in self.rows:
            raise ValueError(
                f"{where}: exemplars by herding of class '{name}' are not chosen yet: xkd train does it before it trains (the config in its"
                " folder has them); in a loop of your own give Exemplars(rows={class: ids}), or use by='drawn'"
            )
        chosen = self.rows[name][: self.per_class]
        if gone := sorted(set(chosen) - {row.id for row in rows}):
            raise ValueError(f"{where}: exemplar '{gone[0]}' of class '{name}' is no labelled row of split 'train' any more")
        return chosen
