from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xkd.losses import AttentionCosine


def literal(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for s, t in zip(student.mean(1).flatten(1).tolist(), teacher.mean(1).flatten(1).tolist(), strict=True):
        dot = sum(a * b for a, b in zip(s, t, strict=True))
        total += 1 - dot / math.sqrt(sum(a * a for a in s)) / math.sqrt(sum(b * b for b in t))
    return total / len(student)


def wave(size: int, phase: float) -> Tensor:
    """One smooth pattern, sampled at the cells' centres of a size x size grid."""
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    return (1.5 + torch.sin(5 * centres + phase)[:, None] * torch.cos(4 * centres - phase)[None, :]).reshape(1, 1, size, size)


def test_the_formula() -> None:
    student, teacher = torch.rand(3, 4, 5, 6, dtype=torch.float64), torch.rand(3, 2, 5, 6, dtype=torch.float64)
    assert AttentionCosine()(student, teacher).item() == pytest.approx(literal(student, teacher), rel=1e-12)


def test_the_maps_size_does_not_matter_exactly_for_repeated_cells() -> None:
    student, teacher = torch.rand(2, 3, 7, 7, dtype=torch.float64), torch.rand(2, 1, 7, 7, dtype=torch.float64)
    fine_student, fine_teacher = (maps.repeat_interleave(4, 2).repeat_interleave(4, 3) for maps in (student, teacher))
    value = AttentionCosine()(student, teacher).item()
    for pair in ((fine_student, teacher), (student, fine_teacher), (fine_student, fine_teacher)):
        assert AttentionCosine()(*pair).item() == pytest.approx(value, abs=1e-12)


def test_the_maps_size_hardly_matters_for_a_smooth_pattern() -> None:
    coarse = AttentionCosine()(wave(7, 0.0), wave(7, 1.0)).item()
    fine = AttentionCosine()(wave(28, 0.0), wave(28, 1.0)).item()
    mixed = AttentionCosine()(wave(28, 0.0), wave(7, 1.0)).item()
    assert coarse > 0.02
    assert fine == pytest.approx(coarse, rel=0.03)
    assert mixed == pytest.approx(coarse, rel=0.03)


def test_heads_and_scale_do_not_matter_and_opposite_maps_are_two() -> None:
    maps = torch.rand(2, 3, 4, 4)
    assert AttentionCosine()(7 * maps, maps.mean(1, keepdim=True)).item() == pytest.approx(0, abs=1e-6)
    assert AttentionCosine()(-maps, maps).item() == pytest.approx(2, abs=1e-6)


def test_one_position_has_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match=r"AttentionCosine compares 2 positions or more.*\(2, 3, 4, 4\) and \(2, 1, 1, 1\)"):
        AttentionCosine()(torch.rand(2, 3, 4, 4), torch.rand(2, 1, 1, 1))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_scale_of_a_map_is_nothing_to_it(scale: float) -> None:
    student, teacher = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    assert AttentionCosine()(scale * student, teacher).item() == pytest.approx(AttentionCosine()(student, teacher).item(), rel=1e-5)


def test_an_empty_map_is_unlike_all_and_moves_nothing_far() -> None:
    student = torch.zeros(1, 1, 2, 2, requires_grad=True)
    value = AttentionCosine()(student, torch.ones(1, 1, 2, 2))
    value.backward()
    assert value.item() == 1
    assert student.grad is not None
    assert student.grad.abs().max() <= 1
