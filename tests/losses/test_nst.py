from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import unchecked
from torch import Tensor

from xkd.losses import NST


def literal(student: Tensor, teacher: Tensor) -> Tensor:
    """mean k(t, t) + mean k(s, s) - 2 mean k(s, t), the mean over rows, channel by channel; k(x, y) = (x . y)^2.

    torchdistill has no such loss.
    """

    def mean_kernel(first: list[Tensor], second: list[Tensor]) -> Tensor:
        return torch.stack([(x * y).sum() ** 2 for x in first for y in second]).mean()

    total = []
    for s, t in zip(student, teacher, strict=True):
        of_s, of_t = ([channel.flatten() / channel.pow(2).sum().sqrt() for channel in maps] for maps in (s, t))
        total.append(mean_kernel(of_t, of_t) + mean_kernel(of_s, of_s) - 2 * mean_kernel(of_s, of_t))
    return torch.stack(total).mean()


@pytest.mark.parametrize(("channels", "grid"), [((3, 5), (4, 6)), ((7, 9), (2, 3)), ((2, 9), (2, 2))], ids=["fine", "coarse", "unlike"])
def test_the_formula_whichever_matrices_are_smaller(channels: tuple[int, int], grid: tuple[int, int]) -> None:
    student, teacher = (torch.randn(3, number, *grid, dtype=torch.float64) for number in channels)
    student.requires_grad_()
    assert_agree(NST()(student, teacher), literal(student, teacher), student)


@pytest.mark.parametrize(("student_grid", "teacher_grid"), [((8, 8), (4, 8)), ((4, 8), (4, 16)), ((8, 8), (4, 16))])
def test_the_larger_axis_is_averaged_down_on_either_side(student_grid: tuple[int, int], teacher_grid: tuple[int, int]) -> None:
    def pooled(maps: Tensor) -> Tensor:
        b, c, h, w = maps.shape
        return maps.reshape(b, c, 4, h // 4, 8, w // 8).mean((3, 5))

    student = torch.randn(2, 3, *student_grid, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 5, *teacher_grid, dtype=torch.float64)
    assert_agree(NST()(student, teacher), literal(pooled(student), pooled(teacher)), student)


@pytest.mark.parametrize(("channels", "grid"), [(2, 6), (40, 3)])
def test_channels_without_activation_give_no_nan(channels: int, grid: int) -> None:
    student = torch.rand(2, channels, grid, grid)
    student[:, 0] = 0
    student[1] = 0
    student.requires_grad_()
    NST()(student, torch.rand(2, 3, grid, grid)).backward()
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() < 10


def test_memory_is_that_of_the_smaller_matrices() -> None:
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    for channels, grid in ((256, 2), (4, 16)):
        sizes.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            NST()(torch.randn(2, channels, grid, grid, requires_grad=True), torch.randn(2, channels, grid, grid))
        assert max(sizes) == 2 * channels * grid**2, "the maps themselves"


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ((3, 9, 2, 2), (1, 9, 2, 2), r"NST compares the same rows, got maps of \(3, 9, 2, 2\) and \(1, 9, 2, 2\)"),
        ((3, 9, 1, 1), (3, 9, 2, 2), r"NST compares 2 positions or more, got maps of \(3, 9, 1, 1\)"),
        ((3, 9), (3, 9), r"NST compares maps \(B, C, H, W\), got maps of \(3, 9\)"),
    ],
)
def test_what_cannot_be_compared(student: tuple[int, ...], teacher: tuple[int, ...], message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        NST()(torch.randn(student), torch.randn(teacher))
