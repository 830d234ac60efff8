from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchdistill.losses.mid_level import DISTLoss

from xkd.losses import DIST


def pearson(x: list[float], y: list[float]) -> float:
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return covariance / math.sqrt(sum((a - x_mean) ** 2 for a in x)) / math.sqrt(sum((b - y_mean) ** 2 for b in y))


def literal(student: Tensor, teacher: Tensor, beta: float, gamma: float, tau: float) -> float:
    def softmax(rows: Tensor) -> list[list[float]]:
        return [[math.exp(v / tau) / sum(math.exp(u / tau) for u in row) for v in row] for row in rows.tolist()]

    s, t = softmax(student), softmax(teacher)
    of_rows = [pearson(*pair) for pair in zip(s, t, strict=True)]
    of_classes = [pearson([row[k] for row in s], [row[k] for row in t]) for k in range(len(s[0]))]
    return tau**2 * (beta * (1 - sum(of_rows) / len(of_rows)) + gamma * (1 - sum(of_classes) / len(of_classes)))


@pytest.mark.parametrize(("beta", "gamma", "tau"), [(1.0, 1.0, 1.0), (2.0, 0.5, 4.0), (0.0, 1.0, 1.0), (1.0, 0.0, 2.0)])
def test_the_formula(beta: float, gamma: float, tau: float) -> None:
    student, teacher = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    assert DIST(beta, gamma, tau)(student, teacher).item() == pytest.approx(literal(student, teacher, beta, gamma, tau), rel=1e-12)


def test_dense_logits_have_a_row_for_each_pixel_of_the_batch() -> None:
    student, teacher = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(2, 5, 3, 4, dtype=torch.float64)
    as_rows = [logits.permute(0, 2, 3, 1).reshape(-1, 5) for logits in (student, teacher)]
    assert DIST()(student, teacher).item() == pytest.approx(literal(*as_rows, 1.0, 1.0, 1.0), rel=1e-12)


@pytest.mark.parametrize(("beta", "gamma", "tau"), [(1.0, 1.0, 1.0), (2.0, 0.5, 4.0)])
def test_value_and_gradient_equal_torchdistill(beta: float, gamma: float, tau: float) -> None:
    """Which has the form with tau^2 too, and 1e-8 as the least norm; it takes no maps."""
    student, teacher = torch.randn(6, 10, dtype=torch.float64, requires_grad=True), torch.randn(6, 10, dtype=torch.float64)
    oracle = DISTLoss("fc", "output", "fc", "output", beta=beta, gamma=gamma, tau=tau)
    theirs = oracle({"fc": {"output": student}}, {"fc": {"output": teacher}})
    ours = DIST(beta, gamma, tau)(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-12)


def test_a_single_row_has_no_classes_to_correlate_over() -> None:
    student, teacher = torch.randn(1, 5, dtype=torch.float64, requires_grad=True), torch.randn(1, 5, dtype=torch.float64)
    value = DIST(1.0, 3.0)(student, teacher)
    assert value.item() == pytest.approx(DIST(1.0, 0.0)(student, teacher).item(), rel=1e-12)
    assert DIST()(teacher, teacher).item() == pytest.approx(0, abs=1e-12)
    (gradient,) = torch.autograd.grad(value, student)
    assert torch.isfinite(gradient).all()
    assert gradient.any()


def test_two_classes_leave_the_rows_without_a_gradient() -> None:
    """The trap that the docstring names: (p, 1 - p) correlates by 1 or -1."""
    student, teacher = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).double().requires_grad_(), torch.tensor([[1.0, 0.0], [3.0, 0.0]]).double()
    value = DIST(gamma=0.0)(student, teacher)
    assert value.item() == pytest.approx(1 - (1 - 1) / 2, rel=1e-12)
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.abs().max() < 1e-12


def test_uniform_probabilities_give_a_finite_and_huge_gradient() -> None:
    """The other trap: as from a head of zeros."""
    student, teacher = torch.zeros(3, 4, requires_grad=True), torch.randn(3, 4)
    value = DIST()(student, teacher)
    assert value.item() == pytest.approx(2)
    value.backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() > 1e5


def test_neither_a_flat_teacher_nor_a_class_that_is_never_seen_gives_nan() -> None:
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.zeros(3, 4)
    teacher[1:, 3] = -1e4
    DIST()(student, teacher).backward()
    assert torch.isfinite(student.grad).all()
