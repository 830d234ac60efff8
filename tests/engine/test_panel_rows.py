"""What stands in a row of panels: every sensor once, attention or the classes of pixels, and what is not there left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core_models import CNN, Sensor
from torch import Tensor, nn

from xkd.batch import View
from xkd.data.sample import Sample
from xkd.engine.panels import CLASSES, Looker, panel_rows
from xkd.engine.student import Student
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import Clip
from xkd.modality import Stack
from xkd.tasks import Classification, Segmentation

NAMES = ("soil", "crop", "weed")


class Picture(Sensor):
    """A sensor that a person sees as a flat colour of its own level."""

    def show(self, image: np.ndarray) -> np.ndarray:
        return np.repeat(np.full((*image.shape[:2], 1), image.max() % 256, np.uint8), 3, axis=2)


CAMERA, HEAT = Picture(), Picture("thermal", 1, "K", (0.0, 400.0), (100.0,), (10.0,))
CAMERA_VIEW, BOTH = View("rgb", CAMERA, (16, 16)), View("both", Stack((CAMERA, HEAT)), (16, 16))


class Pixels(nn.Module):
    """Says the second class where the image is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean(1, keepdim=True) * self.scale
        return torch.cat([-bright, bright, torch.full_like(bright, -1e3)], 1)


def sample(target: Tensor, **views: Tensor) -> Sample:
    mask = torch.zeros(1, 16, 16)
    mask[:, :4] = 1
    present = {name: bool(view.any()) for name, view in views.items()}
    return Sample(views, present, target, True, mask, True, 0, -1, torch.zeros(0, 4), {"id": "one"})


def camera_image() -> Tensor:
    image = torch.full((3, 16, 16), 50.0)
    image[:, 8:] = 200.0
    return image


def test_pixels_are_shown_by_their_class_beside_the_truth() -> None:
    task = Segmentation(NAMES)
    student = Student(Branch(Pixels(), CAMERA_VIEW, Random(frozen=True), frozen=True), task, "rgb")
    target = torch.zeros(16, 16, dtype=torch.long)
    target[12:] = 1
    (row,) = panel_rows([sample(target, rgb=camera_image())], [CAMERA_VIEW], [Looker("student", student, CLASSES)])
    assert [panel.title for panel in row.panels] == ["rgb", "truth", "student"]
    assert row.panels[1].classes is not None
    assert row.panels[1].classes.tolist() == target.tolist()
    answer = row.panels[2]
    assert answer.attention is None
    assert answer.classes is not None
    assert (answer.classes[:8] == 0).all()
    assert (answer.classes[8:] == 1).all()
    assert answer.caption == "75% of pixels right"
    assert row.note == "soil 75%, crop 25%, weed 0%"


@pytest.mark.parametrize(
    ("logits", "truth", "caption", "verdict"),
    [
        ((2.0, -3.0, 1.0), (1.0, 0.0, 1.0), "soil 0.88, weed 0.73", "right"),
        ((2.0, -3.0, 1.0), (1.0, 0.0, 0.0), "soil 0.88, weed 0.73", "wrong"),
        ((-1.0, -1.0, -1.0), (0.0, 0.0, 0.0), "none", "right"),
    ],
)
def test_all_of_several_labels_are_told(logits: tuple[float, ...], truth: tuple[float, ...], caption: str, verdict: str) -> None:
    answer = Classification(NAMES, multilabel=True).answer(torch.tensor(logits).sigmoid(), torch.tensor(truth))
    assert (answer.caption, answer.verdict) == (caption, verdict)


def test_every_sensor_of_a_stack_is_shown_once() -> None:
    teacher = Student(Branch(CNN(4), BOTH, Random(frozen=True), frozen=True), Classification(NAMES), "both")
    both = torch.cat([camera_image(), torch.full((1, 16, 16), 77.0)])
    looker = Looker("teacher", teacher, "grad_cam:deep")
    (row,) = panel_rows([sample(torch.tensor(1), rgb=camera_image(), both=both)], [CAMERA_VIEW, BOTH], [looker])
    assert [panel.title for panel in row.panels] == ["rgb", "thermal", "teacher"]
    assert [int(panel.image[0, 0, 0]) for panel in row.panels] == [200, 77, 200]
    assert row.panels[2].attention is not None
    assert row.panels[2].classes is None


def test_of_a_clip_every_frame_is_shown_and_attention_lies_over_each() -> None:
    view = View("clip", Clip(CAMERA, 5), (16, 16))
    student = Student(Branch(CNN(15), view, Random(frozen=True), frozen=True), Classification(NAMES), "clip")
    frames = torch.cat([torch.full((3, 16, 16), 10.0 * number) for number in range(1, 6)])
    (row,) = panel_rows([sample(torch.tensor(1), clip=frames)], [view], [Looker("student", student, "grad_cam:deep")])
    shown, looked = row.panels
    assert shown.image[::16, ::16, 0].tolist() == [[10, 20, 30, 40], [50, 0, 0, 0]]
    assert looked.attention is not None
    assert shown.outline is not None
    height, width = looked.attention.shape
    assert np.array_equal(looked.attention[: height // 2, : width // 4], looked.attention[height // 2 :, : width // 4])
    assert shown.outline[[0, 8, 16, 24], 0].tolist() == [1, 0, 1, 0]


def test_a_network_without_its_sensor_is_left_out() -> None:
    teacher = Student(Branch(CNN(4), BOTH, Random(frozen=True), frozen=True), Classification(NAMES), "both")
    looker = Looker("teacher", teacher, "grad_cam:deep")
    absent = sample(torch.tensor(1), rgb=camera_image(), both=torch.zeros(4, 16, 16))
    (row,) = panel_rows([absent], [CAMERA_VIEW, BOTH], [looker])
    assert [panel.title for panel in row.panels] == ["rgb"]


def test_classes_of_pixels_are_no_method_for_a_whole_image() -> None:
    student = Student(Branch(CNN(3), CAMERA_VIEW, Random(frozen=True), frozen=True), Classification(NAMES), "rgb")
    with pytest.raises(
        ValueError, match=r"'classes' is what a network says of each pixel, or its boxes; this task answers by image. Legal are"
    ):
        panel_rows([sample(torch.tensor(1), rgb=camera_image())], [CAMERA_VIEW], [Looker("student", student, CLASSES)])
