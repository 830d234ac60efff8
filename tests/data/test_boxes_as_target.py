"""`target="boxes"`: from a manifest's column to the batch of a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from xkd.batch import View
from xkd.data.annotations import Labels, Masks
from xkd.data.augment import Augment
from xkd.data.boxes import Boxes
from xkd.data.loader import collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset

TOML = """name = "boxed"
licence = "made up"
source = "made up"
classes = ["person", "car"]

[modalities.rgb]
sensor = "rgb"

[modalities.near]
sensor = "rgb"
"""
ROWS = [
    "a,train,a,8 6 24 18 person;20 4 36 20 car;0 0 4 4 !,",
    "b,train,b,10 10 20 20 *,",
    "c,train,c,-,",
    "d,train,d,,",
    "e,train,e,8 6 24 18 car,0.9",
    "f,test,f,8 6 24 18 car;30 10 38 28 person,",
]


def made(root: Path, *rows: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "manifest.toml").write_text(TOML)
    lines = ["id,split,group,boxes,box_scores,rgb,near"]
    for line in rows or ROWS:
        name = line.split(",")[0]
        lines.append(f"{line},{name}.png,{name}_near.png")
        image = np.zeros((30, 40, 3), np.uint8)
        image[6:18, 8:24] = 255
        cv2.imwrite(str(root / f"{name}.png"), image)
        cv2.imwrite(str(root / f"{name}_near.png"), image)
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def dataset(root: Path, split: str = "train", augment: Augment | None = None, **arguments: Any) -> PairedDataset:
    views = [View(name, sensor(str(root), name), (60, 80)) for name in ("rgb", "near")]
    return PairedDataset(str(root), split, views, augment or Augment(flip=0, jitter=0), target="boxes", **arguments)


def test_rows_are_labelled_where_somebody_looked_and_a_dash_means_that_nothing_is_there(tmp_path: Path) -> None:
    rows = dataset(made(tmp_path / "set"))
    batch = collate([rows[index, 0] for index in range(5)])
    assert rows.annotation.kind == "boxes"
    assert rows.classes == ("person", "car")
    assert batch.labelled.tolist() == [True, True, True, False, False], "what a detector drew is no label"
    assert batch.target.shape == (5, 3, 5)
    torch.testing.assert_close(
        batch.target[0], torch.tensor([[0.2, 0.2, 0.6, 0.6, 0], [0.5, 4 / 30, 0.9, 2 / 3, 1], [0, 0, 0.1, 4 / 30, -2]])
    )
    assert batch.target[1, :, 4].tolist() == [-2, -1, -1]
    assert (batch.target[2:, :, 4] == -1).all()
    assert rows.strata.tolist() == [0, 2, 2, -1, -1]


def test_pixels_and_boxes_move_together_in_all_views(tmp_path: Path) -> None:
    rows = dataset(made(tmp_path / "set"), augment=Augment(flip=0.5, scale=(0.7, 1.0), shift=0.1, jitter=0), boxes=Boxes(0, 0))
    moved = set()
    for draw in range(8):
        sample = rows[0, draw]
        x1, y1, x2, y2, _ = sample.target[sample.target[:, 4] == 0][0].tolist()
        moved.add(round(x1, 3))
        for pixels in sample.views.values():
            ys, xs = np.nonzero(pixels[0].numpy() > 127)
            edges = np.array([xs.min() / 80, ys.min() / 60, (xs.max() + 1) / 80, (ys.max() + 1) / 60])
            np.testing.assert_allclose(edges, [x1, y1, x2, y2], atol=0.02)
    assert len(moved) > 4


def test_labels_are_a_share_of_the_rows_with_boxes(tmp_path: Path) -> None:
    many = [f"r{number},train,r{number},8 6 24 18 {'car' if number % 2 else 'person'}," for number in range(20)]
    rows = dataset(made(tmp_path / "set", *many), labels=Labels(0.2))
    samples = [rows[index, 0] for index in range(20)]
    assert sum(sample.labelled for sample in samples) == 4
    assert all((sample.target[:, 4] == -1).all() for sample in samples if not sample.labelled)
    assert sorted(float(sample.target[0, 4]) for sample in samples if sample.labelled) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,train,a,,", "b,test,b,8 6 24 18 car,"], "no row of split 'train' has a box with a class"),
        (
            ["a,train,a,8 6 24 18 car,", "b,test,b,8 6 24 18 person,"],
            r"class 'person' has boxes in split 'test' \(row 'b'\), never in 'train'",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(rows: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"manifest.csv: {message}"):
        dataset(made(tmp_path / "set", *rows))


def test_a_box_in_pixels_of_another_size_is_named_when_its_row_is_read(tmp_path: Path) -> None:
    rows = dataset(made(tmp_path / "set", "a,train,a,80 60 240 180 car,"))
    with pytest.raises(ValueError, match=r"manifest.csv: row 'a': box 80 60 240 180 .* outside its image of 40x30"):
        rows[0, 0]
    skipped = dataset(tmp_path / "set", on_broken="skip")[0, 0]
    assert not skipped.labelled
    assert skipped.target.tolist() == [[0, 0, 0, 0, -1]]


def test_rotations_and_fewer_masks_are_refused(tmp_path: Path) -> None:
    root = made(tmp_path / "set")
    with pytest.raises(ValueError, match="rotate must be 0, got 10"):
        dataset(root, augment=Augment(rotate=10))
    with pytest.raises(ValueError, match=r"needs masks.fraction=1; fewer labels are labels.fraction"):
        dataset(root, masks=Masks("boxes", fraction=0.5))
