from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor
from torchdistill.losses.mid_level import SPKDLoss

from xkd.losses import SP


def literal(student: Tensor, teacher: Tensor, p: float = 2.0) -> Tensor:
    """|| rownorm(A_s A_s') - rownorm(A_t A_t') ||_F^2 / B^2, number by number."""

    def similarity(rows: Tensor) -> list[Tensor]:
        gram = [torch.stack([(a * b).sum() for b in rows]) for a in rows]
        return [row / row.abs().pow(p).sum().pow(1 / p) for row in gram]

    total = sum((s - t).pow(2).sum() for s, t in zip(similarity(student), similarity(teacher), strict=True))
    return total / len(student) ** 2


@pytest.mark.parametrize("rows", [2, 5])
def test_the_formula(rows: int) -> None:
    student, teacher = torch.randn(rows, 3, 2, 2, dtype=torch.float64, requires_grad=True), torch.randn(rows, 7, dtype=torch.float64)
    assert_agree(SP()(student, teacher), literal(student.flatten(1), teacher), student)


def test_torchdistill_has_another_norm() -> None:
    """Its rows have an absolute sum of one; the paper's and RepDistiller's have length one. So the transcription is checked with theirs."""
    student, teacher = torch.randn(8, 5, 3, 3, dtype=torch.float64, requires_grad=True), torch.randn(8, 11, 2, 4, dtype=torch.float64)
    theirs = SPKDLoss("mid", "mid", reduction="batchmean")({"mid": {"output": student}}, {"mid": {"output": teacher}})
    flat = student.flatten(1), teacher.flatten(1)
    assert_agree(literal(*flat, p=1.0), theirs, student)
    assert SP()(student, teacher).item() != pytest.approx(theirs.item(), rel=0.1)


def test_a_row_of_zeros_has_a_gradient_of_ordinary_size() -> None:
    student = torch.randn(4, 6)
    student[1] = 0
    student.requires_grad_()
    SP()(student, torch.randn(4, 9)).backward()
    assert 0 < student.grad[1].abs().max() < 10


def test_a_single_row_has_no_relation_and_stays_in_the_graph() -> None:
    student = torch.randn(1, 6, requires_grad=True)
    value = SP()(student, torch.randn(1, 9))
    value.backward()
    assert value.item() == 0
    assert student.grad.abs().max() < 1e-6


def test_unlike_numbers_of_rows() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"SP compares equal numbers of rows, got \(3, 6\) and \(1, 9\)"):
        SP()(torch.randn(3, 6), torch.randn(1, 9))
