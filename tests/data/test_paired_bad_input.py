"""Pairs that cannot be read, and arguments that cannot be right: the error names row, file and what is legal."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_pairs import WILD, make

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest
from xkd.data.paired import PairedDataset
from xkd.data.shuffle import Shuffle
from xkd.modalities import RGB, LiDAR


def test_sizes_within_a_pair(copy: Path) -> None:
    cv2.imwrite(str(copy / "thermal/24.png"), np.full((20, 24), 29000, np.uint16))
    with pytest.raises(ValueError, match=r"row 'val-0': sizes differ within the pair: rgb 48x40, thermal 24x20; .*same_size = false"):
        make(copy)[0]
    with (copy / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write("[pairs]\nsame_size = false\nsize = [48, 40]\n")
    assert make(copy)[0].present == {"rgb": True, "thermal": True}
    assert Manifest.load(copy).pairs.size == (48, 40)


def test_unreadable_files_name_file_and_row(copy: Path) -> None:
    dataset = make(copy)
    (copy / "rgb/24.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"row 'val-0': .*rgb/24\.png: not an image"):
        dataset[0]
    (copy / "rgb/24.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"row 'val-0': .*rgb/24\.png"):
        dataset[0]
    cv2.imwrite(str(copy / "mask/25.png"), np.full((40, 48), 9, np.uint8))
    with pytest.raises(ValueError, match=r"mask/25\.png: row 'val-1': mask codes \[9\]; manifest.toml has {'background': 0, 'object': 1}"):
        dataset[1]
    cv2.imwrite(str(copy / "mask/26.png"), np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(ValueError, match=r"row 'val-2': .*8-bit grey image of codes"):
        dataset[2]
    cv2.imwrite(str(copy / "mask/27.png"), np.zeros((20, 24), np.uint8))
    with pytest.raises(ValueError, match=r"mask/27\.png: row 'val-3'"):
        dataset[3]


def test_wrong_arguments(tiny_dataset: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown split 'tset'; legal are"):
        make(tiny_dataset, split="tset")
    with pytest.raises(ValueError, match=r"source must be one of \['mask', 'boxes', 'none'\], got 'lesion'"):
        Masks("lesion")
    with pytest.raises(ValueError, match=r"target must be one of \['label', 'mask', 'boxes', 'nothing', 'view:NAME'\], got 'masks'"):
        make(tiny_dataset, target="masks")
    with pytest.raises(ValueError, match=r"^within must be one of \['all', 'class'\], got 'classes'"):
        Shuffle("rgb", within="classes")
    with pytest.raises(KeyError, match=r"shuffle\.anchor names view 'rbg'; there are \['rgb', 'thermal'\]"):
        make(tiny_dataset, shuffle=Shuffle("rbg"))
    with pytest.raises(KeyError, match=r"view 'eye' wants modality 'lidar'; it has \['rgb', 'thermal'\]"):
        PairedDataset(str(tiny_dataset), "val", [View("eye", RGB(name="lidar"), (8, 8))], WILD)
    with pytest.raises(ValueError, match="different names"):
        make(tiny_dataset, "rgb", "rgb")
    with pytest.raises(IndexError, match="no row 12"):
        make(tiny_dataset)[12]


def test_a_class_that_only_test_has_cannot_be_learned(tiny_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "tiny"
    shutil.copytree(tiny_dataset, root)
    lines = (root / "manifest.csv").read_text("utf-8").split("\n")
    lines = [line.replace(",bar,", ",disc,") if ",train," in line else line for line in lines]
    (root / "manifest.csv").write_text("\n".join(lines), "utf-8")
    with pytest.raises(ValueError, match=r"manifest\.csv: class 'bar' is in split '\w+' \(row '.*'\), never in 'train'"):
        make(root, "rgb", split="train")
    assert len(make(root, "rgb", split="test")) > 0, "testing does not ask what was trained"


def test_a_crop_outside_its_image_is_no_sample(copy: Path) -> None:
    text = (copy / "manifest.csv").read_text("utf-8")
    (copy / "manifest.csv").write_text(text.replace("-6 4 42 44", "500 500 600 600", 1), "utf-8")
    dataset = make(copy, "rgb", split="train")
    with pytest.raises(ValueError, match=r"row 'train-7': crop \(500.0, .*\) lies outside its frame of 48x40"):
        dataset[next(index for index, row in enumerate(dataset.rows) if row.id == "train-7")]


def test_a_birds_eye_view_is_not_turned_with_the_camera(copy: Path) -> None:
    above = View("above", LiDAR(project="above"), (8, 8))
    with pytest.raises(ValueError, match="'above' is a bird's-eye view, which the camera's rotation would shear: rotate must be 0"):
        PairedDataset(str(copy), "train", [above], Augment(rotate=5.0))
