"""Folds of the training rows: whole groups, each class in each, alike for every view and order of rows; a sample says whose it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_pairs import make

from xkd.data.annotations import Labels
from xkd.data.fold import Fold
from xkd.data.loader import collate
from xkd.data.mix import Mix
from xkd.data.paired import PairedDataset
from xkd.data.rows import Row
from xkd.data.shuffle import Shuffle
from xkd.engine.loaders import build_loader


def groups_of(root: Path, *names: str, **options: Any) -> set[str]:
    return {row.group for row in make(root, *names, split="train", **options).rows}


def test_folds_part_the_labelled_groups_and_hold_every_class(tiny_dataset: Path) -> None:
    rows = [row for row in make(tiny_dataset, split="train").manifest.rows if row.split == "train"]
    labelled = {row.group for row in rows if row.labels is not None}
    folds = [Fold(number, 3).groups(rows, "tiny") for number in range(3)]
    assert folds == [Fold(number, 3).groups(rows[::-1], "tiny") for number in range(3)]
    assert sum(map(len, folds)) == len(labelled)
    assert frozenset().union(*folds) == labelled
    for fold in folds:
        assert {label for row in rows if row.group in fold for label in row.labels or ()} == {"blank", "disc", "bar"}
    assert len({Fold(0, 3, seed).groups(rows, "tiny") for seed in range(4)}) > 1
    numbered = [replace(row, labels=(), numbers=(float(place % 4),)) for place, row in enumerate(rows)]
    for number in range(2):
        fold = Fold(number, 2).groups(numbered, "tiny")
        assert {row.numbers for row in numbered if row.group in fold} == {(0.0,), (1.0,), (2.0,), (3.0,)}


@pytest.mark.parametrize("labels", [Labels(), Labels(0.5)])
def test_a_run_without_a_fold_lacks_its_groups_whatever_it_sees(labels: Labels, tiny_dataset: Path) -> None:
    data = make(tiny_dataset, split="train", labels=labels, without=Fold(1, 2))
    kept = labels.kept([row for row in data.manifest.rows if row.split == "train"], data.manifest.classes)
    gone = Fold(1, 2).groups(kept, "tiny")
    assert gone
    assert data.left_out["of fold 1 of 2"] == sum(row.group in gone for row in kept)
    for names in (("rgb",), ("thermal",)):
        assert groups_of(tiny_dataset, *names, labels=labels) - groups_of(tiny_dataset, *names, labels=labels, without=Fold(1, 2)) <= gone
        assert not groups_of(tiny_dataset, *names, labels=labels, without=Fold(1, 2)) & gone
    unlabelled = {row.group for row in data.rows} - {row.group for row in kept if row.labels is not None}
    assert unlabelled <= {row.group for row in data.rows}, "what no label has taught anybody is in no fold"


def test_a_runs_seed_draws_the_folds(tiny_dataset: Path) -> None:
    data = make(tiny_dataset, "rgb", split="train")

    def of(run: int, **fold: int) -> frozenset[str]:
        dataset = {"type": PairedDataset, "root": str(tiny_dataset), "split": "train", "views": data.views, "augment": data.augment}
        dataset["without"] = {"type": Fold, "number": 0, "of": 2, **fold}
        rows = build_loader({"batch_size": 2, "num_workers": 0, "dataset": dataset}, run).dataset.rows
        return frozenset(row.group for row in rows)

    assert len({of(seed) for seed in range(4)}) > 1
    assert of(0, seed=7) == of(1, seed=7)


def test_a_sample_names_the_group_that_each_view_shows(tiny_dataset: Path) -> None:
    data = make(tiny_dataset, split="train", shuffle=Shuffle("rgb"))
    samples = [data[index, 0] for index in (0, 1, 2)]
    batch = collate(samples)
    assert batch.groups["rgb"] == [data.rows[index].group for index in (0, 1, 2)]
    assert batch.groups["thermal"] == [data.source(index, data.views[1]).group for index in (0, 1, 2)]
    assert batch.groups["rgb"] != batch.groups["thermal"]
    assert collate(Mix(3)(samples)).groups == {}, "half of each row is a neighbour's"


def one_class_in_one_group(rows: Sequence[Row]) -> list[Row]:
    return [replace(row, labels=("bar",) if row.group == "train-0" else ("disc",)) for row in rows]


MISTAKES: dict[str, tuple[Callable[[], Fold], Callable[[Sequence[Row]], list[Row]], str]] = {
    "one fold": (lambda: Fold(0, 1), list, "of is the number of folds, 2 or more, got 1"),
    "no such fold": (lambda: Fold(3, 3), list, r"number is one of 0 to 2 \(of=3\), got 3"),
    "few groups": (lambda: Fold(0, 11), list, "tiny: 10 groups of training rows have a label, fewer than 11 folds"),
    "a class": (lambda: Fold(0, 2), one_class_in_one_group, "fold [01] of 2 has no row of class 'bar', which is in 1 groups"),
}


@pytest.mark.parametrize(("fold", "change", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(fold: Callable[[], Fold], change: Callable[[Sequence[Row]], list[Row]], message: str, tiny_dataset: Path) -> None:
    rows = [row for row in make(tiny_dataset, split="train").manifest.rows if row.split == "train"]
    with pytest.raises(ValueError, match=message):
        fold().groups(change(rows), "tiny")


def test_rows_that_are_tested_are_all_there(tiny_dataset: Path) -> None:
    with pytest.raises(ValueError, match="without leaves out a fold of split 'train'"):
        make(tiny_dataset, split="val", without=Fold(0, 2))
