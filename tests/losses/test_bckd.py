from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from xkd.losses import BCKD


def given() -> tuple[Tensor, Tensor]:
    student, teacher = BCKD.contract_inputs(torch.Generator().manual_seed(0))
    return student, teacher


@pytest.mark.parametrize("boxes", [0.0, 4.0])
@pytest.mark.parametrize("sure", [0.0, 0.7])
def test_the_papers_formula_place_by_place(boxes: float, sure: float) -> None:
    student, teacher = given()
    total = weight = 0.0
    left = 0
    for own, guide in zip(student.reshape(-1, 12), teacher.reshape(-1, 12), strict=True):
        p, q = own[5:8].sigmoid(), guide[5:8].sigmoid()
        if q.max() < sure:
            left += 1
            continue
        unlike = (q - p).abs()
        entropy = -(q * p.log() + (1 - q) * (1 - p).log())
        overlap = box_iou(own[None, :4], guide[None, :4])[0, 0]
        total += float((unlike * entropy).sum() + boxes * unlike.max() * (1 - overlap))
        weight += float(q.max())
    assert (left > 0) == (sure > 0)
    assert BCKD(boxes, sure)(student, teacher).item() == pytest.approx(total / weight, rel=1e-10)


def test_its_gradient_is_that_of_the_classes_part_and_of_the_boxes_with_fixed_weights() -> None:
    student, teacher = given()
    inputs = (student.requires_grad_(), teacher)
    assert torch.autograd.gradcheck(BCKD(boxes=0.0), inputs)
    (slope,) = torch.autograd.grad(BCKD()(*inputs), student)
    (classes,) = torch.autograd.grad(BCKD(boxes=0.0)(*inputs), student)
    torch.testing.assert_close(slope[..., 4:], classes[..., 4:])
    assert (slope[..., :4] != 0).any()
    assert (classes[..., :4] == 0).all()


def test_a_teacher_that_sees_nothing_teaches_that_there_is_nothing() -> None:
    student, teacher = given()
    teacher[..., 5:-4] = -20.0
    student.requires_grad_()
    loss = BCKD(boxes=0.0)(student, teacher)
    (slope,) = torch.autograd.grad(loss, student)
    assert (slope[..., 5:-4] > 0).all(), "every score falls"


@pytest.mark.parametrize("cut", [(slice(None), slice(None), slice(0, 11)), (slice(None), slice(0, 16))])
def test_other_classes_or_levels_are_refused(cut: tuple[slice, ...]) -> None:
    student, teacher = given()
    with pytest.raises(ValueError, match=r"same levels and classes, got \(4, 20, 12\) and"):
        BCKD()(student, teacher[cut])


@pytest.mark.parametrize("arguments", [{"boxes": -1.0}, {"sure": 1.0}])
def test_impossible_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="boxes is a weight"):
        BCKD(**arguments)
