"""Rows that are labelled with numbers: the manifest, targets, strata, fractions, and what is wrong by file and row."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from number_pairs import TOML, write_numbers
from tiny_pairs import make

from xkd.batch import Number
from xkd.data import choose
from xkd.data.annotations import Labels
from xkd.data.loader import collate
from xkd.data.manifest import Manifest, numbers
from xkd.data.shuffle import Shuffle
from xkd.data.targets import can_be_mixed


def test_targets_are_the_numbers(tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_numbers(tiny_dataset, tmp_path / "numbers")
    dataset = make(root, split="train")
    assert numbers(str(root)) == (Number("warmth", "K", (0, 20)),)
    assert (dataset.annotation.kind, dataset.annotation.names, dataset.classes) == ("numbers", ("warmth",), ())
    batch = collate([dataset[at] for at in range(len(dataset))])
    assert batch.target.shape == (len(dataset), 1)
    assert batch.target.is_floating_point()
    known = {row.id: row.numbers[0] for row in dataset.rows if row.numbers}
    for meta, target, labelled in zip(batch.meta, batch.target[:, 0].tolist(), batch.labelled.tolist(), strict=True):
        assert labelled == (meta["id"] in known)
        assert target == (pytest.approx(known[meta["id"]]) if labelled else -1)
    assert not can_be_mixed(dataset.annotation)


def test_bins_are_numbers_of_their_own_where_few_occur_else_shares_of_the_rows() -> None:
    assert choose.bins([0, 4, np.nan, 2, 4]).tolist() == [0, 2, -1, 1, 2]
    values = np.random.default_rng(0).random(100)
    binned = choose.bins(values.tolist())
    assert np.bincount(binned).tolist() == [20] * 5
    assert all(values[binned == k].max() < values[binned == k + 1].min() for k in range(4))


def test_a_fraction_of_the_labels_keeps_low_and_high_numbers(tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_numbers(tiny_dataset, tmp_path / "numbers")
    whole, few = make(root, split="train"), make(root, split="train", labels=Labels(0.4))
    kept = [row for row in few.rows if row.labels is not None]
    assert 0 < len(kept) < sum(row.labels is not None for row in whole.rows)
    assert (few.strata == -1).any()
    assert {min(15, row.numbers[0]) // 7 for row in kept} == {0, 1, 2}, "blank pictures, discs and bars"
    lost = next(at for at, row in enumerate(few.rows) if row.labels is None and row.numbers)
    assert few[lost].target.tolist() == [-1], "a label that is not kept is not shown"
    shuffled = make(root, split="train", shuffle=Shuffle("rgb", within="class"))
    bins = choose.strata(Manifest.load(root).rows, ())
    bin_of = dict(zip([row.id for row in Manifest.load(root).rows], bins, strict=True))
    train = [row for row in Manifest.load(root).rows if row.split == "train" and row.id in {of.id for of in shuffled.rows}]
    own = dict(zip([row.id for row in train], choose.strata(train, ()).tolist(), strict=True))
    assert len(bin_of) > len(own)
    partners = [(row.id, shuffled.source(at, shuffled.views[1]).id) for at, row in enumerate(shuffled.rows)]
    assert all(own[one] == own[other] for one, other in partners)
    assert any(one != other for one, other in partners)


WRONG_CELLS = {
    "outside": ("21", r"manifest.csv, line \d+, row '.*': warmth is 21, write a number from 0 to 20 \(K\), or leave the cell empty"),
    "NaN": ("nan", "row '.*': warmth is nan, write a number"),
    "a word": ("warm", "row '.*': warmth is 'warm', write a number from 0 to 20"),
    "two": ("1;2", r"row '.*': label '1;2' must be 1 numbers joined by ';', \['warmth'\]"),
}


@pytest.mark.parametrize(("cell", "message"), WRONG_CELLS.values(), ids=list(WRONG_CELLS))
def test_a_wrong_cell_is_named_with_its_row(cell: str, message: str, tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_numbers(tiny_dataset, tmp_path / "numbers", first=cell)
    with pytest.raises(ValueError, match=message):
        Manifest.load(root)


WRONG_TABLES = {
    "none": ('labels = "number"', 'labels = "number" goes with a table [numbers.NAME]'),
    "not said": ("[numbers.warmth]\nrange = [0, 20]", 'labels = "number" goes with a table'),
    "no range": ('labels = "number"\n[numbers.warmth]\nunit = "K"', "[numbers.warmth] needs range = [lowest, highest]"),
    "turned": (
        'labels = "number"\n[numbers.warmth]\nrange = [20, 0]',
        "number 'warmth': range must be (lowest, highest)",
    ),
    "unknown": ('labels = "numbers"', "labels must be one of ['single', 'multi', 'number']"),
}


@pytest.mark.parametrize(("text", "message"), WRONG_TABLES.values(), ids=list(WRONG_TABLES))
def test_a_wrong_table_says_what_is_legal(text: str, message: str, tiny_dataset: Path, tmp_path: Path) -> None:
    root = write_numbers(tiny_dataset, tmp_path / "numbers", toml=text)
    with pytest.raises(ValueError, match=re.escape(message)):
        Manifest.load(root)


def test_who_has_classes_has_no_numbers(tiny_dataset: Path) -> None:
    with pytest.raises(ValueError, match="its rows are not labelled with numbers"):
        numbers(str(tiny_dataset))
    assert "numbers.warmth" in TOML
