"""Folds of the training rows, by group: a network that is trained without one of them can teach its rows without having seen them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xkd.data.choose import bins
from xkd.data.prepare.split import apportion
from xkd.data.rows import Row


@dataclass(frozen=True)
class Fold:
    """One of the parts of the training rows, `number` from 0, `of` so many (cross-fitting).

    Chernozhukov et al., "Double/debiased machine learning for treatment and structural parameters", The Econometrics Journal 2018,
    arXiv:1608.00060; for distillation Dao, Kamath, Syrgkanis, Mackey, "Knowledge Distillation as Semiparametric Inference", ICLR 2021,
    arXiv:2104.09732, whose folds are of single rows. Here the rows of a group stay together, and folds are drawn as
    `xkd prepare-dataset` draws splits: by `seed`, each of about as many rows, of every class too (of numbers, of every bin). They go by the
    groups that have a label in training, so they are alike for every view. A group without one is in no fold.
    """

    number: int
    of: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.of < 2:
            raise ValueError(f"Fold: of is the number of folds, 2 or more, got {self.of}")
        if not 0 <= self.number < self.of:
            raise ValueError(f"Fold: number is one of 0 to {self.of - 1} (of={self.of}), got {self.number}")

    def __str__(self) -> str:
        return f"fold {self.number} of {self.of}"

    def groups(self, rows: Sequence[Row], where: str) -> frozenset[str]:
        """The fold's groups; `ValueError`, which begins with `where`, if there are fewer than folds, or a class is not in every fold.

        `rows` are the training rows with the labels that are kept.
        """
        labelled = [row for row in rows if row.labels is not None]
        values = bins([row.numbers[0] if row.numbers else np.nan for row in labelled]).tolist()
        kinds = [frozenset(row.labels or (() if value < 0 else (f"bin {value}",))) for row, value in zip(labelled, values, strict=True)]
        held = [(row.group, kind) for row, kind in zip(labelled, kinds, strict=True)]
        if (count := len({group for group, _ in held})) < self.of:
            raise ValueError(f"{where}: {count} groups of training rows have a label, fewer than {self.of} folds; take fewer")
        fold_of = apportion(held, {str(number): 1 / self.of for number in range(self.of)}, self.seed)
        for name in sorted({label for row in labelled for label in row.labels or ()}):
            groups = {group for group, kind in held if name in kind}
            if len(having := {fold_of[group] for group in groups}) < self.of:
                bare = min(set(fold_of.values()) - having, default="0")
                raise ValueError(
                    f"{where}: fold {bare} of {self.of} has no row of class '{name}', which is in {len(groups)} groups of training rows;"
                    " take fewer folds, or another seed"
                )
        return frozenset(group for group, fold in fold_of.items() if fold == str(self.number))
