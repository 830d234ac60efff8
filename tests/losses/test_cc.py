from __future__ import annotations

import math

import pytest
import torch
from agreement import assert_agree
from core_models import make_batch, unchecked
from offline_distiller import offline
from torch import Tensor
from torch.nn import functional as F
from torchdistill.losses.mid_level import CCKDLoss

from xkd.graph.term import Term
from xkd.losses import CC


def torchdistill(student: Tensor, teacher: Tensor, gamma: float, order: int) -> Tensor:
    """Of vectors of length one, which it leaves to the user; its root is taken back, and the mean over pairs is the paper's."""
    loss = CCKDLoss("it", "it", {"type": "gaussian", "gamma": gamma, "max_p": order}, reduction="sum")
    unit = [{"it": {"output": F.normalize(vectors)}} for vectors in (student, teacher)]
    value: Tensor = loss(*unit) ** 2 / len(student) ** 2
    return value


@pytest.mark.parametrize(("gamma", "order"), [(0.4, 2), (0.4, 1), (1.5, 4)])
def test_value_and_gradient_equal_torchdistill(gamma: float, order: int) -> None:
    student, teacher = torch.randn(5, 6, dtype=torch.float64, requires_grad=True), torch.randn(5, 8, dtype=torch.float64)
    assert_agree(CC(gamma, order)(student, teacher), torchdistill(student, teacher, gamma, order), student)


def test_the_defaults_are_the_papers() -> None:
    student, teacher = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    assert CC()(student, teacher).item() == pytest.approx(torchdistill(student, teacher, 0.4, 2).item(), rel=1e-9)


def test_with_many_powers_it_is_the_gaussian_kernel() -> None:
    student, teacher = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    kernels = [(-0.4 * torch.cdist(F.normalize(v), F.normalize(v)) ** 2).exp() for v in (student, teacher)]
    assert CC(0.4, 20)(student, teacher).item() == pytest.approx((kernels[0] - kernels[1]).pow(2).mean().item(), rel=1e-9)


def test_two_rows_worked_out_by_hand() -> None:
    """Orthogonal to the student, equal to the teacher: the kernels differ off the diagonal alone, by e^-0.8 (0.8 + 0.32)."""
    value = CC()(torch.eye(2), torch.ones(2, 3)).item()
    assert value == pytest.approx((math.exp(-0.8) * (0.8 + 0.32)) ** 2 / 2, rel=1e-6)


def test_maps_are_flattened() -> None:
    student, teacher = torch.randn(4, 3, 2, 2, dtype=torch.float64), torch.randn(4, 5, 3, 1, dtype=torch.float64)
    assert CC()(student, teacher).item() == CC()(student.flatten(1), teacher.flatten(1)).item()


def test_a_row_of_zeros_has_a_small_gradient() -> None:
    student = torch.randn(3, 4)
    student[1] = 0
    student.requires_grad_()
    CC()(student, torch.randn(3, 4)).backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() < 10


def test_in_a_distiller_networks_of_unlike_widths_need_no_projector() -> None:
    distiller = offline(cc=Term(CC(), "rgb.deep", "thermal.deep", weight=100.0))
    distiller.bind()
    step = distiller(make_batch(6))
    step.loss.backward()
    assert step.parts["cc"] > 0
    assert distiller.branches["rgb"].model.deep[0].weight.grad.abs().max() > 0


def test_what_it_refuses() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"CC compares equal numbers of rows, got \(4, 3\) and \(1, 3\)"):
        CC()(torch.rand(4, 3), torch.rand(1, 3))
    with pytest.raises(ValueError, match="gamma must be positive, got 0"):
        CC(gamma=0)
    with pytest.raises(ValueError, match="order, the last power of the Taylor series, must be at least 1, got 0"):
        CC(order=0)
