"""A detector of regions: trained on the boxes of a few rows, it draws boxes for all of them, to steer a classifier by.

Any detector of torchvision serves, by its name. The small one is FCOS on a ResNet-18, from scratch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import get_model, list_models, resnet18
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from xkd.batch import View
from xkd.data import choose
from xkd.data.annotations import Masks
from xkd.data.augment import Augment, draw_boxes
from xkd.data.manifest import Manifest
from xkd.data.paired import PairedDataset
from xkd.data.redraw import Detections
from xkd.data.sample import Sample
from xkd.data.shots import has
from xkd.geometry import IDENTITY, Box
from xkd.graph.state_dicts import load_file

SMALL = "fcos_resnet18"
REGION = 1  # the one class; 0 is the background
COCO = 91  # classes of torchvision's own weights, background included; all that they find counts as a region
_GROUPS = 32
_CHANNELS = 64  # of the small one's pyramid
_WARM = 0.1  # share of the steps in which the learning rate rises
_TOLD = 20  # times that training says how it goes
_SMALLEST = 1.0  # pixels of the view, below which a box cannot be learned
_ANCHORS = ((8,), (16,), (32,), (64,), (128,))  # sides in pixels, one for each level of the pyramid


@dataclass(frozen=True)
class Recipe:
    """How a detector is trained: AdamW with a cosine to zero, as many steps however few rows are annotated."""

    steps: int = 500
    batch_size: int = 8
    lr: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a detector learns in 1 step or more, got {self.steps}")


def build_detector(name: str, view: View, num_classes: int = REGION + 1) -> nn.Module:
    """With one class beside the background unless told otherwise, for views of this size that are normalised already.

    `ValueError` lists the legal names.
    """
    height, width = view.size
    options: dict[str, Any] = {"image_mean": [0.0] * view.modality.channels, "image_std": [1.0] * view.modality.channels}
    if not name.startswith("ssd"):  # that one has a size of its own
        options |= {"min_size": min(height, width), "max_size": max(height, width)}
    if name == SMALL:
        # batches are too small for batch norm, and 256 channels in the pyramid would take ten times as long for one class
        body = resnet18(weights=None, norm_layer=partial(nn.GroupNorm, _GROUPS))
        if view.modality.channels != 3:
            body.conv1 = nn.Conv2d(view.modality.channels, 64, 7, 2, 3, bias=False)
        layers = {f"layer{number}": str(number) for number in range(1, 5)}
        backbone = BackboneWithFPN(body, layers, [64, 128, 256, 512], _CHANNELS)
        anchors = AnchorGenerator(_ANCHORS, ((1.0,),) * len(_ANCHORS))
        small = FCOS(backbone, num_classes=num_classes, anchor_generator=anchors, **options)
        # distances end in a ReLU: where they begin at 0 they may be 0 for ever, boxes without size
        head: Any = small.head
        nn.init.ones_(head.regression_head.bbox_reg.bias)
        network: nn.Module = small
        return network
    legal = list_models(include=["*rcnn_resnet50*", "*rcnn_mobilenet*", "fcos*", "retinanet*", "ssd*"])
    if name not in legal:
        raise ValueError(f"no detector '{name}'; there are {[SMALL, *legal]}")
    if view.modality.channels != 3:
        raise ValueError(f"torchvision's '{name}' sees three channels, view '{view.name}' has {view.modality.channels}; use {SMALL}")
    detector: nn.Module = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes, **options)
    return detector


def load_detector(path: str, name: str, view: View) -> nn.Module:
    """A plain `state_dict`, loaded weights-only: of a detector with one class, or with COCO's; `ValueError` where it is neither."""
    state, reason = load_file(path), ""
    for num_classes in (REGION + 1, COCO):
        detector = build_detector(name, view, num_classes)
        try:
            detector.load_state_dict(state)
        except RuntimeError as error:
            reason = reason or str(error).splitlines()[-1].strip()
        else:
            return detector.to(get_device())
    raise ValueError(f"{path} holds no {name} with {REGION + 1} or {COCO} classes, background included: {reason}")


