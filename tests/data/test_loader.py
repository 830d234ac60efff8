"""Order and draws are functions of (seed, epoch); a batch is its samples, in order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.loader import DrawSampler, collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path) -> PairedDataset:
    root = str(tiny_dataset)
    return PairedDataset(root, "train", [View(name, sensor(root, name), (16, 16)) for name in ("rgb", "thermal")], Augment(rotate=10))


def test_order_depends_on_seed_and_epoch_alone(dataset: PairedDataset) -> None:
    one, other = DrawSampler(dataset=dataset, shuffle=True, seed=1), DrawSampler(dataset, seed=1)
    list(one)
    one.set_epoch(3)
    other.set_epoch(3)
    assert list(one) == list(other)
    assert sorted(index for index, _ in one) == list(range(len(dataset)))
    assert {draw for _, draw in one} == {3}
    first = list(one)
    one.set_epoch(4)
    assert [index for index, _ in one] != [index for index, _ in first]
    assert [index for index, _ in DrawSampler(dataset, seed=2)] != [index for index, _ in DrawSampler(dataset, seed=1)]


def test_draws_come_again_modulo_their_number(dataset: PairedDataset) -> None:
    sampler = DrawSampler(dataset, num_draws=3)
    sampler.set_epoch(7)
    assert {draw for _, draw in sampler} == {1}


def test_evaluation_is_in_order_without_a_draw(dataset: PairedDataset) -> None:
    assert list(DrawSampler(dataset, shuffle=False)) == [(index, -1) for index in range(len(dataset))]


def test_ranks_share_one_order(dataset: PairedDataset) -> None:
    parts = [list(DrawSampler(dataset, seed=5, rank=rank, world_size=4)) for rank in range(4)]
    assert {len(part) for part in parts} == {len(DrawSampler(dataset, rank=0, world_size=4))}
    together = [entry for entries in zip(*parts, strict=True) for entry in entries]
    whole = list(DrawSampler(dataset, seed=5))
    assert together == whole + whole[: len(together) - len(whole)]


def test_balanced_draws_classes_evenly_and_unlabelled_rows_once(dataset: PairedDataset) -> None:
    sampler = DrawSampler(dataset, balanced=True)
    seen: Counter[int] = Counter()
    for epoch in range(200):
        sampler.set_epoch(epoch)
        indices = np.array([index for index, _ in sampler])
        assert len(indices) == len(dataset)
        unlabelled = indices[dataset.targets[indices] < 0]
        assert sorted(unlabelled) == list(np.flatnonzero(dataset.targets < 0))
        seen.update(dataset.targets[indices].tolist())
    labelled = np.array([seen[label] for label in range(3)])
    assert np.abs(labelled / labelled.sum() - 1 / 3).max() < 0.03
    natural = np.bincount(dataset.targets[dataset.targets >= 0]) / (dataset.targets >= 0).sum()
    assert np.abs(natural - 1 / 3).max() > 0.03, "the data would have been balanced anyway"


def test_labelled_share_goes_through_the_labelled_rows_as_often_as_it_takes(dataset: PairedDataset) -> None:
    has_label = dataset.targets >= 0
    sampler = DrawSampler(dataset, labelled_share=0.75)
    pairs = list(sampler)
    indices = np.array([index for index, _ in pairs])
    assert len(pairs) == len(dataset)
    assert has_label[indices].sum() == round(0.75 * len(dataset))
    counts = np.bincount(indices, minlength=len(dataset))
    for rows in (has_label, ~has_label):
        assert np.ptp(counts[rows]) <= 1, "permutations, one after the other"
    only_labels = [index for index, _ in DrawSampler(dataset, labelled_share=1.0)]
    assert has_label[only_labels].all()
    assert len(only_labels) == len(dataset)


def test_a_row_that_comes_again_has_another_draw(dataset: PairedDataset) -> None:
    sampler = DrawSampler(dataset, labelled_share=1.0)
    seen: set[tuple[int, int]] = set()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        seen.update(sampler)
    assert len(seen) == 3 * len(dataset)
    assert {draw for _, draw in DrawSampler(dataset, labelled_share=1.0, num_draws=2)} == {0, 1}


def test_wrong_settings(dataset: PairedDataset) -> None:
    with pytest.raises(ValueError, match="shuffle=True"):
        DrawSampler(dataset, shuffle=False, balanced=True)
    with pytest.raises(ValueError, match="labelled_share is a share"):
        DrawSampler(dataset, labelled_share=1.5)
    with pytest.raises(ValueError, match="rank 2 is not below world_size 2"):
        DrawSampler(dataset, rank=2, world_size=2)
    with pytest.raises(ValueError, match="the same on every rank; got None"):
        DrawSampler(dataset, seed=None)


def test_collate_keeps_order_types_and_absences(dataset: PairedDataset) -> None:
    samples = [dataset[index] for index in range(6)]
    batch = collate(samples)
    assert batch.views["rgb"].dtype == torch.uint8
    assert batch.views["thermal"].dtype == torch.float32
    assert batch.views["rgb"].shape == (6, 3, 16, 16)
    assert batch.views["rgb"].is_contiguous()
    assert batch.present["thermal"].tolist() == [sample.meta["id"] != "train-3" for sample in samples]
    assert batch.present["rgb"].tolist() == [sample.meta["id"] != "train-4" for sample in samples]
    for row, sample in enumerate(samples):
        for name in ("rgb", "thermal"):
            assert torch.equal(batch.views[name][row], sample.views[name].to(batch.views[name].dtype))
    assert not batch.views["thermal"][3].any()
    assert batch.target.tolist() == dataset.targets[:6].tolist()
    assert batch.mask.shape == (6, 1, 16, 16)
    assert batch.meta[2]["id"] == "train-2"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on: fork beside torch's threads
def test_workers_change_nothing(dataset: PairedDataset) -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        sampler = DrawSampler(dataset, seed=3)
        sampler.set_epoch(2)
        loader = DataLoader(dataset, batch_size=5, sampler=sampler, collate_fn=collate, num_workers=workers)
        return [tensor for batch in loader for tensor in (*batch.views.values(), batch.mask, batch.target, batch.index)]

    for alone, parallel in zip(batches(0), batches(2), strict=True):
        assert torch.equal(alone, parallel)
