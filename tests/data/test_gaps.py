"""Gaps: rows that lose a sensor, each sensor equally often, chosen by seed, independently of who keeps a label."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tiny_pairs import make

from xkd.batch import View
from xkd.data.annotations import Labels
from xkd.data.augment import Augment
from xkd.data.gaps import Gaps
from xkd.data.identity import identity
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.engine.loaders import build_loader

BOTH = ("rgb", "thermal")


def lost(data: PairedDataset) -> dict[str, str]:
    """Rows that their manifest has whole, and which sensor they lack here."""
    whole = {row.id for row in data.manifest.rows if len(row.files) == 2}
    return {row.id: name for row in data.rows if row.id in whole for name in BOTH if name not in row.files}


def test_a_share_of_the_whole_rows_lacks_one_sensor_each(tiny_dataset: Path) -> None:
    data = make(tiny_dataset, split="train", gaps=Gaps(BOTH, 0.5))  # 24 rows, three of which are not whole
    assert Counter(lost(data).values()) == {"rgb": 5, "thermal": 5}
    assert len(data) == 23
    for place, row in enumerate(data.rows):
        sample = data[place, 0]
        assert sample.present == {name: name in row.files for name in BOTH}
        assert all(sample.present[name] or not sample.views[name].any() for name in BOTH)


def test_a_view_of_that_sensor_alone_leaves_the_row_out(tiny_dataset: Path) -> None:
    gaps = Gaps(BOTH, 0.5)
    gone = {name for name, lacks in lost(make(tiny_dataset, split="train", gaps=gaps)).items() if lacks == "thermal"}
    left = {row.id for row in make(tiny_dataset, "thermal", split="train").rows}
    assert {row.id for row in make(tiny_dataset, "thermal", split="train", gaps=gaps).rows} == left - gone


def test_gaps_go_by_the_seed_and_not_by_the_label(tiny_dataset: Path) -> None:
    manifest = Manifest.load(str(tiny_dataset))
    rows = [row for row in manifest.rows if row.split == "train"]

    def chosen(gaps: Gaps) -> set[str]:
        return {row.id for row, old in zip(gaps.left(rows, manifest), rows, strict=True) if row != old}

    of_seeds = [chosen(Gaps(("thermal",), 0.25, seed)) for seed in range(8)]
    assert of_seeds[0] == chosen(Gaps(("thermal",), 0.25, 0))
    assert all(len(of) == 6 for of in of_seeds)  # a quarter of the 22 rows that have it
    assert len(set(map(frozenset, of_seeds))) > 4
    assert identity_of(tiny_dataset, 0) != identity_of(tiny_dataset, 1)


def test_labels_that_are_kept_are_not_the_rows_with_gaps(tiny_dataset: Path) -> None:
    manifest = Manifest.load(str(tiny_dataset))
    rows = [row for row in manifest.rows if row.split == "train"]
    kept_rows = both = 0
    for seed in range(20):
        kept = {row.id for row in Labels(0.25, seed).kept(rows, manifest.classes) if row.labels is not None}
        left = Gaps(("thermal",), 0.25, seed).left(rows, manifest)
        gone = {row.id for row, old in zip(left, rows, strict=True) if row != old}
        both, kept_rows = both + len(kept & gone), kept_rows + len(kept)
    assert 0.1 < both / kept_rows < 0.5  # a quarter by chance; were both the first of one draw, nearly all


def identity_of(root: Path, seed: int) -> str:
    data = make(root, split="train", gaps=Gaps(BOTH, 0.5, seed))
    return identity(data, data.views[1])


def test_bad_gaps_name_what_is_legal(tiny_dataset: Path) -> None:
    with pytest.raises(ValueError, match=r"gaps\.fraction is above 0 and at most 1, got 1\.5"):
        Gaps(("thermal",), 1.5)
    with pytest.raises(ValueError, match=r"gaps\.sensors are different columns of the manifest, at least one; got \['rgb', 'rgb'\]"):
        Gaps(("rgb", "rgb"), 0.5)
    with pytest.raises(KeyError, match=r"gaps\.sensors names 'lidar'; it has \['rgb', 'thermal'\]"):
        make(tiny_dataset, split="train", gaps=Gaps(("lidar",), 0.5))
    with pytest.raises(ValueError, match=r"gaps\.fraction = 0\.01 of the 21 rows that have all sensors is no row"):
        make(tiny_dataset, split="train", gaps=Gaps(BOTH, 0.01))
    with pytest.raises(ValueError, match=r"gaps are for split 'train'.* in 'val'"):
        make(tiny_dataset, split="val", gaps=Gaps(("thermal",), 0.5))


def test_a_run_draws_them_by_its_seed_unless_they_have_their_own(tiny_dataset: Path) -> None:
    view = {"type": View, "name": "thermal", "modality": {"type": sensor, "root": str(tiny_dataset), "column": "thermal"}, "size": (20, 24)}
    data = {"type": PairedDataset, "root": str(tiny_dataset), "split": "train", "views": [view], "augment": {"type": Augment}}
    gaps = {"type": Gaps, "sensors": ("thermal",), "fraction": 0.5}

    def seed(**own: int) -> int:
        loader = build_loader({"batch_size": 4, "num_workers": 0, "dataset": {**data, "gaps": {**gaps, **own}}}, seed=3)
        return int(loader.dataset.gaps.seed)

    assert (seed(), seed(seed=1)) == (3, 1)
    assert build_loader({"batch_size": 4, "num_workers": 0, "dataset": data}, seed=3).dataset.gaps is None
