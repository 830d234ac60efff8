from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor
from trained import distiller_with, value_of_a_step

from xkd.graph.term import Term
from xkd.losses import KD, MLKD


def logits(rows: int = 5, classes: int = 4) -> Tensor:
    return (3 * torch.randn(rows, classes, dtype=torch.float64)).requires_grad_()


def kept(values: list[float]) -> list[bool]:
    """At most the median, which is the mean of the two in the middle of an even number."""
    ordered, n = sorted(values), len(values)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return [value <= median for value in values]


def literal(student: Tensor, teacher: Tensor, taus: tuple[float, ...]) -> Tensor:
    """One temperature, one row, one class at a time."""
    (num_rows, num_classes), sure = student.shape, teacher.softmax(1).tolist()
    rows = kept([max(row) for row in sure])
    classes = kept([sum(row[k] for row in sure) for k in range(num_classes)])
    total = torch.zeros((), dtype=torch.float64)
    for tau in taus:
        s, t = (student / tau).softmax(1), (teacher / tau).softmax(1)
        for i in range(num_rows):
            if rows[i]:
                total = total + tau**2 * sum(t[i, k] * (t[i, k] / s[i, k]).log() for k in range(num_classes)) / num_rows
                total = total + sum(((s[i] * s[j]).sum() - (t[i] * t[j]).sum()) ** 2 for j in range(num_rows)) / num_rows
        for k in range(num_classes):
            if classes[k]:
                differences = [((s[:, k] * s[:, m]).sum() - (t[:, k] * t[:, m]).sum()) ** 2 for m in range(num_classes)]
                total = total + sum(differences) / num_classes
    return total


@pytest.mark.parametrize("shape", [(5, 4), (6, 3), (2, 7)], ids=str)
def test_the_formula(shape: tuple[int, int]) -> None:
    student, teacher = logits(*shape), logits(*shape)
    assert_agree(MLKD()(student, teacher), literal(student, teacher, (2.0, 3.0, 4.0, 5.0, 6.0)), student)
    assert_agree(MLKD([1.5])(student, teacher), literal(student, teacher, (1.5,)), student)


def test_a_mask_acts_on_its_own_row() -> None:
    """The surest row has no gradient of its soft targets, another keeps all of its own: a factor for all rows would halve both."""
    student = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[9.0, 0.0, 0.0], [5.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]).double()
    ours, soft = MLKD([4.0]), KD(4.0)
    masked = torch.autograd.grad(ours(student, teacher), student)[0]
    whole = torch.autograd.grad(soft(student, teacher), student)[0]
    # what rows and classes have in common, beside the soft targets, is far smaller
    torch.testing.assert_close(masked[2:], whole[2:], rtol=0.2, atol=0.02)
    assert masked[:2].abs().max() < 0.2 * whole[:2].abs().max()


def test_a_step_of_a_distiller() -> None:
    assert value_of_a_step(distiller_with(Term(MLKD(), "rgb.output", "thermal.output"))) > 0


def test_wrong_arguments_are_named() -> None:
    for taus in ([], [2.0, 0.0]):
        with pytest.raises(ValueError, match=r"taus must be one positive temperature or more, got \["):
            MLKD(taus)
    with unchecked(), pytest.raises(ValueError, match=r"MLKD compares logits over the same classes .*\(2, 3\) and \(2, 4\)"):
        MLKD()(logits(2, 3), logits(2, 4))
