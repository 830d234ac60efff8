"""Insertion and deletion: areas by hand for a network whose evidence is known, and which way they point."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from xkd.attention import insertion_deletion
from xkd.attention.faithfulness import STEPS
from xkd.batch import Number, View
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.tasks import Classification, Regression, Segmentation, Task


class Corner(nn.Module):
    """Class 1 is as likely as the upper left quarter is bright; nothing else counts."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, :, :8, :8].mean((1, 2, 3)).clamp(1e-4, 1 - 1e-4)
        return torch.stack([(1 - bright).log(), bright.log(), torch.full_like(bright, -50.0)], 1)


@pytest.fixture
def branch() -> Branch:
    return Branch(Corner(), View("rgb", RGB(mean=(0.0,) * 3, std=(1.0,) * 3), (16, 16)), Random(frozen=True), frozen=True)


def areas(branch: Branch, task: Classification, attention: Tensor) -> tuple[float, float]:
    images = torch.zeros(1, 3, 16, 16)
    images[..., :8, :8] = 1.0
    inserted, deleted = insertion_deletion(branch, images, task, attention, torch.tensor([1]))
    return inserted.item(), deleted.item()


def test_areas_by_hand(branch: Branch, task: Classification) -> None:
    attention = torch.zeros(1, 1, 16, 16)
    attention[..., :8, :8] = 1.0
    curve = [max(1 - 4 * step / STEPS, 0.0) for step in range(STEPS + 1)]  # the quarter is gone after a quarter of the steps
    by_hand = sum((one + other) / 2 / STEPS for one, other in itertools.pairwise(curve))
    assert areas(branch, task, attention)[1] == pytest.approx(by_hand, abs=1e-3)


def test_a_map_of_the_evidence_beats_one_of_the_rest(branch: Branch, task: Classification) -> None:
    evidence = torch.zeros(1, 1, 4, 4)
    evidence[..., :2, :2] = 1.0
    inserted, deleted = areas(branch, task, evidence)
    inserted_last, deleted_last = areas(branch, task, 1 - evidence)
    assert inserted > inserted_last  # a blurred image keeps most of a bright quarter
    assert deleted < deleted_last - 0.5


def test_any_size_of_image_is_blurred(task: Classification) -> None:
    for side in (8, 9, 224):
        branch = Branch(Corner(), View("rgb", RGB(mean=(0.0,) * 3, std=(1.0,) * 3), (side, side)), Random(frozen=True), frozen=True)
        scores = insertion_deletion(branch, torch.rand(2, 3, side, side), task, torch.rand(2, 1, 3, 3), torch.tensor([0, 1]))
        assert all(((area >= 0) & (area <= 1)).all() for area in scores)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Regression((Number("a", "", (0, 1)), Number("b", "", (0, 1)))), r"this task answers with numbers, \(1, 2\)"),
        (Segmentation(("a", "b")), r"this task answers with classes, \(1, 2, 8, 8\)"),
    ],
)
def test_what_has_no_probability_of_a_class_is_not_followed(task: Task, message: str) -> None:
    network = nn.Conv2d(3, 2, 1) if task.grid else nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    branch = Branch(network, View("rgb", RGB(), (8, 8)), Random())
    with pytest.raises(ValueError, match=message):
        insertion_deletion(branch, torch.rand(1, 3, 8, 8), task, torch.rand(1, 1, 3, 3), torch.tensor([0]))
