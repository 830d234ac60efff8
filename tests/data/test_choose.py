"""Which rows keep their labels, which stand in a subset, and whose thermal image a stranger gets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tiny_pairs import make

from xkd.data import shuffle
from xkd.data.annotations import Labels, Masks
from xkd.data.paired import PairedDataset
from xkd.data.shuffle import Shuffle


def test_the_share_of_labels_is_stratified_nested_and_free_of_order(copy: Path) -> None:
    few, more = make(copy, split="train", labels=Labels(0.3)), make(copy, split="train", labels=Labels(0.6))

    def kept(dataset: PairedDataset) -> set[str]:
        return {row.id for row in dataset.rows if row.labels is not None}

    assert kept(few) < kept(more) < kept(make(copy, split="train"))
    tiny_share = make(copy, split="train", labels=Labels(0.01))
    assert sorted(tiny_share.targets[tiny_share.targets >= 0]) == [0, 1, 2]
    assert kept(make(copy, split="train", labels=Labels(0.3, seed=1))) != kept(few)
    header, *lines = (copy / "manifest.csv").read_text("utf-8").splitlines()
    (copy / "manifest.csv").write_text("\n".join([header, *lines[::-1]]), "utf-8")
    assert kept(make(copy, split="train", labels=Labels(0.3))) == kept(few)
    assert kept(make(copy, "thermal", split="train", labels=Labels(0.3))) | {"train-3"} >= kept(few)
    with pytest.raises(ValueError, match=r"labels\.fraction is below 1 only in split 'train'"):
        make(copy, labels=Labels(0.5))
    with pytest.raises(ValueError, match="fraction is above 0 and at most 1, got 0"):
        Labels(0)


@pytest.mark.parametrize("kind", ["mask", "boxes"])
def test_the_share_of_masks_is_nested_takes_the_classes_in_turn_and_leaves_labels(kind: str, copy: Path) -> None:
    def shown(fraction: float, seed: int = 0) -> set[str]:
        dataset = make(copy, split="train", masks=Masks(kind, fraction, seed))
        rows = {row.id for index, row in enumerate(dataset.rows) if dataset[index].masked}
        assert len(rows) == dataset.num_masked
        assert (dataset.targets == everything.targets).all(), "a label is no mask"
        return rows

    everything = make(copy, split="train", masks=Masks(kind))
    whole = {row.id for index, row in enumerate(everything.rows) if everything[index].masked}
    assert shown(0.3) < shown(0.6) < whole == shown(1.0)
    assert len(shown(0.3)) == round(0.3 * len(whole))
    assert len(shown(0.001)) == 1
    assert shown(0.3, seed=1) != shown(0.3)
    labels = {row.id: row.labels for row in everything.rows}
    assert len({labels[name] for name in shown(3 / len(whole))}) == 3
    with pytest.raises(ValueError, match=r"masks\.fraction is below 1 only in split 'train'; got 0\.5 in 'val'"):
        make(copy, masks=Masks(fraction=0.5))
    with pytest.raises(ValueError, match=r"target='mask' needs .*masks\.fraction=1 here; fewer labels are labels\.fraction"):
        make(copy, split="train", target="mask", masks=Masks(fraction=0.5))


def test_shuffled_pairs_leave_the_named_view_with_its_label(tiny_dataset: Path) -> None:
    plain, shuffled = make(tiny_dataset), make(tiny_dataset, shuffle=Shuffle("rgb"))
    thermals = [plain[index].views["thermal"] for index in range(len(plain))]
    for index in range(len(plain)):
        one, other = plain[index, 1], shuffled[index, 1]
        assert torch.equal(one.views["rgb"], other.views["rgb"])
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(one.target, other.target)
        strange = shuffled[index].views["thermal"]
        sources = [number for number, thermal in enumerate(thermals) if torch.equal(thermal, strange)]
        assert len(sources) == 1
        assert sources != [index]
    plain, shuffled = make(tiny_dataset, split="train"), make(tiny_dataset, split="train", shuffle=Shuffle("rgb"))
    all_thermals = {plain[index].views["thermal"].numpy().tobytes() for index in range(len(plain))}
    for index in range(len(shuffled)):
        assert shuffled[index].views["thermal"].numpy().tobytes() in all_thermals, "a stranger comes with its own crop"
    assert shuffled.left_out == {"no rgb": 2}
    assert sorted(shuffle.derangement(50, 3)) == list(range(50))
    assert (shuffle.derangement(50, 3) != np.arange(50)).all()


@pytest.mark.parametrize("source", ["mask", "boxes"])
def test_shuffled_masks_are_those_of_other_rows_and_all_else_is_the_rows_own(source: Literal["mask", "boxes"], tiny_dataset: Path) -> None:
    plain, shuffled = (make(tiny_dataset, "rgb", split="train", masks=Masks(source, shuffled=of)) for of in (False, True))
    given = {row.id: shuffled.rows[at].id for row, at in zip(shuffled.rows, shuffled._regions, strict=True)}
    having = [row.id for row in plain.rows if plain.masks.shows(row)]
    assert sorted(given[row] for row in having) == sorted(having), "every mask is used once"
    assert not [row for row in having if given[row] == row]
    place = {row.id: index for index, row in enumerate(plain.rows)}
    for index, row in enumerate(shuffled.rows):
        one, other = plain[index], shuffled[index]
        assert torch.equal(one.views["rgb"], other.views["rgb"])
        assert torch.equal(one.target, other.target)
        assert one.masked == other.masked == (row.id in having), "the same rows are steered"
        assert torch.equal(other.mask, plain[place[given[row.id]]].mask), "a stranger's mask comes with its own crop"


def test_masks_that_cannot_be_shuffled_are_an_error(tiny_dataset: Path) -> None:
    with pytest.raises(ValueError, match=r"masks\.shuffled is for split 'train', .*; got it in 'val'"):
        make(tiny_dataset, masks=Masks(shuffled=True))
    with pytest.raises(ValueError, match="shuffling needs at least two rows with a mask, got 0"):
        make(tiny_dataset, split="train", masks=Masks("none", shuffled=True))


def test_pairs_may_be_shuffled_within_their_class_whoever_is_told_of_it(copy: Path) -> None:
    plain = make(copy, split="train")
    shuffled = make(copy, split="train", shuffle=Shuffle("rgb", within="class"), labels=Labels(0.3))
    whole = {row.id: row for row in plain.rows}
    thermals = {plain[at].views["thermal"].numpy().tobytes(): row for at, row in enumerate(plain.rows) if "thermal" in row.files}
    strange = 0
    for at, row in enumerate(shuffled.rows):
        sample = shuffled[at]
        if sample.present["thermal"]:
            source = thermals[sample.views["thermal"].numpy().tobytes()]
            assert whole[source.id].labels == whole[row.id].labels
            strange += source.id != row.id
    assert strange > 10
    kinds = np.array([0, 1, 1, 2, 2, 2])
    order = shuffle.derangement_within(kinds, 0)
    assert (kinds[order] == kinds).all()
    assert (order[1:] != np.arange(6)[1:]).all()
    assert order[0] == 0, "alone of its kind"


def test_rows_without_a_label_are_not_shuffled_within_one(copy: Path) -> None:
    with (copy / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (copy / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows({**row, "label": ""} for row in rows)
    with pytest.raises(ValueError, match=r"goes by the column 'label', which is empty in all 22 rows of train .* use within='all'"):
        make(copy, split="train", target="mask", shuffle=Shuffle("rgb", within="class"))


def test_a_subset_holds_every_class(tiny_dataset: Path) -> None:
    dataset = make(tiny_dataset, subset=4, split="train")
    assert sorted(dataset.targets) == [-1, 0, 1, 2]
