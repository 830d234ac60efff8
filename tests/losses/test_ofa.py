from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xkd.losses import OFA


def literal(student: Tensor, teacher: Tensor, target: Tensor, eps: float, tau: float) -> Tensor:
    """-sum_c [(p_t + 1_y)^eps - 1_y] log p_s, the mean over rows, class by class. torchdistill has no OFA."""
    total = student.new_zeros(())
    for z_s, z_t, y in zip(student / tau, teacher / tau, target.tolist(), strict=True):
        p_s, p_t = z_s.exp() / z_s.exp().sum(), z_t.exp() / z_t.exp().sum()
        for k in range(len(z_s)):
            is_label = 1.0 if k == y else 0.0
            total = total - ((p_t[k] + is_label) ** eps - is_label) * p_s[k].log()
    return total / len(student)


@pytest.mark.parametrize(("eps", "tau"), [(1.0, 1.0), (1.5, 1.0), (2.0, 4.0), (0.5, 2.0)])
def test_the_formula_and_its_gradient(eps: float, tau: float) -> None:
    student, teacher = 3 * torch.randn(6, 7, dtype=torch.float64), 3 * torch.randn(6, 7, dtype=torch.float64)
    student.requires_grad_()
    target = torch.randint(7, (6,))
    ours, theirs = OFA(eps, tau)(student, teacher, target), literal(student, teacher, target, eps, tau)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-12)


def test_with_eps_one_it_is_the_soft_cross_entropy_whatever_the_label() -> None:
    student, teacher = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    soft = F.cross_entropy(student, teacher.softmax(1)).item()
    for label in range(5):
        assert OFA()(student, teacher, torch.full((4,), label)).item() == pytest.approx(soft, rel=1e-12)


@pytest.mark.parametrize(("eps", "expected"), [(1.0, [0.5, 0.4, 0.1]), (1.5, [0.8371, 0.2530, 0.0316]), (2.0, [1.25, 0.16, 0.01])])
def test_eps_enhances_the_label_and_lowers_the_others(eps: float, expected: list[float]) -> None:
    teacher = torch.tensor([[0.5, 0.4, 0.1]], dtype=torch.float64).log()
    student = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    value = OFA(eps)(student, teacher, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(value, student)
    # of -sum w log p at p = 1/3: the value is sum(w) ln 3, the gradient sum(w) / 3 - w
    assert (value.detach() / math.log(3) / 3 - gradient)[0].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("eps", [0.0, -1.0])
def test_eps_is_positive(eps: float) -> None:
    with pytest.raises(ValueError, match="eps and tau must be positive"):
        OFA(eps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_student_that_is_sure_of_another_class_gives_no_infinity(dtype: torch.dtype) -> None:
    """log(softmax), the authors' way, is -inf there."""
    student = torch.tensor([[200.0, 0.0, 1.0]], dtype=dtype, requires_grad=True)
    value = OFA(1.5)(student, torch.tensor([[0.0, 3.0, 1.0]], dtype=dtype), torch.tensor([1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()
