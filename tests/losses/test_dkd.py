from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xkd.losses import DKD, KD


def literal(student: Tensor, teacher: Tensor, target: Tensor, alpha: float, beta: float, tau: float) -> Tensor:
    """Row by row, class by class; the other classes are renormalised without the label instead of lowering its logit.

    torchdistill has no DKD.
    """
    total = student.new_zeros(())
    for z_s, z_t, y in zip(student / tau, teacher / tau, target.tolist(), strict=True):
        e_s, e_t = z_s.exp(), z_t.exp()
        p_s, p_t = e_s[y] / e_s.sum(), e_t[y] / e_t.sum()
        of_label = p_t * (p_t / p_s).log() + (1 - p_t) * ((1 - p_t) / (1 - p_s)).log()
        of_others = student.new_zeros(())
        for k in range(len(z_s)):
            if k != y:
                q_s, q_t = e_s[k] / (e_s.sum() - e_s[y]), e_t[k] / (e_t.sum() - e_t[y])
                of_others = of_others + q_t * (q_t / q_s).log()
        total = total + tau**2 * (alpha * of_label + beta * of_others)
    return total / len(student)


@pytest.mark.parametrize(("alpha", "beta", "tau"), [(1.0, 8.0, 4.0), (1.0, 0.5, 1.0), (0.0, 1.0, 2.0), (1.0, 0.0, 2.0)])
def test_the_formula_and_its_gradient(alpha: float, beta: float, tau: float) -> None:
    student, teacher = 3 * torch.randn(6, 7, dtype=torch.float64), 3 * torch.randn(6, 7, dtype=torch.float64)
    student.requires_grad_()
    target = torch.randint(7, (6,))
    ours, theirs = DKD(alpha, beta, tau)(student, teacher, target), literal(student, teacher, target, alpha, beta, tau)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-12)


def test_the_defaults_are_the_authors() -> None:
    student, teacher, target = torch.randn(4, 5).double(), torch.randn(4, 5).double(), torch.tensor([0, 1, 4, 4])
    assert DKD()(student, teacher, target).item() == pytest.approx(literal(student, teacher, target, 1.0, 8.0, 4.0).item(), rel=1e-9)


def test_with_beta_the_teachers_doubt_it_is_plain_distillation() -> None:
    """Section 3 of the paper: KD = KL of the label + (1 - p_t) * KL of the others."""
    student, teacher, target = torch.randn(1, 6).double(), torch.randn(1, 6).double(), torch.tensor([3])
    doubt = 1 - (teacher / 4).softmax(1)[0, 3].item()
    assert DKD(1.0, doubt, 4.0)(student, teacher, target).item() == pytest.approx(KD(4.0)(student, teacher).item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gap", [12.0, 40.0, 200.0])
def test_a_label_that_is_certain_gives_no_infinity(dtype: torch.dtype, gap: float) -> None:
    student = torch.tensor([[gap, 0.0, 1.0], [0.0, gap, -1.0]], dtype=dtype, requires_grad=True)
    teacher, target = torch.tensor([[1.0, 0.0, 2.0], [0.0, gap, 3.0]], dtype=dtype), torch.tensor([0, 1])
    rounded = 1 - student.detach().softmax(1)[0, 0]
    assert gap == 12.0 or rounded == 0, "the trap: its logarithm is -inf"
    value = DKD(tau=1.0)(student, teacher, target)
    value.backward()
    assert torch.isfinite(student.grad).all()
    exact = DKD(tau=1.0)(student.detach().double(), teacher.double(), target).item()
    assert value.item() == pytest.approx(exact, rel={torch.float16: 5e-3, torch.bfloat16: 4e-2, torch.float32: 1e-5}[dtype])


def test_the_students_doubt_is_counted_where_it_is_below_the_roundings_unit() -> None:
    """1 - p_s = e^-60: the binary part of a teacher at one half is ln(1/2) + 60 / 2."""
    student, teacher = torch.tensor([[60.0, 0.0]]), torch.zeros(1, 2)
    assert DKD(1.0, 0.0, 1.0)(student, teacher, torch.tensor([0])).item() == pytest.approx(30 - math.log(2), rel=1e-6)


def test_the_others_do_not_depend_on_the_labels_logit() -> None:
    student, teacher, target = torch.randn(3, 5).double().requires_grad_(), torch.randn(3, 5).double(), torch.tensor([1, 0, 4])
    (gradient,) = torch.autograd.grad(DKD(alpha=0.0)(student, teacher, target), student)
    assert gradient[F.one_hot(target, 5).bool()].abs().max() < 1e-15
