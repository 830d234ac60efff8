"""clipsim: one way in every frame, the class in the motion alone, the same clips from the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.modalities import Clip


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("clipsim")


@pytest.mark.parametrize("hops", [False, True], ids=["steady", "hop"])
def test_a_random_frame_says_nothing_of_the_way(hops: bool, script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    paths = {direction: np.stack([script.path_of(rng, direction, hops) for _ in range(1500)]) for direction in (-1, 1)}
    left, right = paths[-1], paths[1]
    assert ((right[:, -1] - right[:, 0])[:, 0] > 12).all()
    assert ((left[:, -1] - left[:, 0])[:, 0] < -12).all()
    assert (np.concatenate([left, right])[..., 0] > 2).all()
    assert (np.concatenate([left, right])[..., 0] < script.WIDTH - 2).all()
    for quantile in (0.1, 0.5, 0.9):
        assert np.quantile(left[..., 0], quantile) == pytest.approx(np.quantile(right[..., 0], quantile), abs=2)
    assert right.mean((0, 1)) == pytest.approx([script.WIDTH / 2 - 0.5, script.HEIGHT / 2], abs=2)
    steps = np.diff(right[..., 0], axis=1)
    assert ((steps < 0.1).mean() > 0.2) == hops, "who hops rests in between"
    assert steps.mean() == pytest.approx(2.8, abs=0.1), "and is as fast"


def test_a_set(script: ModuleType, tmp_path: Path) -> None:
    recipe, out = script.Recipe(3, 36), tmp_path / "clipsim"
    assert script.prepare(recipe, out)
    assert not script.prepare(recipe, out), "is there already"
    with pytest.raises(FileExistsError, match=r"wanted .*'seed': 4"):
        script.prepare(script.Recipe(4, 36), out)
    rows = Manifest.load(out).rows
    assert [sum(row.split == split for row in rows) for split in ("train", "val", "test")] == [24, 4, 8]
    views = [View(name, Clip(sensor(str(out), name), 12, 1), size) for name, size in (("rgb", (64, 96)), ("thermal", (32, 48)))]
    sample = PairedDataset(str(out), "train", views, Augment())[1]
    label, colours, heats = script.draw_clip(3, 1)
    assert label == rows[1].labels[0] == "left_hop"
    frames = np.stack(np.split(colours, 12, axis=1))
    assert np.array_equal(sample.views["rgb"].numpy().reshape(12, 3, 64, 96), frames.transpose(0, 3, 1, 2))
    warm = sample.views["thermal"].numpy()
    assert warm[:, :, :48] == pytest.approx(np.stack(np.split(heats * 0.01, 12, axis=1)), abs=1e-3)
    moving = warm - np.median(warm, axis=0)
    x = [np.unravel_index(frame.argmax(), frame.shape)[1] for frame in moving]
    assert x[-1] < x[0], "the animal is the warmest thing that moves, to the left"
