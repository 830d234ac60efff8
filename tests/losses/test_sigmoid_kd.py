from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xkd.losses import SigmoidKD


def literal(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """tau^2 sum_k KL of (p, 1 - p), the mean over rows, class by class. torchdistill has no multi-label loss."""
    total = student.new_zeros(())
    for z_s, z_t in zip((student / tau).flatten(), (teacher / tau).flatten(), strict=True):
        p_s, p_t = 1 / (1 + (-z_s).exp()), 1 / (1 + (-z_t).exp())
        total = total + p_t * (p_t / p_s).log() + (1 - p_t) * ((1 - p_t) / (1 - p_s)).log()
    return tau**2 * total / len(student)


@pytest.mark.parametrize("tau", [1.0, 4.0])
@pytest.mark.parametrize("classes", [1, 7])
def test_the_formula_and_its_gradient(tau: float, classes: int) -> None:
    student, teacher = 3 * torch.randn(5, classes, dtype=torch.float64), 3 * torch.randn(5, classes, dtype=torch.float64)
    student.requires_grad_()
    ours, theirs = SigmoidKD(tau)(student, teacher), literal(student, teacher, tau)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-12)


def test_by_default_the_gradient_is_that_of_cross_entropy_with_the_teachers_probabilities() -> None:
    student, teacher = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 5, dtype=torch.float64)
    supervised = F.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="sum") / 4
    (ours,), (theirs,) = torch.autograd.grad(SigmoidKD()(student, teacher), student), torch.autograd.grad(supervised, student)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_classes_do_not_compete() -> None:
    student, teacher = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    apart = sum(SigmoidKD()(student[:, [k]], teacher[:, [k]]).item() for k in range(4))
    assert SigmoidKD()(student, teacher).item() == pytest.approx(apart, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_student_that_is_sure_and_wrong_is_told_so(dtype: torch.dtype) -> None:
    """Probabilities clamped to 1e-8, as the authors', would give ln 1e8 = 18.4 and no gradient."""
    student = torch.tensor([[-40.0]], dtype=dtype, requires_grad=True)
    value = SigmoidKD()(student, torch.tensor([[40.0]], dtype=dtype))
    value.backward()
    assert value.item() == pytest.approx(40.0)
    assert student.grad.item() == pytest.approx(-1.0)
    assert math.isfinite(SigmoidKD()(torch.tensor([[-1e4]]), torch.tensor([[1e4]])).item())
