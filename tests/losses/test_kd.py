from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchdistill.losses.mid_level import KDLoss, LogitStdKDLoss

from xkd.losses import KD


def literal(student: Tensor, teacher: Tensor, tau: float) -> float:
    """tau^2 sum_k p_t log(p_t / p_s), the mean over rows, number by number."""
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p_s = [math.exp(v / tau) / sum(math.exp(u / tau) for u in s) for v in s]
        p_t = [math.exp(v / tau) / sum(math.exp(u / tau) for u in t) for v in t]
        total += tau**2 * sum(b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True))
    return total / len(student)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_the_formula(tau: float) -> None:
    student, teacher = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    assert KD(tau)(student, teacher).item() == pytest.approx(literal(student, teacher, tau), rel=1e-12)


def test_dense_logits_are_averaged_over_positions() -> None:
    student, teacher = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(2, 5, 3, 4, dtype=torch.float64)
    as_rows = [logits.permute(0, 2, 3, 1).reshape(-1, 5) for logits in (student, teacher)]
    assert KD()(student, teacher).item() == pytest.approx(literal(*as_rows, 4.0), rel=1e-12)


def test_value_and_gradient_equal_torchdistill() -> None:
    alpha, tau = 0.5, 4.0
    student = torch.randn(6, 10, dtype=torch.float64, requires_grad=True)
    teacher, target = torch.randn(6, 10, dtype=torch.float64), torch.randint(10, (6,))
    oracle = KDLoss("fc", "output", "fc", "output", temperature=tau, alpha=alpha, reduction="batchmean")
    theirs = oracle({"fc": {"output": student}}, {"fc": {"output": teacher}}, target)
    ours = alpha * torch.nn.functional.cross_entropy(student, target) + (1 - alpha) * KD(tau)(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student, retain_graph=True), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-12)


def test_the_gradient_keeps_its_size_when_tau_changes() -> None:
    def gradient(tau: float) -> Tensor:
        student = torch.linspace(-0.1, 0.1, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
        (result,) = torch.autograd.grad(KD(tau)(student, -student.detach()), student)
        return result

    torch.testing.assert_close(gradient(50.0), gradient(5.0), rtol=0.05, atol=0)


def test_standardize_is_blind_to_the_scale_and_offset_of_logits() -> None:
    student, teacher = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    plain = KD(2.0, standardize=True)(student, teacher).item()
    assert KD(2.0, standardize=True)(30 * student + 5, 0.1 * teacher - 2).item() == pytest.approx(plain, rel=1e-4)
    scored = [(x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=True, keepdim=True).sqrt() + 1e-7) for x in (student, teacher)]
    assert plain == pytest.approx(literal(*scored, 2.0), rel=1e-12)


def test_standardized_value_and_gradient_equal_torchdistill() -> None:
    alpha, beta, tau = 0.1, 9.0, 2.0
    student = torch.randn(6, 10, dtype=torch.float64, requires_grad=True)
    teacher, target = 5 * torch.randn(6, 10, dtype=torch.float64), torch.randint(10, (6,))
    oracle = LogitStdKDLoss("fc", "output", "fc", "output", temperature=tau, alpha=alpha, beta=beta)
    # it standardises along the last axis, so for (B, K) alone, and leaves tau^2 out where alpha is 0
    theirs = oracle({"fc": {"output": student}}, {"fc": {"output": teacher}}, target)
    ours = alpha * torch.nn.functional.cross_entropy(student, target) + beta * KD(tau, standardize=True)(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-12)


def test_standardized_pixels_are_rows() -> None:
    student, teacher = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(2, 5, 3, 4, dtype=torch.float64)
    as_rows = [logits.permute(0, 2, 3, 1).reshape(-1, 5) for logits in (student, teacher)]
    assert KD(standardize=True)(student, teacher).item() == pytest.approx(KD(standardize=True)(*as_rows).item(), rel=1e-12)


def test_uniform_logits_standardize_to_a_finite_gradient() -> None:
    student = torch.zeros(2, 3, requires_grad=True)
    value = KD(standardize=True)(student, torch.randn(2, 3))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_confident_logits_stay_finite() -> None:
    student = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = KD(1.0)(student, torch.tensor([[-1e4, 1e4, 0.0]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


def test_readings_may_be_named() -> None:
    student, teacher = torch.randn(2, 3), torch.randn(2, 3)
    assert KD()(student=student, teacher=teacher) == KD()(student, teacher)
