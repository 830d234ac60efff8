from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchdistill.losses.mid_level import KDLoss

from xkd.losses import AttentionKL


def literal(student: Tensor, teacher: Tensor, tau: float) -> float:
    total = 0.0
    for s, t in zip(student.mean(1).flatten(1).tolist(), teacher.mean(1).flatten(1).tolist(), strict=True):
        p_s = [math.exp(v / tau) / sum(math.exp(u / tau) for u in s) for v in s]
        p_t = [math.exp(v / tau) / sum(math.exp(u / tau) for u in t) for v in t]
        total += sum(b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True))
    return total / len(student)


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_the_formula_for_any_number_of_heads(tau: float) -> None:
    student, teacher = torch.rand(3, 4, 5, 6, dtype=torch.float64), torch.rand(3, 2, 5, 6, dtype=torch.float64)
    assert AttentionKL(tau)(student, teacher).item() == pytest.approx(literal(student, teacher, tau), rel=1e-10)


def test_it_is_torchdistills_kd_of_the_maps_as_logits() -> None:
    student, teacher = torch.randn(3, 1, 4, 5, dtype=torch.float64, requires_grad=True), torch.randn(3, 1, 4, 5, dtype=torch.float64)
    oracle = KDLoss("mid", "output", "mid", "output", temperature=0.5, alpha=0.0, reduction="batchmean")
    theirs = oracle({"mid": {"output": student.flatten(1)}}, {"mid": {"output": teacher.flatten(1)}})
    ours = AttentionKL(0.5)(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9 * float(theirs_gradient.abs().max()))


def test_the_larger_map_is_averaged_down() -> None:
    student, teacher = torch.rand(2, 1, 8, 4, dtype=torch.float64), torch.rand(2, 3, 4, 8, dtype=torch.float64)
    down = student.reshape(2, 1, 4, 2, 4).mean(3), teacher.reshape(2, 3, 4, 4, 2).mean(4)
    assert AttentionKL()(student, teacher).item() == pytest.approx(literal(*down, 1.0), rel=1e-10)


def test_attention_that_sums_to_one_wants_a_small_temperature() -> None:
    student, teacher = (torch.randn(2, 1, 14, 14).flatten(1).softmax(1).reshape(2, 1, 14, 14) for _ in range(2))
    # the trap that the module names
    assert AttentionKL()(student, teacher).item() < 1e-4
    assert AttentionKL(1 / 196)(student, teacher).item() > 0.1


def test_one_position_has_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match=r"AttentionKL compares 2 positions or more.*\(2, 3, 1, 1\)"):
        AttentionKL()(torch.rand(2, 1, 4, 4), torch.rand(2, 3, 1, 1))
    with pytest.raises(ValueError, match="tau must be positive"):
        AttentionKL(-1.0)
