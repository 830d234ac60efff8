from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor
from torchdistill.losses.mid_level import PKTLoss

from xkd.losses import PKT


def literal(student: Tensor, teacher: Tensor) -> Tensor:
    """mean over i, j of p_t log((p_t + eps) / (p_s + eps)); p[i, j] is the share of (cos + 1) / 2 in its row."""
    eps = 1e-7

    def probability(rows: Tensor, i: int, j: int) -> Tensor:
        unit = [row / (row.pow(2).sum().sqrt() + eps) for row in rows]
        return ((unit[i] * unit[j]).sum() + 1) / 2 / sum(((unit[i] * other).sum() + 1) / 2 for other in unit)

    terms = []
    for i in range(len(student)):
        for j in range(len(student)):
            p_s, p_t = probability(student, i, j), probability(teacher, i, j)
            terms.append(p_t * ((p_t + eps) / (p_s + eps)).log())
    return torch.stack(terms).mean()


def test_the_formula_of_the_authors_code() -> None:
    student, teacher = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True), torch.randn(4, 7, dtype=torch.float64)
    assert_agree(PKT()(student, teacher), literal(student.flatten(1), teacher), student)


def test_value_and_gradient_equal_torchdistill() -> None:
    student, teacher = torch.randn(8, 5, dtype=torch.float64, requires_grad=True), torch.randn(8, 11, dtype=torch.float64)
    oracle = PKTLoss("fc", "input", "fc", "input")
    assert_agree(PKT()(student, teacher), oracle({"fc": {"input": student}}, {"fc": {"input": teacher}}), student)


def test_a_row_of_zeros_has_a_gradient_of_ordinary_size() -> None:
    student = torch.randn(4, 6)
    student[1] = 0  # a gradient of nan in torchdistill
    student.requires_grad_()
    PKT()(student, torch.randn(4, 9)).backward()
    assert 0 < student.grad[1].abs().max() < 10


def test_opposite_rows_give_no_nan() -> None:
    student = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    value = PKT()(student, torch.tensor([[1.0, 0.0], [0.9, 0.1]]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_a_single_row_has_no_relation_and_stays_in_the_graph() -> None:
    student = torch.randn(1, 6, requires_grad=True)
    value = PKT()(student, torch.randn(1, 9))
    value.backward()
    assert value.item() == 0
    assert student.grad.abs().max() < 1e-6


def test_unlike_numbers_of_rows() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"PKT compares equal numbers of rows, got \(1, 6\) and \(3, 9\)"):
        PKT()(torch.randn(1, 6), torch.randn(3, 9))
