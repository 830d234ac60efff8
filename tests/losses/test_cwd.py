from __future__ import annotations

import math

import pytest
import torch
from core_models import unchecked
from torch import Tensor
from torchdistill.losses.mid_level import KDLoss

from xkd.losses import CWD


def literal(student: Tensor, teacher: Tensor, tau: float) -> float:
    """tau^2 / (B C) sum over rows, channels and positions of p_t log(p_t / p_s), number by number."""
    total = 0.0
    for s_row, t_row in zip(student.flatten(2).tolist(), teacher.flatten(2).tolist(), strict=True):
        for s, t in zip(s_row, t_row, strict=True):
            p_s = [math.exp(v / tau) / sum(math.exp(u / tau) for u in s) for v in s]
            p_t = [math.exp(v / tau) / sum(math.exp(u / tau) for u in t) for v in t]
            total += sum(b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True))
    return tau**2 * total / (student.shape[0] * student.shape[1])


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_the_formula_of_the_authors_code(tau: float) -> None:
    student, teacher = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert CWD(tau)(student, teacher).item() == pytest.approx(literal(student, teacher, tau), rel=1e-12)


def test_it_is_torchdistills_kd_of_each_channel_over_its_positions() -> None:
    # torchdistill has no CWD; with alpha=0 its KDLoss is the divergence without tau^2
    student, teacher = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    oracle = KDLoss("mid", "output", "mid", "output", temperature=4.0, alpha=0.0, reduction="batchmean")
    theirs = 16 * oracle({"mid": {"output": student.reshape(6, 20)}}, {"mid": {"output": teacher.reshape(6, 20)}})
    ours = CWD()(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9 * float(theirs_gradient.abs().max()))


@pytest.mark.parametrize(("student_grid", "teacher_grid"), [((8, 8), (4, 8)), ((4, 8), (4, 16)), ((8, 8), (4, 16))])
def test_the_larger_axis_is_averaged_down_on_either_side(student_grid: tuple[int, int], teacher_grid: tuple[int, int]) -> None:
    def pooled(maps: Tensor) -> Tensor:
        b, c, h, w = maps.shape
        return maps.reshape(b, c, 4, h // 4, 8, w // 8).mean((3, 5))

    student, teacher = torch.randn(2, 3, *student_grid, dtype=torch.float64), torch.randn(2, 3, *teacher_grid, dtype=torch.float64)
    assert CWD()(student, teacher).item() == pytest.approx(literal(pooled(student), pooled(teacher), 4.0), rel=1e-12)


def test_peaked_channels_stay_finite() -> None:
    student = torch.zeros(1, 1, 2, 2)
    student[0, 0, 0, 0] = 1e4
    loss = CWD(1.0)(student.requires_grad_(), student.detach().flip(3))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


def test_what_cannot_be_compared_names_both_shapes() -> None:
    with unchecked():
        with pytest.raises(ValueError, match=r"CWD compares equal channels.*\(2, 3, 4, 4\) and \(2, 5, 4, 4\); give the term a projector"):
            CWD()(torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4))
        with pytest.raises(ValueError, match=r"CWD compares 2 positions or more.*\(2, 3, 4, 4\) and \(2, 3, 1, 1\)"):
            CWD()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 1, 1))
    with pytest.raises(ValueError, match="tau must be positive"):
        CWD(0.0)
