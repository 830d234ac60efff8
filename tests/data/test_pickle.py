"""What a worker gets is pickled where it is not forked: a data set that went that way gives the same samples, in each of its settings."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pairs import make, parts

from xkd.batch import View
from xkd.data.annotations import Labels, Masks
from xkd.data.cache import Shards, TeacherCache
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.data.shuffle import Shuffle
from xkd.modality import Stack

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "kept in memory": {"cache": True},
    "few labels": {"split": "train", "labels": Labels(0.5)},
    "few masks": {"split": "train", "masks": Masks(fraction=0.5)},
    "boxes": {"masks": Masks("boxes")},
    "pixels": {"target": "mask"},
    "strangers": {"shuffle": Shuffle("rgb", within="class")},
    "subset": {"subset": 4},
    "skips": {"on_broken": "skip"},
}


def check(dataset: PairedDataset) -> None:
    copy = pickle.loads(pickle.dumps(dataset))
    for key in ((0, -1), (1, 0), (len(dataset) - 1, 2)):
        assert parts(copy[key]) == parts(dataset[key])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_pickled_data_set_gives_the_same_samples(name: str, tiny_dataset: Path) -> None:
    dataset = make(tiny_dataset, **SETTINGS[name])
    check(dataset)
    check(dataset)  # having read, it holds files


def test_a_pickled_stack(tiny_dataset: Path) -> None:
    root = str(tiny_dataset)
    view = View("both", Stack((sensor(root, "rgb"), sensor(root, "thermal"))), (16, 24))
    check(PairedDataset(root, "val", [view], make(tiny_dataset).augment))


def test_a_pickled_data_set_brings_cached_answers(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = make(tiny_dataset)
    shards = Shards(tmp_path, "thermal", TeacherCache(draws=3), len(dataset), len(dataset), {"output": (3,)})
    for draw in range(3):
        shards.write(draw, 0, {"output": torch.rand(len(dataset), 3)}, {})
    dataset.serve([shards], {"thermal"})
    sample = dataset[1, 0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert parts(copy[1, 0]) == parts(sample)
    assert list(copy[1, 0].cached) == ["thermal.output"]
