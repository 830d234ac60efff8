"""Pairs stay pairs: geometry shared, photometry apart, absences said, labels where they belong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_pairs import WILD, make

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.modalities import RGB
from xkd.modality import Shot, Stack


def centre(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    rows, columns = np.nonzero(image)
    return np.array([(columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height])


def offset_between_sensors(root: Path) -> float:
    """Largest distance, in pixels of the full image, from the thermal object to the mask over many draws (noise-free sensors)."""
    dataset = make(root, augment=Augment(rotate=25, scale=(0.8, 1.1), shift=0.05, jitter=0))
    worst = 0.0
    for index in (1, 4, 7, 10):  # discs
        for draw in range(20):
            sample = dataset[index, draw]
            hot = sample.views["thermal"][0].numpy() > 296
            worst = max(worst, float(np.abs((centre(hot) - centre(sample.mask[0].numpy() > 0.5)) * (48, 40)).max()))
    return worst


def test_every_view_and_the_mask_get_the_same_geometry(tiny_dataset: Path) -> None:
    assert offset_between_sensors(tiny_dataset) < 0.6


def test_a_stack_is_its_sensors_one_after_the_other(tiny_dataset: Path) -> None:
    root = str(tiny_dataset)
    rgb, thermal = sensor(root, "rgb"), sensor(root, "thermal")
    both = View("both", Stack((rgb, thermal)), (40, 48))
    assert (both.modality.name, both.modality.channels, both.modality.mean) == ("rgb+thermal", 4, rgb.mean + thermal.mean)
    views = [View("rgb", rgb, (40, 48)), both, View("thermal", thermal, (40, 48))]
    still = PairedDataset(root, "train", views, replace(WILD, jitter=0))
    for index, draw in ((0, -1), (0, 3), (7, 2)):
        sample = still[index, draw]
        assert torch.equal(sample.views["both"], torch.cat([sample.views["rgb"].float(), sample.views["thermal"]]))
    varied = PairedDataset(root, "train", views, replace(WILD, jitter=1))[0, 3].views["both"]
    assert (varied[:3] != still[0, 3].views["both"][:3]).any()
    assert (varied[3:] != still[0, 3].views["both"][3:]).any()
    alone = PairedDataset(root, "train", [both], WILD)
    assert {row.id for row in alone.rows}.isdisjoint({"train-3", "train-4", "train-5"}), "half a stack is none"
    assert [still[index].present for index in (2, 3)] == [
        {"rgb": True, "both": True, "thermal": True},
        {"rgb": True, "both": False, "thermal": False},
    ]
    assert not still[3].views["both"].any()
    with pytest.raises(ValueError, match=r"two sensors or more, of different names; got \['rgb', 'rgb'\]"):
        Stack((rgb, rgb))


def test_the_check_sees_a_misaligned_sensor(copy: Path) -> None:
    for path in (copy / "thermal").iterdir():
        cv2.imwrite(str(path), np.roll(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), 2, axis=1))
    assert offset_between_sensors(copy) > 1.2


def test_a_sample_is_a_function_of_seed_row_and_draw(tiny_dataset: Path) -> None:
    one, other = make(tiny_dataset), make(tiny_dataset)
    for _ in range(3):
        one[5, 1]
    assert torch.equal(one[2, 7].views["rgb"], other[2, 7].views["rgb"])
    assert not torch.equal(one[2, 7].mask, one[1, 8].mask)
    assert not torch.equal(one[2, 7].views["rgb"], one[2, 8].views["rgb"])
    assert not torch.equal(one[2, 7].views["rgb"], make(tiny_dataset, seed=1)[2, 7].views["rgb"])
    assert torch.equal(one[2].views["rgb"], one[2, -1].views["rgb"])


def test_adding_a_view_changes_nothing_in_the_others(tiny_dataset: Path) -> None:
    alone, both = make(tiny_dataset, "rgb")[3, 2], make(tiny_dataset, "rgb", "thermal")[3, 2]
    assert torch.equal(alone.views["rgb"], both.views["rgb"])
    assert torch.equal(alone.mask, both.mask)


def test_views_of_one_sensor_share_the_geometry_and_jitter_apart(tiny_dataset: Path) -> None:
    camera = sensor(str(tiny_dataset), "rgb")
    views = [View("left", camera, (40, 48)), View("right", camera, (40, 48))]
    still = PairedDataset(str(tiny_dataset), "val", views, Augment(rotate=25, jitter=0))[1, 0]
    assert torch.equal(still.views["left"], still.views["right"])
    lively = PairedDataset(str(tiny_dataset), "val", views, Augment(rotate=25))[1, 0]
    assert not torch.equal(lively.views["left"], lively.views["right"])


def test_a_view_of_few_pixels_is_the_average_of_the_same_crop(tiny_dataset: Path) -> None:
    camera = sensor(str(tiny_dataset), "rgb")
    views = [View("rgb_low", camera, (10, 12)), View("rgb", camera, (40, 48))]
    dataset = PairedDataset(str(tiny_dataset), "val", views, Augment(rotate=20, scale=(0.9, 1.0), jitter=0))
    image = dataset[1].views["rgb"].permute(1, 2, 0).numpy()
    assert np.array_equal(dataset[1].views["rgb_low"].permute(1, 2, 0), cv2.resize(image, (12, 10), interpolation=cv2.INTER_AREA))
    drawn = dataset[1, 0].views
    blocks = drawn["rgb"].float().reshape(3, 10, 4, 12, 4)
    few = drawn["rgb_low"].float()
    averaged, subsampled = blocks.mean((2, 4)), blocks[:, :, 2, :, 2]
    assert (few - averaged).abs().mean() < (few - subsampled).abs().mean() / 2


def test_no_augmentation_is_a_resize_of_the_crop(tiny_dataset: Path) -> None:
    dataset = make(tiny_dataset, "rgb", split="train")
    image = RGB().read(Shot((tiny_dataset / "rgb/00.png",)))
    assert np.array_equal(dataset[0].views["rgb"].permute(1, 2, 0), image)
    crop = next(index for index, row in enumerate(dataset.rows) if row.id == "train-7")
    source = RGB().read(Shot((tiny_dataset / dataset.rows[crop].files["rgb"][0],)))
    fill = [round(value) for value in RGB().mean]
    padded = cv2.copyMakeBorder(source[4:40, :42], 0, 4, 6, 0, cv2.BORDER_CONSTANT, value=fill)
    assert np.array_equal(dataset[crop].views["rgb"].permute(1, 2, 0), cv2.resize(padded, (48, 40)))


def test_rows_say_what_is_missing(tiny_dataset: Path) -> None:
    dataset = make(tiny_dataset, split="train")
    assert dataset.left_out == {"no rgb and no thermal": 1}
    assert make(tiny_dataset, "rgb", split="train").left_out == {"no rgb": 2}
    ids = [row.id for row in dataset.rows]
    assert "train-5" not in ids
    sample = dataset[ids.index("train-3")]
    assert sample.present == {"rgb": True, "thermal": False}
    assert sample.views["thermal"].shape == (1, 20, 24)
    assert not sample.views["thermal"].any()
    assert not dataset[ids.index("train-6")].masked
    unlabelled = dataset[ids.index("train-9")]
    assert (unlabelled.labelled, unlabelled.target.item()) == (False, -1)
    assert unlabelled.masked


def test_boxes_make_a_mask(tiny_dataset: Path) -> None:
    from_boxes, from_masks = make(tiny_dataset, masks=Masks("boxes")), make(tiny_dataset)
    for index in (2, 5, 8, 11):  # bars fill their boxes
        for draw in range(5):
            drawn, read = from_boxes[index, draw].mask, from_masks[index, draw].mask
            assert (drawn - read).abs().mean() < 0.012
    assert from_boxes[0].masked
    assert from_boxes[0].mask.sum() == 0
    assert not make(tiny_dataset, masks=Masks("none"))[1].masked


def test_other_sensors_files_are_never_touched(copy: Path) -> None:
    shutil.rmtree(copy / "thermal")
    shutil.rmtree(copy / "mask")
    assert make(copy, "rgb", masks=Masks("none"))[0].present == {"rgb": True}
    with pytest.raises(FileNotFoundError, match=r"thermal/24\.png: no such file; row 'val-0' .*24 of 36"):
        make(copy)


def test_cache_changes_nothing(tiny_dataset: Path) -> None:
    plain, cached = make(tiny_dataset), make(tiny_dataset, cache=True)
    for draw in (-1, 0, 1):
        for _ in range(2):
            assert torch.equal(plain[1, draw].views["thermal"], cached[1, draw].views["thermal"])
            assert torch.equal(plain[1, draw].views["rgb"], cached[1, draw].views["rgb"])


def test_several_labels(copy: Path) -> None:
    text = (copy / "manifest.toml").read_text("utf-8")
    (copy / "manifest.toml").write_text('labels = "multi"\n' + text, "utf-8")
    rows = (copy / "manifest.csv").read_text("utf-8").replace("thermal/24.png,blank", "thermal/24.png,disc;bar")
    (copy / "manifest.csv").write_text(rows, "utf-8")
    dataset = make(copy)
    assert dataset[0].target.tolist() == [0, 1, 1]
    assert dataset.targets.shape == (12, 3)
    assert dataset.strata[0] == 1  # discs and bars are equally rare: the first
    assert make(copy, split="train").targets.min() == -1


def test_crops_scale_with_images_of_other_sizes(copy: Path) -> None:
    for path in (copy / "thermal").iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), cv2.resize(image, (24, 20), interpolation=cv2.INTER_AREA))
    with (copy / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write("[pairs]\nsame_size = false\nsize = [48, 40]\n")
    assert offset_between_sensors(copy) < 0.8
    dataset = make(copy, split="train", augment=Augment(jitter=0))
    crop = next(index for index, row in enumerate(dataset.rows) if row.id == "train-7")
    sample = dataset[crop]
    hot = sample.views["thermal"][0].numpy() > 296
    assert np.abs((centre(hot) - centre(sample.mask[0].numpy() > 0.5)) * (48, 40)).max() < 1
