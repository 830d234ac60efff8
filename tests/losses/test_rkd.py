from __future__ import annotations

from itertools import product

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor
from torchdistill.losses.mid_level import RKDLoss

from xkd.losses import RKD


def smooth_l1(difference: Tensor) -> Tensor:
    return 0.5 * difference**2 if abs(difference) < 1 else abs(difference) - 0.5


def literal(student: Tensor, teacher: Tensor, distance_weight: float, angle_weight: float) -> Tensor:
    """Means over all pairs and all triples, one at a time; 0 where two rows are one."""

    def distance(rows: Tensor, i: int, j: int) -> Tensor:
        return (rows[i] - rows[j]).norm()

    def mean_distance(rows: Tensor) -> Tensor:
        distances = [distance(rows, i, j) for i, j in product(range(len(rows)), repeat=2)]
        return torch.stack([d for d in distances if d > 0]).mean()

    def cosine(rows: Tensor, i: int, j: int, k: int) -> Tensor:
        if not (distance(rows, i, j) > 0 and distance(rows, i, k) > 0):
            return torch.zeros((), dtype=rows.dtype)
        return ((rows[j] - rows[i]) * (rows[k] - rows[i])).sum() / distance(rows, i, j) / distance(rows, i, k)

    number = len(student)
    of_student, of_teacher = mean_distance(student), mean_distance(teacher)
    pairs = [
        smooth_l1(distance(student, i, j) / of_student - distance(teacher, i, j) / of_teacher) for i, j in product(range(number), repeat=2)
    ]
    triples = [smooth_l1(cosine(student, *ijk) - cosine(teacher, *ijk)) for ijk in product(range(number), repeat=3)]
    return distance_weight * torch.stack(pairs).mean() + angle_weight * torch.stack(triples).mean()


@pytest.mark.parametrize("weights", [(25.0, 50.0), (1.0, 0.0), (0.0, 2.0)])
def test_the_formula(weights: tuple[float, float]) -> None:
    student, teacher = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True), torch.randn(4, 7, dtype=torch.float64)
    assert_agree(RKD(*weights)(student, teacher), literal(student.flatten(1), teacher, *weights), student)


def test_equal_rows_count_neither_in_the_mean_distance_nor_as_an_angle() -> None:
    student, teacher = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 7, dtype=torch.float64)
    student[2] = student[0]
    teacher[3] = teacher[1]
    value = RKD()(student.requires_grad_(), teacher)
    assert value.item() == pytest.approx(literal(student, teacher, 25, 50).item(), rel=1e-12)


def test_value_and_gradient_equal_torchdistill() -> None:
    student, teacher = torch.randn(8, 5, dtype=torch.float64, requires_grad=True), torch.randn(8, 4, 3, dtype=torch.float64)
    oracle = RKDLoss("fc", "fc", dist_factor=25.0, angle_factor=50.0, reduction="mean")
    assert_agree(RKD()(student, teacher), oracle({"fc": {"output": student}}, {"fc": {"output": teacher}}), student)


@pytest.mark.parametrize("equal", [[0, 2], [0, 1, 2, 3]])
def test_equal_rows_give_a_gradient_of_ordinary_size(equal: list[int]) -> None:
    for offset in (0.0, 1e3):  # far from zero, products of rows leave noise where the distance is zero
        student = torch.randn(4, 40) + offset
        student[equal] = student[0].clone()
        student.requires_grad_()
        value = RKD()(student, torch.randn(4, 9))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(student.grad).all()
        assert student.grad.abs().max() < 100


@pytest.mark.parametrize(("rows", "width"), [(8, 5000), (100, 3)], ids=["wide", "many"])
def test_what_the_backward_pass_keeps_are_the_vectors_and_the_pairs(rows: int, width: int) -> None:
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        RKD()(torch.randn(rows, width, requires_grad=True), torch.randn(rows, width))
    assert max(sizes) == max(rows * width, rows * rows), "neither differences nor angles"


def test_blocks_of_angles_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = torch.randn(7, 5, dtype=torch.float64, requires_grad=True), torch.randn(7, 3, dtype=torch.float64)
    whole = RKD()(student, teacher)
    monkeypatch.setattr("xkd.losses.rkd.BLOCK", 2 * 7 * 7)
    assert_agree(RKD()(student, teacher), whole, student)


def test_a_single_row_has_no_relation_and_stays_in_the_graph() -> None:
    student = torch.randn(1, 6, requires_grad=True)
    value = RKD()(student, torch.randn(1, 9))
    value.backward()
    assert value.item() == 0
    assert not student.grad.any()


def test_unlike_numbers_of_rows() -> None:
    with unchecked(), pytest.raises(ValueError, match=r"RKD compares equal numbers of rows, got \(3, 6\) and \(1, 9\)"):
        RKD()(torch.randn(3, 6), torch.randn(1, 9))
