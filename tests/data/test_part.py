"""A part of a split: rows of some classes and sensors, exemplars of earlier classes, targets that count the classes known so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pairs import make

from xkd.data.annotations import Labels
from xkd.data.exemplars import Exemplars
from xkd.data.gaps import Gaps
from xkd.data.paired import PairedDataset
from xkd.engine.loaders import build_loader


def labels_of(data: PairedDataset) -> dict[str, tuple[str, ...] | None]:
    """As the manifest has them, of the rows that are left."""
    known = {row.id: row.labels for row in data.manifest.rows}
    return {row.id: known[row.id] for row in data.rows}


def test_rows_of_some_classes_are_left_and_counted_by_those_that_are_known(tiny_dataset: Path) -> None:
    data = make(tiny_dataset, classes=("bar",), known=("bar", "blank"))
    assert set(labels_of(data).values()) == {("bar",)}
    assert (len(data), data.left_out, data.classes) == (4, {"of other classes": 8}, ("bar", "blank"))
    assert torch.stack([data[place].target for place in range(4)]).tolist() == [0, 0, 0, 0]
    both = make(tiny_dataset, known=("disc", "blank"))
    assert [both.rows[place].labels for place, target in enumerate(both.targets.tolist()) if target == 1] == [("blank",)] * 4
    assert make(tiny_dataset, classes=("bar",)).classes == ("blank", "disc", "bar"), "without known the manifest's"


def test_a_row_belongs_by_a_label_that_is_hidden_and_not_without_any(tiny_dataset: Path) -> None:
    data = make(tiny_dataset, "rgb", split="train", classes=("disc",), labels=Labels(0.5))
    assert set(labels_of(data).values()) == {("disc",)}
    assert {row.labels for row in data.rows} == {("disc",), None}
    assert data.left_out == {"without a label: which class it shows is not known": 6, "of other classes": 12, "no rgb": 1}


@pytest.mark.parametrize("sensor", ["rgb", "thermal"])
def test_rows_that_have_a_sensor_make_parts_that_do_not_meet(sensor: str, tiny_dataset: Path) -> None:
    gaps = Gaps(("rgb", "thermal"), 1.0)
    data = make(tiny_dataset, split="train", gaps=gaps, having=(sensor,))
    whole = {row.id for row in data.manifest.rows if len(row.files) == 2}
    kept, every = {row.id for row in data.rows} & whole, {row.id for row in make(tiny_dataset, split="train", gaps=gaps).rows} & whole
    assert 0 < len(kept) < len(every)
    assert all(set(row.files) == {sensor} for row in data.rows if row.id in whole)
    assert data.left_out == {f"without {sensor}": 24 - len(data)}


class TestExemplars:
    def test_drawn_ones_go_by_seed_and_class_alone(self, tiny_dataset: Path) -> None:
        def kept(per_class: int, classes: tuple[str, ...] = ("blank",), new: str = "bar", seed: int = 0) -> set[str]:
            data = make(tiny_dataset, split="train", classes=(new,), exemplars=Exemplars(classes, per_class, seed=seed))
            of = labels_of(data)
            assert len({name for name, labels in of.items() if labels == (new,)}) >= 5, "all rows of the new class"
            return {name for name, labels in of.items() if labels == ("blank",)}

        assert len(kept(2)) == 2
        assert kept(2) < kept(4) < kept(99)
        assert kept(2) == kept(2, ("disc", "blank")) == kept(2, new="disc")
        assert len({frozenset(kept(2, seed=seed)) for seed in range(6)}) > 2

    def test_a_run_has_its_own_seed(self, tiny_dataset: Path) -> None:
        view = make(tiny_dataset).views[0]
        keeps = {"type": Exemplars, "classes": ("blank",), "per_class": 2}
        told = {"type": PairedDataset, "root": str(tiny_dataset), "split": "train", "views": [view], "augment": make(tiny_dataset).augment}
        section = {"batch_size": 2, "dataset": {**told, "classes": ("bar",), "exemplars": keeps}}
        rows = [[row.id for row in build_loader(section, seed).dataset.rows] for seed in (0, 0, 1)]
        assert rows[0] == rows[1] != rows[2]

    def test_chosen_ones_are_the_first_that_are_named(self, tiny_dataset: Path) -> None:
        named = ("train-15", "train-0", "train-18")
        keeps = Exemplars(("blank",), 2, "herding", "old.pooled", rows={"blank": named})
        data = make(tiny_dataset, split="train", classes=("bar",), exemplars=keeps)
        assert {name for name, labels in labels_of(data).items() if labels == ("blank",)} == {"train-15", "train-0"}


HERDED = {"by": "herding", "features": "old.pooled"}


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [
        ("val", {"classes": ("bat",)}, r"classes names class 'bat'; it has \['blank', 'disc', 'bar'\]"),
        ("val", {"classes": ("bar",), "known": ("disc", "blank")}, r"class 'bar', which known=\['disc', 'blank'\] leaves out"),
        ("val", {"known": ("bar", "bar")}, r"known names a class twice"),
        ("val", {"classes": ("bar",), "target": "mask"}, r"\['classes'\] need rows with one label each, and target='label'"),
        ("val", {"having": ("lidar",)}, r"having names sensor 'lidar'; it has \['rgb', 'thermal'\]"),
        ("val", {"classes": ("bar",), "exemplars": Exemplars(("disc",))}, r"exemplars are for split 'train'.*got them in 'val'"),
        ("train", {"exemplars": Exemplars(("disc",))}, r"exemplars are rows beside those of classes=\(\.\.\.\): name the new classes"),
        ("train", {"classes": ("bar",), "exemplars": Exemplars(("disc", "bar"))}, r"class 'bar' is among classes=\['bar'\], of which all"),
        ("train", {"classes": ("bar",), "exemplars": Exemplars(("disc",), **HERDED)}, r"by herding of class 'disc' are not chosen yet"),
        ("train", {"classes": ("bar",), "exemplars": Exemplars(("disc",), **HERDED, rows={"disc": ("gone",)})}, r"exemplar 'gone'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(split: str, options: dict[str, Any], message: str, tiny_dataset: Path) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        make(tiny_dataset, split=split, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "herding"}, "exemplars.features is a tap"),
        ({"features": "old.deep"}, "for by='herding' alone"),
        ({"per_class": 0}, "1 or more"),
    ],
)
def test_bad_exemplars_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Exemplars(("disc",), **options)


def test_a_split_without_a_class_is_an_error(tiny_dataset: Path, tmp_path: Path) -> None:
    rows = (tiny_dataset / "manifest.csv").read_text("utf-8").splitlines()
    (tmp_path / "manifest.csv").write_text("\n".join(row for row in rows if not row.startswith("val") or ",bar," not in row), "utf-8")
    (tmp_path / "manifest.toml").write_text((tiny_dataset / "manifest.toml").read_text("utf-8"), "utf-8")
    for folder in ("rgb", "thermal", "mask"):
        (tmp_path / folder).symlink_to(tiny_dataset / folder)
    with pytest.raises(ValueError, match=r"no row to use of class 'bar' in this split; of the classes it has \{'blank': 4, 'bar': 0\}"):
        make(tmp_path, known=("blank", "bar"))
