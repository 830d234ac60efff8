"""Views that no file holds: noise beside real views, and blank rows for runs without any data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pairs import make

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.blank import Blank
from xkd.data.loader import DrawSampler, collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.engine.loaders import build_loader
from xkd.modalities import RGB, Noise
from xkd.modality import Stack
from xkd.tasks import Classification

PLAIN = Augment()
NOISE = View("noise", Noise(64), (2, 1))


def with_noise(root: Path, augment: Augment = PLAIN, seed: int = 0) -> PairedDataset:
    rgb = View("rgb", sensor(str(root), "rgb"), (16, 16))
    return PairedDataset(str(root), "train", [rgb, NOISE], augment, seed=seed)


def test_noise_is_normal_and_a_function_of_seed_row_and_draw(tiny_dataset: Path) -> None:
    data = with_noise(tiny_dataset)
    keys: list[Any] = [(row, draw) for row in range(4) for draw in (-1, 0, 1)]
    noise = torch.stack([data[key].views["noise"] for key in keys])
    assert noise.shape == (12, 64, 2, 1)
    assert noise.dtype == torch.float32
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1
    assert len({tuple(one.flatten().tolist()) for one in noise}) == 12
    again = with_noise(tiny_dataset, Augment(flip=1.0, vertical_flip=1.0, jitter=0.0))  # nothing moves it
    assert all(torch.equal(again[key].views["noise"], one) for key, one in zip(keys, noise, strict=True))
    assert not torch.equal(with_noise(tiny_dataset, seed=1)[keys[0]].views["noise"], noise[0])


def test_noise_changes_nothing_in_a_real_view_and_brings_no_row(tiny_dataset: Path) -> None:
    data, alone = with_noise(tiny_dataset), make(tiny_dataset, "rgb", split="train")
    assert [row.id for row in data.rows] == [row.id for row in alone.rows]
    assert data.left_out == alone.left_out == {"no rgb": 2}
    sample, other = data[1, 3], with_noise(tiny_dataset)[1, 3]
    assert sample.present == {"rgb": True, "noise": True}
    assert torch.equal(sample.views["rgb"], other.views["rgb"])
    served = with_noise(tiny_dataset)
    served.serve([], {"rgb"})  # as where a cached teacher alone saw it
    assert torch.equal(served[1, 3].views["noise"], sample.views["noise"])
    assert torch.equal(served[1, 3].mask, sample.mask)


def test_blank_rows_are_unlabelled_samples_of_noise() -> None:
    section = {"batch_size": 4, "num_workers": 0, "sampler": {"shuffle": True}, "dataset": {"type": Blank, "rows": 6, "views": [NOISE]}}
    loaders = [build_loader(section, seed) for seed in (0, 0, 1)]
    batches = [next(iter(loader)) for loader in loaders]
    assert torch.equal(batches[0].views["noise"], batches[1].views["noise"])
    assert not torch.equal(batches[0].views["noise"], batches[2].views["noise"])
    batch, data = batches[0], loaders[0].dataset
    assert isinstance(data, Blank)
    assert (len(data), batch.target.tolist(), batch.labelled.any(), batch.masked.any()) == (6, [-1] * 4, False, False)
    assert {key for key, _ in DrawSampler(data)} == set(range(6))
    assert torch.equal(collate([data[2, 5]]).views["noise"], collate([Blank(9, [NOISE])[2, 5]]).views["noise"])
    assert Classification(("a", "b")).misfit(data.annotation, "here") == ""


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: Blank(0, [NOISE]), "Blank.rows=.... is how many rows an epoch has, 1 or more; got 0"),
        (lambda: Blank(3, [View("rgb", RGB(), (8, 8))]), "Blank has no files, so it cannot provide view 'rgb' of rgb: only what is made"),
        (lambda: Stack((RGB(), Noise(3))), "a stack is of sensors that have files, and 'noise' has none: give it a view of its own"),
        (lambda: Noise(0), "noise 'noise': channels is the latent dimension, 1 or more; got 0"),
    ],
)
def test_what_cannot_be_made_is_refused(wrong: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        wrong()
