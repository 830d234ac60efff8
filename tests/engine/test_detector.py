"""A detector of regions on the tiny data set: it learns bright shapes, draws them in full-image pixels, and leaves the files alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.data.redraw import with_boxes
from xkd.engine.detector import SMALL, Recipe, as_target, build_detector, detect, judge, load_detector, train_detector
from xkd.geometry import Box


@pytest.fixture
def manifest(tiny_dataset: Path) -> Manifest:
    return Manifest.load(tiny_dataset)


@pytest.fixture
def view(tiny_dataset: Path) -> View:
    return View("rgb", sensor(str(tiny_dataset), "rgb"), (64, 64))


def quiet(epoch: int, loss: float) -> None:
    pass


def test_targets_are_pixels_of_the_view(manifest: Manifest, view: View) -> None:
    dataset = PairedDataset(str(manifest.root), "train", [view], Augment(), masks=Masks("boxes"))
    index = next(at for at, row in enumerate(dataset.rows) if row.boxes)
    image, target = as_target(dataset[index], view)
    assert image.shape == (3, 64, 64)
    assert abs(float(image.mean())) < 3
    expected = dataset[index].boxes * 64
    assert torch.equal(target["boxes"], expected)
    assert target["labels"].tolist() == [1] * len(expected)


def test_a_region_to_ignore_shows_nothing_but_boxes(manifest: Manifest, view: View) -> None:
    dataset = PairedDataset(str(manifest.root), "train", [view], Augment(), masks=Masks("boxes"))
    sample = replace(dataset[0], boxes=torch.tensor([[0.0, 0.0, 0.25, 0.25]]), ignored=torch.tensor([[0.0, 0.0, 0.5, 0.5]]))
    image, _ = as_target(sample, view)
    whole, _ = as_target(replace(sample, ignored=torch.zeros(0, 4)), view)
    assert torch.equal(image[:, :16, :16], whole[:, :16, :16])
    assert not image[:, 16:32, :32].any()
    assert not image[:, :32, 16:32].any()
    assert torch.equal(image[:, 32:], whole[:, 32:])


@pytest.mark.parametrize("steps", [1, 2, 10, 11])
def test_any_number_of_steps(manifest: Manifest, view: View, steps: int) -> None:
    detector, _ = train_detector(SMALL, manifest, replace(view, size=(32, 32)), 1.0, Recipe(steps=steps, batch_size=2), quiet)
    assert all(parameter.isfinite().all() for parameter in detector.parameters())


def test_a_frame_is_the_crop_or_the_whole_image(manifest: Manifest, view: View) -> None:
    dataset = PairedDataset(str(manifest.root), "train", [view], Augment(), masks=Masks("none"))
    cropped = next(at for at, row in enumerate(dataset.rows) if row.crop is not None)
    assert dataset.frame(cropped) == dataset.rows[cropped].crop
    whole = next(at for at, row in enumerate(dataset.rows) if row.crop is None)
    frame = dataset.frame(whole)
    assert (frame.x1, frame.y1) == (0, 0)
    assert min(frame.x2, frame.y2) > 8


@pytest.mark.slow
def test_it_finds_the_shapes_that_it_was_not_shown(manifest: Manifest, view: View) -> None:
    view = replace(view, size=(32, 32))
    detector, shown = train_detector(SMALL, manifest, view, 0.7, Recipe(steps=200, batch_size=4), quiet)
    rows = {row.id: row for row in manifest.rows}
    hits = []
    for name, boxes in detect(detector, manifest, view, "train", 0.3):
        if name not in shown and rows[name].boxes:
            hits.append(any(_iou(box, rows[name].boxes[0][0]) > 0.3 for box, _ in boxes))
    assert hits
    assert sum(hits) >= len(hits) / 2


def _iou(one: Box, other: Box) -> float:
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    inside = max(width, 0) * max(height, 0)
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)]
    return inside / (sum(areas) - inside)


def test_boxes_are_told_in_pixels_of_the_full_image(manifest: Manifest, view: View) -> None:
    class Middle(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            return [{"boxes": torch.tensor([[16.0, 16, 48, 48], [0, 0, 64, 64], [5, 5, 5, 9]]), "scores": torch.tensor([0.3, 0.9, 0.99])}]

    dataset = PairedDataset(str(manifest.root), "train", [view], Augment(), masks=Masks("none"))
    detections = dict(detect(Middle(), manifest, view, "train", 0.2))
    for index, row in enumerate(dataset.rows):
        frame = dataset.frame(index)
        (whole, first), (middle, second) = detections[row.id]
        assert (first, second) == (pytest.approx(0.9), pytest.approx(0.3)), "the surest first, the empty one left out"
        assert whole == pytest.approx(frame)
        assert middle.x2 - middle.x1 == pytest.approx((frame.x2 - frame.x1) / 2)
        assert middle.x1 == pytest.approx(frame.x1 + (frame.x2 - frame.x1) / 4)
    assert not any(boxes for _, boxes in detect(Middle(), manifest, view, "train", 1.0))


@pytest.mark.parametrize(("score", "threshold"), [(0.9, 0.5), (0.3, 0.5)])
def test_what_is_found_is_judged_by_area(score: float, threshold: float, manifest: Manifest, view: View) -> None:
    class Whole(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            return [{"boxes": torch.tensor([[0.0, 0, 64, 64]]), "scores": torch.tensor([score])}]

    dataset = PairedDataset(str(manifest.root), "val", [view], Augment(), masks=Masks("boxes"))
    masks = [dataset[index].mask for index, row in enumerate(dataset.rows) if row.boxes is not None]
    quality = judge(Whole(), manifest, view, "val", threshold)
    assert quality.rows == len(masks) > 0
    if score < threshold:
        assert (quality.recall, quality.precision) == (0.0, None)
    else:
        assert quality.recall == pytest.approx(1.0)
        assert quality.precision == pytest.approx(float(torch.stack(masks).mean()), abs=1e-4), "all is found, and little of it is a box"


def test_boxes_that_are_hit_and_missed_are_told_apart(manifest: Manifest, view: View) -> None:
    dataset = PairedDataset(str(manifest.root), "val", [view], Augment(), masks=Masks("boxes"))
    samples = iter([dataset[index] for index in range(len(dataset.rows))])

    class Knows(torch.nn.Module):
        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            boxes = next(samples).boxes * 64
            return [{"boxes": boxes, "scores": torch.full((len(boxes),), 0.5)}]

    quality = judge(Knows(), manifest, view, "val", 0.1)
    assert quality.recall == pytest.approx(1.0, abs=0.01)
    assert quality.precision is not None
    assert quality.precision > 0.8, "but for the edges, which the mask shares with what lies around"


def test_a_data_set_with_other_boxes_shares_files_and_rows(manifest: Manifest, view: View, tmp_path: Path) -> None:
    one = next(row for row in manifest.rows if row.split == "train" and row.boxes)
    other = next(row for row in manifest.rows if row.split == "train" and row.boxes and row.id != one.id)
    out = with_boxes(manifest, {one.id: [(Box(1, 2, 8.5, 9), 0.625)], other.id: []}, tmp_path / "redrawn")
    made = Manifest.load(out)
    rows = {row.id: row for row in made.rows}
    assert rows[one.id].boxes == ((Box(1, 2, 8.5, 9), "*"),)
    assert rows[one.id].scores == (0.625,)
    assert rows[other.id].boxes == ()
    kept = [row for row in manifest.rows if row.id not in (one.id, other.id)]
    assert all(rows[row.id] == row for row in kept)
    sample = PairedDataset(str(out), "train", [view], Augment(), masks=Masks("boxes"))
    index = next(at for at, row in enumerate(sample.rows) if row.id == one.id)
    assert sample[index].mask.max() <= 0.63
    with pytest.raises(FileExistsError, match="is there already; remove it to make it anew, or name another folder"):
        with_boxes(manifest, {}, out)


def test_other_detectors_and_their_weights(view: View, manifest: Manifest, tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = build_detector(SMALL, view)
    torch.save(detector.state_dict(), tmp_path / "detector.pth")
    again = load_detector(str(tmp_path / "detector.pth"), SMALL, view)
    assert all(torch.equal(a, b) for a, b in zip(detector.state_dict().values(), again.state_dict().values(), strict=True))
    assert build_detector("ssdlite320_mobilenet_v3_large", view).training
    thermal = View("thermal", sensor(str(manifest.root), "thermal"), (32, 48))
    image = torch.rand(1, 32, 48)
    assert build_detector(SMALL, thermal).eval()([image])
    with pytest.raises(ValueError, match="sees three channels, view 'thermal' has 1; use fcos_resnet18"):
        build_detector("ssdlite320_mobilenet_v3_large", thermal)
    with pytest.raises(ValueError, match=r"no detector 'yolo'; there are \['fcos_resnet18', 'faster"):
        build_detector("yolo", view)


def test_the_first_boxes_have_a_size(view: View) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        detector: Any = build_detector(SMALL, view).eval()
        detector.score_thresh = 0.0
        (detections,) = detector([torch.randn(3, 64, 64)])
        assert len(detections["boxes"]) > 0
        assert ((detections["boxes"][:, 2:] - detections["boxes"][:, :2]) > 0).all(), "a distance of 0 has no gradient"


def test_the_threshold_is_the_callers(manifest: Manifest, view: View) -> None:
    torch.manual_seed(0)
    fresh = build_detector(SMALL, view)  # is sure of nothing; torchvision would leave out what is below 0.2
    assert any(boxes for _, boxes in detect(fresh, manifest, view, "val", 0.01))
    assert not any(boxes for _, boxes in detect(fresh, manifest, view, "val", 0.9))
    regional: Any = build_detector("fasterrcnn_mobilenet_v3_large_320_fpn", view)
    next(detect(regional, manifest, view, "val", 0.015))
    assert regional.roi_heads.score_thresh == 0.015


def test_bad_requests(manifest: Manifest, view: View) -> None:
    with pytest.raises(ValueError, match=r"above 0 and at most 1, got 1\.5"):
        train_detector(SMALL, manifest, view, 1.5, Recipe(), quiet)


def test_one_step_of_training(manifest: Manifest, view: View) -> None:
    seen = []
    detector, shown = train_detector(SMALL, manifest, view, 0.2, Recipe(steps=1, batch_size=2), lambda epoch, loss: seen.append(loss))
    assert len(seen) == 1
    assert shown
    assert not detector.training
