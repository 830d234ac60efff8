from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import make_batch, unchecked
from offline_distiller import offline
from torch import Tensor
from torchdistill.losses.mid_level import ChSimLoss

from xkd.graph.term import Term
from xkd.losses import ICKD
from xkd.projectors import Conv1x1


def torchdistill(student: Tensor, teacher: Tensor) -> Tensor:
    """Its sum over images is divided by their number twice."""
    pair = {"student": {"io": "output", "path": "it"}, "teacher": {"io": "output", "path": "it"}}
    value: Tensor = ChSimLoss({"pair": pair})({"it": {"output": student}}, {"it": {"output": teacher}})
    return value * len(student)


def test_value_and_gradient_equal_torchdistill() -> None:
    student, teacher = torch.randn(3, 4, 2, 5, dtype=torch.float64, requires_grad=True), torch.randn(3, 4, 2, 5, dtype=torch.float64)
    assert_agree(ICKD()(student, teacher), torchdistill(student, teacher), student)


def test_grids_may_differ() -> None:
    student, teacher = torch.randn(3, 4, 2, 5, dtype=torch.float64), torch.randn(3, 4, 3, 3, dtype=torch.float64)
    assert ICKD()(student, teacher).item() == pytest.approx(torchdistill(student, teacher).item(), rel=1e-9)


def test_two_channels_worked_out_by_hand() -> None:
    """Apart to the student, (1, 0) and (0, 1); alike to the teacher, twice (1, 1) / sqrt 2."""
    student, teacher = torch.eye(2).reshape(1, 2, 1, 2), torch.ones(1, 2, 1, 3)
    assert ICKD()(student, teacher).item() == pytest.approx((1 - 0.5**0.5) ** 2 + 0.5, rel=1e-6)


def test_a_channel_of_zeros_has_a_small_gradient() -> None:
    student = torch.randn(2, 3, 2, 2)
    student[:, 1] = 0
    student.requires_grad_()
    ICKD()(student, torch.randn(2, 3, 2, 2)).backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() < 10


def test_in_a_distiller_the_projector_brings_the_teachers_channels() -> None:
    distiller = offline(ickd=Term(ICKD(), "rgb.deep", "thermal.deep", Conv1x1(norm=True), weight=2.5))
    distiller.bind()
    step = distiller(make_batch(6))
    step.loss.backward()
    assert step.parts["ickd"] > 0
    assert distiller.terms["ickd"].projector.layers[0].weight.grad.abs().max() > 0
    assert distiller.branches["rgb"].model.deep[0].weight.grad.abs().max() > 0


def test_what_it_refuses() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"ICKD compares equal channels.*give the term a projector, such as Conv1x1"):
        ICKD()(torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4))
    with unchecked(), pytest.raises(ValueError, match=r"ICKD compares maps .* tap a layer before the pooling"):
        ICKD()(torch.rand(2, 3), torch.rand(2, 3))
    with unchecked(), pytest.raises(ValueError, match="ICKD compares equal numbers of rows"):
        ICKD()(torch.rand(2, 3, 4, 4), torch.rand(1, 3, 4, 4))
