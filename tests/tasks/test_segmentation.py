"""Segmentation: targets from masks under every draw, a head on any backbone, and measures over pixels that count."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import timm
import torch
from core_models import RGB, RGB_VIEW, TASK, THERMAL, unchecked
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

from xkd import statistics
from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.loader import collate
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.example import example_batch
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, CrossEntropy
from xkd.tasks import PixelHead, Segmentation

CLASSES = ("soil", "crop", "weed")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rows of 40x60: soil left, crop right, a square of weed, a strip that nobody looked at; row 3 has no mask."""
    folder = tmp_path_factory.mktemp("pixels")
    lines = ["id,split,group,rgb,mask"]
    for name in ("rgb", "mask"):
        (folder / name).mkdir()
    for number in range(4):
        codes = np.zeros((40, 60), np.uint8)
        codes[:, 30:] = 1
        codes[10:20, 40 + number : 50 + number] = 2
        codes[36:] = 9
        cv2.imwrite(str(folder / f"mask/{number}.png"), codes)
        cv2.imwrite(str(folder / f"rgb/{number}.png"), np.dstack([codes * 20] * 3))
        lines.append(
            f"{number},{'train' if number < 3 else 'test'},{number},rgb/{number}.png,{'' if number == 2 else f'mask/{number}.png'}"
        )
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "manifest.toml").write_text(
        'name = "pixels"\nclasses = ["field"]\n[modalities.rgb]\nsensor = "rgb"\n[mask]\n'
        'values = { soil = 0, crop = 1, weed = 2, unknown = 9 }\npositive = ["crop", "weed"]\nignore = ["unknown"]\n',
        "utf-8",
    )
    return folder


def _dataset(root: Path, size: tuple[int, int] = (40, 60), mask: Literal["mask", "none"] = "mask") -> PairedDataset:
    view = View("rgb", sensor(str(root), "rgb"), size)
    return PairedDataset(str(root), "train", [view], Augment(rotate=30, scale=(0.7, 1.2), jitter=0), masks=Masks(mask), target="mask")


def test_targets_are_the_masks_classes(root: Path) -> None:
    dataset = _dataset(root)
    assert dataset.classes == CLASSES
    sample = dataset[0]
    codes = cv2.imread(str(root / "mask/0.png"), cv2.IMREAD_UNCHANGED).astype(int)
    assert np.array_equal(sample.target, np.where(codes == 9, -1, codes))
    assert sample.labelled
    bare = dataset[2]
    assert not bare.labelled
    assert (bare.target == -1).all()
    assert dataset.strata.tolist() == [3, 3, -1], "a mask is what makes a row labelled"


def test_targets_follow_the_draw_and_end_where_the_image_does(root: Path) -> None:
    dataset, outside = _dataset(root, size=(30, 44)), 0
    for draw in range(30):
        sample = dataset[1, draw]
        weed = (sample.target == 2).float()
        shown = ((sample.views["rgb"][0].float() - 40).abs() < 10).float() * (sample.target >= 0)
        assert (weed - shown).abs().sum() < 0.35 * max(weed.sum(), 20), "pixels on the edge aside"
        outside += int((sample.target == -1).any())
    assert outside > 20, "the strip that nobody looked at, or the world beyond the frame"


