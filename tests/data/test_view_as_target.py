"""A sensor as the target: what it saw, under the draw of the images, unknown where it saw nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny_pairs import WILD, make

from xkd.batch import Annotation, Number, View
from xkd.data.annotations import Labels
from xkd.data.augment import Augment
from xkd.data.gaps import Gaps
from xkd.data.loader import collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.data.shuffle import Shuffle
from xkd.data.supervisor import quantities
from xkd.data.windows import Windows
from xkd.engine.loaders import build_loader
from xkd.modalities import RGB, Depth, LiDAR, Multispectral
from xkd.modality import Stack

TARGET = "view:thermal"


def rewrite(root: Path, change: Any) -> None:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_the_target_is_what_the_view_saw_on_the_first_views_grid(tiny_dataset: Path) -> None:
    dataset = make(tiny_dataset, target=TARGET)
    assert dataset.annotation == Annotation("quantities", ("thermal",), (Number("thermal", "K", (285, 310)),))
    assert dataset.classes == ()
    sample = dataset[0]
    assert sample.target.shape == (1, 40, 48)
    assert sample.target.dtype == torch.float32
    kelvin = cv2.imread(str(tiny_dataset / dataset.rows[0].files["thermal"][0]), cv2.IMREAD_UNCHANGED) * 0.01
    whole = next(place for place, row in enumerate(dataset.rows) if row.crop is None)
    assert sample.labelled
    if whole == 0:
        np.testing.assert_allclose(sample.target[0], kelvin, rtol=1e-5)
    assert dataset.strata.max() == 0, "no classes that could be balanced"


def test_one_draw_moves_both_alike(tiny_dataset: Path) -> None:
    sharp = View("heat", sensor(str(tiny_dataset), "thermal"), (40, 48))
    rgb = View("rgb", sensor(str(tiny_dataset), "rgb"), (40, 48))
    calm = Augment(rotate=25, scale=(0.6, 1.2), shift=0.1, flip=0.5, jitter=0)
    dataset = PairedDataset(str(tiny_dataset), "val", [rgb, sharp], calm, target="view:heat")
    outside = 0
    for draw in range(12):
        sample = dataset[draw, draw]
        seen, target = sample.views["heat"], sample.target
        known = ~target.isnan()
        assert torch.equal(seen[known], target[known])
        assert ((seen - 295.0).abs()[known] > 1e-3).all(), "nothing of what fills the view beyond the frame"
        outside += int((~known).any())
    assert outside > 3, "the world beyond the frame is unknown"


def test_the_targets_pixels_are_not_jittered(tiny_dataset: Path) -> None:
    varied, calm = (make(tiny_dataset, target=TARGET, augment=Augment(flip=0.5, jitter=jitter)) for jitter in (1.0, 0.0))
    assert not torch.equal(varied[0, 3].views["thermal"], calm[0, 3].views["thermal"])
    assert torch.equal(varied[0, 3].target, calm[0, 3].target)


def test_a_row_without_the_sensor_is_unlabelled(copy: Path) -> None:
    missing: list[str] = []

    def empty(row: dict[str, str]) -> None:
        if row["split"] == "val" and len(missing) < 2 and row["rgb"]:
            missing.append(row["id"])
            row["thermal"] = ""

    rewrite(copy, empty)
    dataset = make(copy, target=TARGET)
    place = {row.id: index for index, row in enumerate(dataset.rows)}
    bare = dataset[place[missing[0]]]
    assert not bare.labelled
    assert bare.target.shape == (1, 40, 48)
    assert bare.target.isnan().all()
    assert dataset.strata[place[missing[0]]] == -1
    batch = collate([bare, dataset[(place[missing[0]] + 5) % len(dataset)]])
    assert batch.target.shape == (2, 1, 40, 48)


def test_a_row_of_the_sensor_alone_teaches_nobody(copy: Path) -> None:
    left: list[str] = []

    def empty(row: dict[str, str]) -> None:
        if row["split"] == "val" and row["thermal"] and not left:
            left.append(row["id"])
            row["rgb"] = ""

    rewrite(copy, empty)
    dataset = make(copy, target=TARGET)
    assert left[0] not in {row.id for row in dataset.rows}
    assert "no rgb" in dataset.left_out
    assert left[0] in {row.id for row in make(copy, "thermal", target=TARGET).rows}, "unless it is learned from itself"


def test_a_row_of_which_a_draw_leaves_nothing_known_is_unlabelled(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make(tiny_dataset, target=TARGET)
    pixels = torch.full((1, 40, 48), torch.nan)
    monkeypatch.setattr("xkd.data.paired.seen_by", lambda *_: pixels)
    assert not dataset[0].labelled
    pixels[0, 0, 0] = 300.0
    assert dataset[0].labelled


def test_fewer_labels_and_gaps_take_the_target_away(tiny_dataset: Path) -> None:
    whole = make(tiny_dataset, split="train", target=TARGET)
    few = make(tiny_dataset, split="train", target=TARGET, labels=Labels(fraction=0.25))
    known = [(row.labels is not None) for row in few.rows]
    assert sum(known) / (whole.strata >= 0).sum() == pytest.approx(0.25, abs=0.05)
    assert few[known.index(False)].present["thermal"] or "thermal" not in few.rows[known.index(False)].files, "the teacher still sees it"
    assert few[known.index(False)].target.isnan().all()
    gaps = make(tiny_dataset, split="train", target=TARGET, gaps=Gaps(("thermal",), 0.5))
    assert (gaps.strata == -1).sum() > (whole.strata == -1).sum()


def test_shuffled_pairs_leave_the_target_with_the_students_view(tiny_dataset: Path) -> None:
    own, strange = (make(tiny_dataset, target=TARGET, augment=Augment(), shuffle=shuffle) for shuffle in (None, Shuffle("rgb")))
    assert [row.id for row in own.rows] == [row.id for row in strange.rows]
    torch.testing.assert_close(own[3].target, strange[3].target, equal_nan=True)
    assert not torch.equal(own[3].views["thermal"], strange[3].views["thermal"])


def test_windows_have_no_target(tiny_dataset: Path) -> None:
    dataset = make(tiny_dataset, target=TARGET, windows=Windows(per_frame=1))
    assert dataset[0].target.isnan().all()
    assert not dataset[0].labelled


def test_pixels_of_a_camera_without_holes_end_where_its_image_does(tiny_dataset: Path) -> None:
    thermal = View("thermal", sensor(str(tiny_dataset), "thermal"), (40, 48))
    rgb = View("rgb", sensor(str(tiny_dataset), "rgb"), (20, 24))
    dataset = PairedDataset(str(tiny_dataset), "val", [thermal, rgb], WILD, target="view:rgb")
    samples = [dataset[1, draw] for draw in range(8)]
    assert all(sample.target.shape == (3, 40, 48) for sample in samples)
    assert any(sample.target.isnan().any() for sample in samples)
    assert [number.name for number in dataset.annotation.numbers] == ["rgb 0", "rgb 1", "rgb 2"]


@pytest.mark.parametrize("cache", [False, True])
def test_it_is_there_whether_the_view_itself_is_read_or_not(tiny_dataset: Path, cache: bool) -> None:
    plain, served = (make(tiny_dataset, target=TARGET, cache=cache) for _ in range(2))
    served.serve([], {"thermal"})
    assert "thermal" not in served[2, 1].views
    torch.testing.assert_close(served[2, 1].target, plain[2, 1].target, equal_nan=True)


def test_a_loader_of_one_view_keeps_the_target(tiny_dataset: Path) -> None:
    rgb, thermal = (View(name, sensor(str(tiny_dataset), name), (16, 16)) for name in ("rgb", "thermal"))
    views: list[Any] = [rgb, {"type": View, "name": "thermal", "modality": thermal.modality, "size": (16, 16)}]
    dataset = {"type": PairedDataset, "root": str(tiny_dataset), "split": "test", "views": views, "augment": Augment(), "target": TARGET}
    batch = next(iter(build_loader({"batch_size": 4, "num_workers": 0, "dataset": dataset}, 0, views=[rgb])))
    assert batch.labelled.any()
    assert batch.target[batch.labelled].isfinite().all()


def test_what_is_refused(copy: Path) -> None:
    with pytest.raises(KeyError, match=r"target='view:' names none of the dataset's views; there are \['rgb', 'thermal'\]"):
        make(copy, target="view:")
    with pytest.raises(KeyError, match=r"target='view:lidar' names none of the dataset's views; there are \['rgb', 'thermal'\]"):
        make(copy, target="view:lidar")
    with pytest.raises(ValueError, match=r"target must be one of \['label', 'mask', 'boxes', 'nothing', 'view:NAME'\], got 'thermal'"):
        make(copy, target="thermal")
    rewrite(copy, lambda row: row.update(thermal="" if row["rgb"] else row["thermal"]))
    rewrite(copy, lambda row: row.update(split="train") if not row["rgb"] else None)
    with pytest.raises(ValueError, match=r"manifest.csv: target='view:thermal', and no row of split 'val' has thermal: fill the column"):
        make(copy, target=TARGET)


def test_a_file_that_cannot_be_read_is_named_with_its_row(copy: Path) -> None:
    dataset = make(copy, target=TARGET)
    row = dataset.rows[0]
    cv2.imwrite(str(copy / row.files["thermal"][0]), np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"row '{row.id}': .*{Path(row.files['thermal'][0]).name}"):
        dataset[0]
    skipping = make(copy, target=TARGET, on_broken="skip")
    assert skipping[0].broken
    assert skipping[0].target.isnan().all()


def write_depth(root: Path) -> None:
    """Two rows of 8x10: 4 metres as millimetres, 0 in the left half, of which the camera saw nothing."""
    for folder in ("rgb", "depth"):
        (root / folder).mkdir()
    counts = np.full((8, 10), 4000, np.uint16)
    counts[:, :5] = 0
    for number in range(2):
        cv2.imwrite(str(root / f"rgb/{number}.png"), np.full((8, 10, 3), 90, np.uint8))
        cv2.imwrite(str(root / f"depth/{number}.png"), counts)
    rows = [f"{number},train,{number},rgb/{number}.png,depth/{number}.png," for number in range(2)]
    (root / "manifest.csv").write_text("\n".join(["id,split,group,rgb,depth,label", *rows]) + "\n", "utf-8")
    toml = 'name = "d"\nclasses = []\n[modalities.rgb]\nsensor = "rgb"\n'
    toml += '[modalities.depth]\nsensor = "depth"\nscale = 0.001\nlimits = [0.5, 9.0]\n'
    (root / "manifest.toml").write_text(toml, "utf-8")


def test_what_the_sensor_did_not_see_is_unknown(tmp_path: Path) -> None:
    write_depth(tmp_path)
    views = [View(name, sensor(str(tmp_path), name), (8, 10)) for name in ("rgb", "depth")]
    target = PairedDataset(str(tmp_path), "train", views, Augment(), target="view:depth")[1].target
    assert target[..., :5].isnan().all()
    torch.testing.assert_close(target[..., 5:], torch.full((1, 8, 5), 4.0))


def test_each_channel_has_its_name_unit_and_range(tmp_path: Path) -> None:
    lidar = LiDAR(outputs=("range", "height", "valid"), range=(2.0, 80.0), mean=(20.0, -1.0, 0.5), std=(10.0, 0.5, 0.5))
    ndvi = Multispectral(outputs=("ndvi", "red"), range=(0.0, 255.0))
    both = View("both", Stack((lidar, ndvi)), (4, 4))
    assert quantities(both) == (
        Number("range", "m", (2, 80)),
        Number("height", "m", (-2, 0)),
        Number("valid", "", (0, 1)),
        Number("ndvi", "", (-1, 1)),
        Number("red", "counts", (0, 255)),
    )
    assert quantities(View("d", Depth(limits=(0.5, 8.0)), (4, 4))) == (Number("depth", "m", (0.5, 8)),)
    assert len(quantities(View("rgb", RGB(), (4, 4)))) == 3
    assert json.dumps([number.described for number in quantities(both)][:1]) == '["range (2 to 80 m)"]'
