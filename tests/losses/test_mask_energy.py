from __future__ import annotations

import pytest
import torch
from core_models import unchecked
from torch import Tensor

from xkd.losses import MaskEnergy


def energy_inside(attention: Tensor, mask: Tensor) -> float:
    """The energy-based pointing game of one row at the mask's own size: the attention's cells are repeated, not smoothed."""
    down, right = mask.shape[-2] // attention.shape[-2], mask.shape[-1] // attention.shape[-1]
    positive = attention.mean(0).clamp(min=0).repeat_interleave(down, 0).repeat_interleave(right, 1)
    return float((positive * mask[0]).sum() / positive.sum())


@pytest.mark.parametrize("size", [(4, 6), (16, 24), (20, 30)])
def test_it_is_one_minus_the_energy_inside_the_mask_at_the_masks_size(size: tuple[int, int]) -> None:
    attention = torch.rand(5, 3, 4, 6, dtype=torch.float64)
    mask = (torch.rand(5, 1, *size) > 0.6).double()
    expected = sum(1 - energy_inside(a, m) for a, m in zip(attention, mask, strict=True)) / 5
    assert MaskEnergy()(attention, mask).item() == pytest.approx(expected, rel=1e-12)


def test_all_inside_is_zero_and_all_outside_is_one() -> None:
    attention, mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 8, 8)
    attention[..., :2, :2] = 3.0
    mask[..., :4, :4] = 1.0
    assert MaskEnergy()(attention, mask).item() == 0
    assert MaskEnergy()(attention, 1 - mask).item() == 1


def test_of_signed_attention_the_whole_is_the_sum_of_magnitudes() -> None:
    attention, mask = torch.tensor([[[[3.0, -2.0], [1.0, -4.0]]]]), torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    assert MaskEnergy()(attention, mask).item() == pytest.approx(1 - (3 - 0.5 * 2) / 10)
    assert MaskEnergy()(-attention.abs(), torch.ones_like(mask)).item() == pytest.approx(2)


def test_rows_with_an_empty_mask_neither_count_nor_pull() -> None:
    attention = torch.rand(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    mask = (torch.rand(3, 1, 4, 4) > 0.5).double()
    mask[1] = 0
    loss = MaskEnergy()(attention, mask)
    assert loss.item() == pytest.approx(MaskEnergy()(attention[[0, 2]], mask[[0, 2]]).item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, attention)
    assert gradient[1].abs().max() == 0
    assert gradient[0].abs().max() > 0
    assert MaskEnergy()(attention, torch.zeros_like(mask)).item() == 0


def test_attention_that_is_nowhere_positive_is_drawn_up_inside_the_mask() -> None:
    attention = torch.full((1, 1, 2, 2), -1.0)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    for _ in range(50):
        attention = attention.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(MaskEnergy()(attention, mask), attention)
        attention = attention - gradient
    assert attention[0, 0, 0, 0] > 0
    assert MaskEnergy()(attention, mask) < 0.2


def test_attention_of_zeros_gives_no_nan() -> None:
    attention = torch.zeros((1, 1, 2, 2), requires_grad=True)
    loss = MaskEnergy()(attention, torch.ones(1, 1, 2, 2))
    loss.backward()
    assert loss.item() == 1
    assert torch.isfinite(attention.grad).all()


def test_a_gradient_step_moves_attention_into_the_mask() -> None:
    attention = torch.ones(1, 1, 2, 2, requires_grad=True)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    (gradient,) = torch.autograd.grad(MaskEnergy()(attention, mask), attention)
    assert gradient[0, 0, 0, 0] < 0
    assert (gradient.flatten()[1:] > 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3)])
def test_one_position_has_no_inside_and_outside(shape: tuple[int, ...]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"MaskEnergy needs attention .* 2 positions or more.*\(2, 3.*masks \(2, 1, 8, 8\)"):
        MaskEnergy()(torch.rand(shape), torch.rand(2, 1, 8, 8))


@pytest.mark.parametrize("shape", [(2, 1, 8), (2, 3, 8, 8), (1, 1, 8, 8)])
def test_a_mask_of_another_shape_is_refused_even_where_torch_would_broadcast(shape: tuple[int, ...]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"MaskEnergy needs one mask \(1, H, W\) for each row"):
        MaskEnergy()(torch.rand(2, 3, 4, 4), torch.rand(shape))


@pytest.mark.parametrize(("grid", "mask"), [((6, 6), (5, 300)), ((4, 8), (64, 64)), ((6, 6), (99, 3))])
def test_a_mask_of_another_image_is_refused(grid: tuple[int, int], mask: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"masks of the same image as the maps, got .*, which differ in their proportions"):
        MaskEnergy()(torch.rand(2, 1, *grid), torch.rand(2, 1, *mask))


@pytest.mark.parametrize(("grid", "mask"), [((7, 10), (224, 320)), ((3, 4), (72, 72)), ((2, 3), (48, 80))])
def test_a_grid_need_not_divide_the_image(grid: tuple[int, int], mask: tuple[int, int]) -> None:
    assert 0 <= MaskEnergy()(torch.rand(2, 1, *grid), torch.rand(2, 1, *mask)).item() <= 1
