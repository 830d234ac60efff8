from __future__ import annotations

import pytest
import torch
from core_models import unchecked
from torch import Tensor
from torchdistill.losses.mid_level import ATLoss

from xkd.losses import AT


def literal(student: Tensor, teacher: Tensor, p: float) -> float:
    """mean over rows and positions of (q_s - q_t)^2, q = vec(mean_c x^p) / its length."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        q_s = torch.stack([(s[:, y, x] ** p).sum() / len(s) for y in range(s.shape[1]) for x in range(s.shape[2])])
        q_t = torch.stack([(t[:, y, x] ** p).sum() / len(t) for y in range(t.shape[1]) for x in range(t.shape[2])])
        total += float(((q_s / (q_s**2).sum().sqrt() - q_t / (q_t**2).sum().sqrt()) ** 2).sum()) / len(q_s)
    return total / len(student)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_the_formula_of_the_authors_code(p: float) -> None:
    student, teacher = torch.randn(3, 4, 5, 6, dtype=torch.float64), torch.randn(3, 9, 5, 6, dtype=torch.float64)
    assert AT(p)(student, teacher).item() == pytest.approx(literal(student, teacher, p), rel=1e-12)


@pytest.mark.parametrize("p", [0.0, -1.0, 1.5])
def test_a_power_that_some_activations_do_not_have(p: float) -> None:
    with pytest.raises(ValueError, match="p, the power of activations of either sign, must be a whole number from 1 on, got"):
        AT(p)


def test_value_and_gradient_equal_torchdistill_on_equal_grids() -> None:
    # its ATLoss does not resize
    student = torch.randn(4, 6, 7, 7, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 11, 7, 7, dtype=torch.float64)
    side = {"io": "output", "path": "mid"}
    oracle = ATLoss({"mid": {"student": side, "teacher": side, "weight": 1.0}}, mode="code")
    theirs = oracle({"mid": {"output": student}}, {"mid": {"output": teacher}})
    ours = AT()(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9 * float(theirs_gradient.abs().max()))


@pytest.mark.parametrize(
    ("student_grid", "teacher_grid"), [((4, 8), (4, 8)), ((8, 8), (4, 8)), ((4, 8), (4, 16)), ((8, 8), (4, 16)), ((4, 16), (8, 8))]
)
def test_the_larger_axis_is_averaged_down_on_either_side(student_grid: tuple[int, int], teacher_grid: tuple[int, int]) -> None:
    def pooled(maps: Tensor) -> Tensor:
        b, c, h, w = maps.shape
        return maps.reshape(b, c, 4, h // 4, 8, w // 8).mean((3, 5))

    student, teacher = torch.randn(2, 3, *student_grid, dtype=torch.float64), torch.randn(2, 5, *teacher_grid, dtype=torch.float64)
    assert AT()(student, teacher).item() == pytest.approx(literal(pooled(student), pooled(teacher), 2.0), rel=1e-12)


def test_the_scale_of_features_does_not_matter_and_the_maps_size_does() -> None:
    student, teacher = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    value = AT()(student, teacher).item()
    assert AT()(10 * student, teacher).item() == pytest.approx(value, rel=1e-9)
    finer = [maps.repeat_interleave(2, 2).repeat_interleave(2, 3) for maps in (student, teacher)]
    # the trap that the docstring names: as 1 / (H W)
    assert AT()(*finer).item() == pytest.approx(value / 4, rel=1e-9)


def test_a_map_without_activation_gives_no_nan() -> None:
    student = torch.zeros(1, 2, 3, 3, requires_grad=True)
    AT()(student, torch.rand(1, 2, 3, 3)).backward()
    assert torch.isfinite(student.grad).all()


def test_one_position_has_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match=r"AT compares 2 positions or more.*\(2, 3, 4, 4\) and \(2, 5, 1, 1\); tap a layer with a larger"):
        AT()(torch.rand(2, 3, 4, 4), torch.rand(2, 5, 1, 1))


@pytest.mark.parametrize("shape", [(1, 5, 4, 4), (2, 5), (2, 5, 4)])
def test_other_rows_and_vectors_are_refused_even_where_torch_would_broadcast(shape: tuple[int, ...]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"AT compares .*\(2, 3, 4, 4\) and "):
        AT()(torch.rand(2, 3, 4, 4), torch.rand(shape))
