from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from xkd.losses import DICOD, SmoothedBoxes
from xkd.losses.boxes import assigned, parts_of


def given() -> tuple[Tensor, Tensor, Tensor]:
    student, teacher, target = DICOD.contract_inputs(torch.Generator().manual_seed(0))
    return student, teacher, target


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_the_papers_formula_location_by_location(scores: Any, background: bool) -> None:
    student, teacher, target = given()
    if background and scores == "sigmoid":
        return
    if background:
        teacher = torch.cat([torch.randn(4, 3, 1, dtype=torch.float64), teacher], 2)
    which = assigned(parts_of("DICOD", student), target)
    values = []
    for row in range(4):
        for place, which_object in enumerate(which[row].tolist()):
            if which_object < 0:
                continue
            logits = teacher[row, which_object] / 2.0
            shares = logits.sigmoid() if scores == "sigmoid" else (logits.exp() / logits.exp().sum())[-3:]
            own = (student[row, place, 5:-4] / 2.0).sigmoid()
            terms = shares * (shares / own).log() + (1 - shares) * ((1 - shares) / (1 - own)).log()
            values.append(float(terms.sum()) * 2.0**2)
    assert len(values) > 4
    assert DICOD(2.0, scores)(student, teacher, target).item() == pytest.approx(sum(values) / len(values), rel=1e-10)


def test_a_student_that_answers_as_the_teacher_has_no_loss() -> None:
    student, teacher, target = given()
    which = assigned(parts_of("DICOD", student), target).clamp(min=0)
    student[..., 5:-4] = teacher.gather(1, which.unsqueeze(2).expand(-1, -1, 3))
    assert DICOD(scores="sigmoid")(student, teacher, target).item() == pytest.approx(0, abs=1e-12)


def test_locations_without_an_object_and_padding_teach_nothing() -> None:
    student, teacher, target = given()
    student.requires_grad_()
    positive = assigned(parts_of("DICOD", student), target) >= 0
    (slope,) = torch.autograd.grad(DICOD()(student, teacher, target), student)
    assert (slope[~positive] == 0).all()
    assert (slope[..., 5:-4][positive] != 0).all()
    assert (slope[..., :5] == 0).all()
    changed = teacher.where(target[..., 4:] >= 0, 100.0)
    assert torch.equal(DICOD()(student, changed, target), DICOD()(student, teacher, target))


def test_a_teacher_that_is_sure_beyond_the_digits_gives_a_finite_loss() -> None:
    student, teacher, target = given()
    assert DICOD()(student.float(), 1000 * teacher.float(), target.float()).isfinite()


def test_rows_without_an_object_give_zero_with_a_gradient() -> None:
    student, teacher, target = given()
    student.requires_grad_()
    for none in (DICOD()(student, teacher[:, :0], target[:, :0]), DICOD()(student, teacher, target.new_full(target.shape, -1))):
        assert none.item() == 0
        assert (torch.autograd.grad(none, student)[0] == 0).all()


@pytest.mark.parametrize(("scores", "legal"), [("softmax", r"\(3 or 4,\)"), ("sigmoid", r"\(3,\)")])
def test_a_teacher_of_other_objects_or_classes_is_refused(scores: Any, legal: str) -> None:
    student, teacher, target = given()
    for wrong in (teacher[:, :2], teacher[..., :2]):
        with pytest.raises(ValueError, match=rf"DICOD needs a classifier's logits \(4, 3\) \+ {legal}"):
            DICOD(scores=scores)(student, wrong, target)


@pytest.mark.parametrize("arguments", [{"tau": 0.0}, {"scores": "logits"}])
def test_impossible_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tau must be positive|scores is 'softmax' or 'sigmoid'"):
        DICOD(**arguments)


@pytest.mark.parametrize("tau", [1.0, 2.0])
def test_smoothed_labels_are_a_teacher_that_answers_them(tau: float) -> None:
    student, _, target = given()
    hot = torch.nn.functional.one_hot(target[..., 4].long().clamp(min=0), 3).double()
    teacher = tau * (0.8 * hot + 0.2 / 3).log()
    expected = DICOD(tau)(student, teacher, target).item()
    assert SmoothedBoxes(tau, 0.2)(student, target).item() == pytest.approx(expected, rel=1e-10)
    assert expected > 0


def test_smoothed_labels_of_rows_without_an_object_teach_nothing() -> None:
    student, _, target = given()
    student.requires_grad_()
    for none in (SmoothedBoxes()(student, target[:, :0]), SmoothedBoxes()(student, target.new_full(target.shape, -1))):
        assert none.item() == 0
        assert (torch.autograd.grad(none, student)[0] == 0).all()


@pytest.mark.parametrize("arguments", [{"tau": 0.0}, {"smoothing": 1.0}, {"smoothing": -0.1}])
def test_impossible_smoothing_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tau must be positive and smoothing a share, 0 up to 1; got"):
        SmoothedBoxes(**arguments)