def train_detector(
    name: str, manifest: Manifest, view: View, fraction: float, recipe: Recipe, steps_done: Callable[[int, float], None]
) -> tuple[nn.Module, set[str]]:
    """A detector of the boxes of `fraction` of the training rows that have boxes, and the ids of those rows.

    `steps_done` is told the number of steps and the mean loss since it was told last. `ValueError` where no training row has boxes, or
    none of the chosen ones holds one.
    """
    augment = Augment(flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.8, 1.1), shift=0.05)
    dataset = PairedDataset(str(manifest.root), "train", [view], augment, seed=recipe.seed, masks=Masks("boxes"), cache=True)
    annotated = [row for row in dataset.rows if row.boxes is not None]
    if not annotated:
        raise ValueError(f"{manifest.root}: no training row has boxes, so a detector has nothing to learn from")
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction of rows whose boxes are shown to the detector is above 0 and at most 1, got {fraction}")
    shown = choose.shown_share(annotated, manifest.classes, fraction, recipe.seed)
    rows = [index for index, row in enumerate(dataset.rows) if row.id in shown]
    if not any(dataset.rows[index].boxes for index in rows):
        raise ValueError(f"{manifest.root}: none of the {len(rows)} chosen rows holds a box; raise the fraction")
    torch.manual_seed(recipe.seed)
    device = get_device()
    detector = build_detector(name, view).train().to(device)
    optimizer = torch.optim.AdamW(detector.parameters(), recipe.lr, weight_decay=1e-4)
    warm = _WARM if _WARM * recipe.steps > 1 else 0.0  # a rise of a single step divides by zero
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=recipe.steps, pct_start=warm)
    losses: list[float] = []
    for step, (epoch, indices) in enumerate(islice(_batches(rows, recipe), recipe.steps), start=1):
        images, targets = zip(*(as_target(dataset[index, epoch], view, device) for index in indices), strict=True)
        loss = torch.stack(list(detector(list(images), list(targets)).values())).sum()
        if not loss.isfinite():
            raise FloatingPointError(f"step {step}: the detector's loss is not finite; lower its learning rate ({recipe.lr})")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % max(recipe.steps // _TOLD, 1) == 0 or step == recipe.steps:
            steps_done(step, float(np.mean(losses)))
            losses.clear()
    return detector.eval(), shown


def _batches(rows: list[int], recipe: Recipe) -> Iterator[tuple[int, list[int]]]:
    """(epoch, rows of a batch) without end."""
    for epoch in count():
        order = np.random.default_rng([recipe.seed, epoch]).permutation(rows)
        for batch in np.array_split(order, -(-len(rows) // recipe.batch_size)):
            yield epoch, batch.tolist()


@dataclass(frozen=True)
class Quality:
    """Of rows with an annotator's boxes: the share of the boxed area that was found, and of what was found, by its scores, that is boxed.

    Both by area, as the losses see it; None where there is none of it.
    """

    rows: int
    recall: float | None
    precision: float | None


def judge(detector: nn.Module, manifest: Manifest, view: View, split: str, threshold: float) -> Quality:
    if not any(row.split == split and has(row, view) for row in manifest.rows):
        return Quality(0, None, None)
    dataset = PairedDataset(str(manifest.root), split, [view], Augment(), masks=Masks("boxes"))
    annotated = {row.id: index for index, row in enumerate(dataset.rows) if row.boxes is not None}
    true = marked = both = covered = 0.0
    for name, boxes in detect(detector, manifest, view, split, threshold):
        if name in annotated:
            row, frame = dataset.rows[annotated[name]], dataset.frame(annotated[name])
            mask = _drawn([box for box, _ in row.boxes or ()], frame, view.size)
            unknown = _drawn(row.ignored, frame, view.size)  # what is found there alone is neither right nor wrong
            drawn = _drawn([box for box, _ in boxes], frame, view.size, [score for _, score in boxes]) * np.maximum(mask, 1 - unknown)
            true, marked = true + float(mask.sum()), marked + float(drawn.sum())
            both, covered = both + float((mask * drawn).sum()), covered + float(mask[drawn > 0].sum())
    return Quality(len(annotated), covered / true if true else None, both / marked if marked else None)


def _drawn(boxes: Sequence[Box], frame: Box, size: tuple[int, int], scores: Sequence[float] = ()) -> NDArray[np.float32]:
    """(H, W) as `draw_boxes`, without a draw."""
    return draw_boxes(np.array(boxes, np.float64).reshape(-1, 4), IDENTITY, frame, size, scores)[..., 0]


def as_target(sample: Sample, view: View, device: str = "cpu") -> tuple[Tensor, dict[str, Tensor]]:
    """A normalised image, and its boxes in pixels of the view; those too thin to learn are left out.

    A region to ignore shows nothing (the mean) but for the boxes that reach into it: what is there is not learned as background.
    """
    height, width = view.size
    scale = torch.tensor([width, height, width, height])
    boxes = sample.boxes * scale
    image = normalised(sample, view)
    if len(sample.ignored):
        image = torch.where(_inside(sample.ignored * scale, view.size) & ~_inside(boxes, view.size), torch.zeros_like(image), image)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= _SMALLEST).all(1)]
    target = {"boxes": boxes, "labels": torch.full((len(boxes),), REGION)}
    return image.to(device), {name: part.to(device) for name, part in target.items()}


def _inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W): pixels that any of the boxes (N, 4) touches."""
    inside = torch.zeros(size, dtype=torch.bool)
    for x1, y1, x2, y2 in boxes.tolist():
        inside[int(y1) : math.ceil(y2), int(x1) : math.ceil(x2)] = True
    return inside


def normalised(sample: Sample, view: View) -> Tensor:
    mean, std = (torch.tensor(of).reshape(-1, 1, 1) for of in (view.modality.mean, view.modality.std))
    return (sample.views[view.name].float() - mean) / std


def detect(detector: nn.Module, manifest: Manifest, view: View, split: str, threshold: float) -> Iterator[tuple[str, Detections]]:
    """Row by row, boxes in pixels of the full image with scores of at least `threshold`, the surest first."""
    dataset = PairedDataset(str(manifest.root), split, [view], Augment(), masks=Masks("none"))
    # torchvision leaves out what is below a score of its own
    head: Any = getattr(detector, "roi_heads", detector)
    head.score_thresh = threshold
    for index, row in enumerate(dataset.rows):
        with torch.no_grad():
            detections = detector.eval()([normalised(dataset[index], view).to(get_device())])[0]
        frame = dataset.frame(index)
        across, down = (frame.x2 - frame.x1) / view.size[1], (frame.y2 - frame.y1) / view.size[0]
        boxes = [
            (Box(frame.x1 + x1 * across, frame.y1 + y1 * down, frame.x1 + x2 * across, frame.y1 + y2 * down), score)
            for (x1, y1, x2, y2), score in zip(detections["boxes"].tolist(), detections["scores"].tolist(), strict=True)
            if score >= threshold and x2 > x1 and y2 > y1
        ]
        yield row.id, sorted(boxes, key=lambda box: -box[1])
