from __future__ import annotations

import math

import pytest
import torch
from agreement import assert_agree
from core_models import make_batch, unchecked
from offline_distiller import offline
from torch import Tensor

from xkd.graph.term import Term
from xkd.losses import NKD


def literal(student: Tensor, teacher: Tensor, target: Tensor, gamma: float, tau: float) -> Tensor:
    """Row by row, class by class. torchdistill has no NKD."""
    total = student.new_zeros(())
    for z_s, z_t, y in zip(student, teacher, target.tolist(), strict=True):
        p_s, p_t = z_s.exp() / z_s.exp().sum(), z_t.exp() / z_t.exp().sum()
        total = total - p_t[y] * p_s[y].log()
        others = [k for k in range(len(z_s)) if k != y]
        e_s, e_t = (z_s[others] / tau).exp(), (z_t[others] / tau).exp()
        q_s, q_t = e_s / e_s.sum(), e_t / e_t.sum()
        for k in range(len(others)):
            total = total - gamma * tau**2 * q_t[k] * q_s[k].log()
    return total / len(student)


@pytest.mark.parametrize(("gamma", "tau"), [(1.5, 1.0), (0.7, 3.0), (0.0, 1.0)])
def test_the_formula_and_its_gradient(gamma: float, tau: float) -> None:
    student, teacher = 3 * torch.randn(6, 7, dtype=torch.float64), 3 * torch.randn(6, 7, dtype=torch.float64)
    student.requires_grad_()
    target = torch.randint(7, (6,))
    assert_agree(NKD(gamma, tau)(student, teacher, target), literal(student, teacher, target, gamma, tau), student)


def test_the_defaults_are_the_authors() -> None:
    student, teacher, target = torch.randn(4, 5).double(), torch.randn(4, 5).double(), torch.tensor([0, 1, 4, 4])
    assert NKD()(student, teacher, target).item() == pytest.approx(literal(student, teacher, target, 1.5, 1.0).item(), rel=1e-9)


def test_of_two_classes_the_label_alone_counts() -> None:
    student, teacher, target = torch.zeros(1, 2).requires_grad_(), torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    value = NKD()(student, teacher, target)
    value.backward()
    assert value.item() == pytest.approx(math.log(2) / (1 + math.exp(-2)), rel=1e-6)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gap", [40.0, 3000.0])
def test_a_label_that_is_certain_gives_no_infinity(dtype: torch.dtype, gap: float) -> None:
    student = torch.tensor([[gap, 0.0, 1.0], [0.0, gap, -1.0]], dtype=dtype, requires_grad=True)
    teacher, target = torch.tensor([[gap, 0.0, 2.0], [0.0, -gap, 3.0]], dtype=dtype), torch.tensor([0, 1])
    value = NKD()(student, teacher, target)
    value.backward()
    assert torch.isfinite(student.grad).all()
    exact = NKD()(student.detach().double(), teacher.double(), target).item()
    assert value.item() == pytest.approx(exact, rel=1e-5)


def test_pixels_are_rows_and_unknown_ones_do_not_count() -> None:
    student, teacher = torch.randn(2, 4, 3, 2, dtype=torch.float64), torch.randn(2, 4, 3, 2, dtype=torch.float64)
    target = torch.randint(4, (2, 3, 2))
    target[0, 1, 1] = target[1, 0, 0] = -1
    known = target != -1
    rows = [logits.movedim(1, -1)[known] for logits in (student, teacher)]
    assert NKD()(student, teacher, target).item() == pytest.approx(literal(*rows, target[known], 1.5, 1.0).item(), rel=1e-9)


def test_of_mixed_samples_the_likeliest_class_is_the_label() -> None:
    student, teacher = torch.randn(2, 3), torch.randn(2, 3)
    mixed = torch.tensor([[0.3, 0.7, 0.0], [0.6, 0.0, 0.4]])
    assert NKD()(student, teacher, mixed).item() == NKD()(student, teacher, torch.tensor([1, 0])).item()


def test_in_a_distiller_rows_without_a_label_are_left_out() -> None:
    distiller = offline(nkd=Term(NKD(), "rgb.output", "thermal.output"))
    distiller.bind()
    batch = make_batch(6)
    batch.labelled[2:] = False
    step = distiller(batch)
    step.loss.backward()
    assert distiller.terms["nkd"].num_rows == 2
    assert step.parts["nkd"] > 0
    assert distiller.branches["rgb"].model.fc.weight.grad.abs().max() > 0


def test_what_it_refuses() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"NKD compares logits over the same classes and positions"):
        NKD()(torch.rand(2, 3), torch.rand(2, 4), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="tau must be positive, got 0"):
        NKD(tau=0)
