"""A part of a split: rows of some classes, with some sensors, and the exemplars of earlier classes; what a stage of learning sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xkd.batch import Annotation
from xkd.data.exemplars import Exemplars
from xkd.data.fold import Fold
from xkd.data.manifest import Manifest
from xkd.data.rows import Row


@dataclass(frozen=True)
class SplitPart:
    """Of a dataset's arguments those that say which rows of the split it serves, and which classes their targets count."""

    classes: Sequence[str] = ()
    known: Sequence[str] = ()
    having: Sequence[str] = ()
    exemplars: Exemplars | None = None
    without: Fold | None = None

    def check(self, manifest: Manifest, split: str, target: str) -> None:
        """`ValueError` or `KeyError` names what is not in the manifest, or does not fit together, and what would."""
        if unknown := [name for name in self.having if name not in manifest.modalities]:
            raise KeyError(f"{manifest.root}: having names sensor '{unknown[0]}'; it has {sorted(manifest.modalities)}")
        earlier = tuple(self.exemplars.classes) if self.exemplars else ()
        named = {"classes": tuple(self.classes), "known": tuple(self.known), "exemplars.classes": earlier}
        if any(named.values()) and (manifest.annotation.kind != "label" or target != "label"):
            raise ValueError(
                f"{manifest.root}: {[key for key, of in named.items() if of]} need rows with one label each, and target='label'"
            )
        for key, of in named.items():
            if unknown := [name for name in of if name not in manifest.classes]:
                raise KeyError(f"{manifest.root}: {key} names class '{unknown[0]}'; it has {list(manifest.classes)}")
            if len(set(of)) < len(of):
                raise ValueError(f"{manifest.root}: {key} names a class twice: {list(of)}")
            if self.known and (others := [name for name in of if name not in self.known]):
                raise ValueError(f"{manifest.root}: {key} names class '{others[0]}', which known={list(self.known)} leaves out")
        self._check_exemplars(manifest, split, earlier)
        if self.without and split != "train":
            raise ValueError(f"without leaves out a fold of split 'train', since rows that are tested are all there; got it in '{split}'")
        if parted := [name for name, other in manifest.flips.items() if self.known and name in self.known and other not in self.known]:
            raise ValueError(f"{manifest.root}: a mirror makes '{manifest.flips[parted[0]]}' of '{parted[0]}' ([flips]): known needs both")

    def _check_exemplars(self, manifest: Manifest, split: str, earlier: Sequence[str]) -> None:
        if self.exemplars and split != "train":
            raise ValueError(f"exemplars are for split 'train', since all rows of a class are tested; got them in '{split}'")
        if self.exemplars and not self.classes:
            raise ValueError(f"{manifest.root}: exemplars are rows beside those of classes=(...): name the new classes")
        if both := [name for name in earlier if name in self.classes]:
            raise ValueError(
                f"{manifest.root}: class '{both[0]}' is among classes={list(self.classes)}, of which all rows are seen, and among"
                f" exemplars.classes={list(earlier)}, of which some are kept: take it out of one"
            )

    def annotation(self, whole: Annotation) -> Annotation:
        """What the targets say, counted by the classes that are `known`."""
        return replace(whole, names=tuple(self.known)) if self.known else whole

    def left(self, rows: Sequence[Row], manifest: Manifest) -> tuple[list[Row], dict[str, int]]:
        """The rows of the part, in their order, and how many are left out, by reason; `ValueError` where nothing is left of a class.

        `rows` are a split's with the labels that are kept: a row belongs by its class in the manifest, also if its label is hidden.
        """
        gone = self.without.groups(rows, str(manifest.root)) if self.without else frozenset()
        shown = [row for row in rows if row.group not in gone]
        there = [row for row in shown if all(name in row.files for name in self.having)]
        left_out = {f"of {self.without}": len(rows) - len(shown), f"without {' or '.join(self.having)}": len(shown) - len(there)}
        if not there:
            raise ValueError(f"{manifest.root}: none of the {len(rows)} rows of this split has all of having={list(self.having)}")
        if wanted := set(self.classes or self.known):
            label_of = {row.id: row.labels for row in manifest.rows}
            counts = {name: sum(label_of[row.id] == (name,) for row in there) for name in self.classes or self.known}
            if empty := [name for name, count in counts.items() if not count]:
                raise ValueError(f"{manifest.root}: no row to use of class '{empty[0]}' in this split; of the classes it has {counts}")
            kept = self.exemplars.ids(there, str(manifest.root)) if self.exemplars else set()
            mine = [row for row in there if row.id in kept or wanted & set(label_of[row.id] or ())]
            unlabelled = sum(label_of[row.id] is None for row in there)
            left_out |= {"without a label: which class it shows is not known": unlabelled}
            left_out |= {"of other classes": len(there) - len(mine) - unlabelled}
            there = mine
        return there, {reason: count for reason, count in left_out.items() if count}