def test_a_dataset_without_masks_cannot_make_targets_of_them(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"target='mask' needs \[mask\] in manifest.toml, masks.source='mask' and masks.fraction=1 here"):
        _dataset(root, mask="none")
    shutil.copytree(root, tmp_path / "set")
    text = (tmp_path / "set/manifest.toml").read_text("utf-8")
    for old, new, message in (
        ('ignore = ["unknown"]', 'ignore = ["sky"]', "positive and ignore name 'sky'"),
        ('ignore = ["unknown"]', 'ignore = ["weed"]', "'weed' is positive and ignored"),
    ):
        (tmp_path / "set/manifest.toml").write_text(text.replace(old, new), "utf-8")
        with pytest.raises(ValueError, match=message):
            Manifest.load(tmp_path / "set")


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_a_head_on_any_backbone_learns_pixels(root: Path, name: str) -> None:
    torch.manual_seed(0)
    options = {"img_size": 64} if name.startswith("vit") else {}
    backbone = timm.create_model(name, features_only=True, out_indices=(1,), **options)
    size = (64, 64)
    dataset = _dataset(root, size=size)
    task = Segmentation(CLASSES)
    branch = Branch(PixelHead(backbone, 3), dataset.views[0], Random())
    distiller = Distiller({"rgb": branch}, {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")}, "rgb", task)
    distiller.bind()
    batch = collate([dataset[0], dataset[1], dataset[2]])
    optimizer = torch.optim.AdamW(distiller.parameters(), 1e-3)
    losses = []
    for _ in range(20):
        step = distiller(batch)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(step.loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert distiller.predict(batch).shape == (3, 3, *size)


def test_soft_targets_of_pixels_pass_between_grids() -> None:
    task = Segmentation(CLASSES)
    nets = [PixelHead(timm.create_model("resnet10t", features_only=True, out_indices=(stage,)), 3) for stage in (1, 3)]
    branches = {
        "coarse": Branch(nets[1], RGB_VIEW, Random(frozen=True), frozen=True),
        "fine": Branch(nets[0], RGB_VIEW, Random()),
    }
    distiller = Distiller(branches, {"kd": Term(KD(), "fine.output", "coarse.output")}, "fine", task)
    distiller.bind()
    step = distiller(example_batch([RGB_VIEW], task, 2, torch.device("cpu")))
    assert torch.isfinite(step.loss)


@pytest.mark.parametrize("first", ["coarse", "fine"])
def test_teacher_and_student_see_views_of_two_sizes(first: str) -> None:
    task = Segmentation(CLASSES)
    views = {"coarse": View("thermal", THERMAL, (32, 48)), "fine": View("rgb", RGB, (64, 96))}
    nets = {
        name: PixelHead(timm.create_model("resnet10t", features_only=True, out_indices=(1,), in_chans=view.modality.channels), 3)
        for name, view in views.items()
    }
    branches = {
        "coarse": Branch(nets["coarse"], views["coarse"], Random(frozen=True), frozen=True),
        "fine": Branch(nets["fine"], views["fine"], Random()),
    }
    terms = {"ce": Term(CrossEntropy(), "fine.output", "batch.target"), "kd": Term(KD(), "fine.output", "coarse.output")}
    distiller = Distiller(dict(sorted(branches.items(), reverse=first == "fine")), terms, "fine", task)
    distiller.bind()
    step = distiller(example_batch([views["fine"], views["coarse"]], task, 2, torch.device("cpu")))
    assert torch.isfinite(step.loss)
    alone = example_batch([views["coarse"]], task, 2, torch.device("cpu"))  # as the teacher is measured, on masks of its own size
    assert branches["coarse"](alone, task)["output"].shape == (2, 3, 32, 48)


def test_what_is_no_pixel_network_is_named() -> None:
    with pytest.raises(ValueError, match="needs a backbone with one feature map, ResNet has"):
        PixelHead(timm.create_model("resnet10t"), 3)
    batch = example_batch([RGB_VIEW], Segmentation(CLASSES), 2, torch.device("cpu"))
    with unchecked(), pytest.raises(ValueError, match=r"gives \(2, 3\), segmentation into 3 classes .* PixelHead makes it"):
        Segmentation(CLASSES).call(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(3)), torch.zeros(2, 3, 8, 8), batch)
    with pytest.raises(ValueError, match="at least two different classes"):
        Segmentation(("soil", "soil"))


def test_measures_are_over_pixels_that_count() -> None:
    target = np.array([[[0, 0, 1, -1], [1, 1, 2, -1]]])
    predicted = np.array([[[0, 1, 1, 2], [1, 1, 0, 0]]])
    probabilities = np.eye(3, dtype=np.float32)[predicted].transpose(0, 3, 1, 2)
    run = statistics.TestRun(np.array(["a"]), probabilities, target, np.array(["a"]))
    measures = Segmentation(CLASSES).measures()
    assert measures.confusion is not None
    counts = measures.confusion(run)
    assert counts.tolist() == [[1, 1, 0], [0, 3, 0], [1, 0, 0]]
    expected = np.mean([1 / 3, 3 / 4, 0])
    values = measures.of(run)
    assert values["mean_iou"] == pytest.approx(expected)
    assert values["accuracy"] == pytest.approx(4 / 6)
    given = torch.from_numpy(probabilities), torch.from_numpy(target)
    theirs = {"mean_iou": MulticlassJaccardIndex(3, ignore_index=-1), "macro_f1": MulticlassF1Score(3, average="macro", ignore_index=-1)}
    assert {name: values[name] for name in theirs} == pytest.approx({name: float(of(*given)) for name, of in theirs.items()}, abs=1e-6)
    assert "balanced_accuracy" not in values
    assert TASK.classes, "and classification keeps its own"
