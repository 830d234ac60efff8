from __future__ import annotations

import math

import pytest
import torch
from core_models import unchecked
from torch import Tensor, nn
from torch.nn import functional as F
from torchdistill.losses.mid_level import SRDLoss

from xkd.losses import NormalizedDistance


def literal(student: Tensor, teacher: Tensor, power: float) -> float:
    """log(mean over rows of the sum over features of |z_s - z_t|^power), z standardised over the batch."""

    def standardised(features: Tensor) -> list[list[float]]:
        columns = []
        for column in features.T.tolist():
            mean = sum(column) / len(column)
            variance = sum((v - mean) ** 2 for v in column) / len(column)
            columns.append([(v - mean) / math.sqrt(variance + 1e-4) for v in column])
        return columns

    total = 0.0
    for s, t in zip(standardised(student), standardised(teacher), strict=True):
        total += sum(abs(a - b) ** power for a, b in zip(s, t, strict=True))
    return math.log(total / len(student))


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_the_formula(power: float) -> None:
    student, teacher = 5 + torch.randn(6, 4, dtype=torch.float64), 0.3 * torch.randn(6, 4, dtype=torch.float64)
    assert NormalizedDistance(power=power)(student, teacher).item() == pytest.approx(literal(student, teacher, power), rel=1e-10)


def test_value_and_gradient_equal_torchdistill() -> None:
    # its value is twice that of a sum over rows, where ours is a mean; of equal logits, its other term is 0
    student, teacher = torch.randn(6, 10, dtype=torch.float64, requires_grad=True), torch.randn(6, 10, dtype=torch.float64)
    norm = nn.BatchNorm1d(10, eps=1e-4, affine=False, dtype=torch.float64)
    oracle = SRDLoss("norm", "output", "norm", "output", "fc", "output", "fc", "output", exponent=4.0)
    logits = torch.zeros(6, 3, dtype=torch.float64)
    theirs = oracle(*({"norm": {"output": norm(reading)}, "fc": {"output": logits}} for reading in (student, teacher))) / 2
    ours = NormalizedDistance()(student, teacher)
    assert ours.item() + math.log(6) == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9 * float(theirs_gradient.abs().max()))


def test_vkd_standardises_the_teacher_alone_over_its_features() -> None:
    student, teacher = torch.randn(5, 7, dtype=torch.float64), 3 + 4 * torch.randn(5, 7, dtype=torch.float64)
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        mean = sum(t) / 7
        std = math.sqrt(sum((v - mean) ** 2 for v in t) / 7 + 1e-5)
        for a, b in zip(s, t, strict=True):
            gap = abs(a - (b - mean) / std)
            total += gap**2 / 2 if gap < 1 else gap - 0.5
    assert NormalizedDistance("vkd")(student, teacher).item() == pytest.approx(total / 35, rel=1e-10)


@pytest.mark.parametrize("variant", ["srd", "vkd"])
def test_maps_of_any_grid_are_averaged_over_positions(variant: str) -> None:
    loss = NormalizedDistance(variant)
    student, teacher = torch.randn(4, 3, 5, 6, dtype=torch.float64), torch.randn(4, 3, 2, 2, dtype=torch.float64)
    pooled = loss(student.mean((2, 3)), teacher.mean((2, 3))).item()
    assert loss(student, teacher).item() == pytest.approx(pooled, rel=1e-12)
    assert loss(student.mean((2, 3)), teacher).item() == pytest.approx(pooled, rel=1e-12)


def test_neither_sides_scale_or_offset_matters() -> None:
    student, teacher = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    value = NormalizedDistance()(student, teacher).item()
    assert NormalizedDistance()(30 * student + 5, 7 * teacher - 2).item() == pytest.approx(value, abs=2e-3)


def test_equal_features_and_a_row_alone_are_finite_and_pull_nowhere() -> None:
    for rows in (1, 4):
        student = torch.randn(rows, 3, requires_grad=True)
        value = NormalizedDistance()(student, student.detach().clone())
        value.backward()
        assert torch.isfinite(value)
        assert not student.grad.any()


def test_a_descent_makes_the_features_proportional() -> None:
    student, teacher = nn.Parameter(torch.randn(8, 3)), 10 * torch.randn(8, 3)
    optimiser = torch.optim.Adam([student], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        NormalizedDistance()(student, teacher).backward()
        optimiser.step()
    correlation = F.cosine_similarity(student - student.mean(0), teacher - teacher.mean(0), dim=0)
    assert (correlation > 0.99).all()


@pytest.mark.parametrize("shape", [(4, 5), (3, 3), (4, 3, 2), (4, 5, 2, 2)])
def test_unlike_features_want_a_projector(shape: tuple[int, ...]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"\(4, 3\) and .*; give the term a projector"):
        NormalizedDistance()(torch.rand(4, 3), torch.rand(shape))


def test_legal_choices_are_named() -> None:
    with unchecked(), pytest.raises(ValueError, match="variant must be 'srd' or 'vkd', got 'l2'"):
        NormalizedDistance("l2")
    with pytest.raises(ValueError, match="power must be 1 or more"):
        NormalizedDistance(power=0.5)
