from __future__ import annotations

import pytest
import torch

from xkd.grid import common_grid, resize


def test_an_axis_that_shrinks_is_averaged() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resize(maps, (2, 2)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_an_axis_that_grows_is_interpolated_and_keeps_a_constant() -> None:
    assert torch.allclose(resize(torch.full((2, 3, 2, 5), 7.0), (6, 9)), torch.tensor(7.0))


def test_each_axis_is_treated_by_itself() -> None:
    maps = torch.rand(1, 2, 2, 8)
    shrunk_then_grown = torch.nn.functional.interpolate(maps.reshape(1, 2, 2, 4, 2).mean(-1), (6, 4), mode="bilinear")
    assert torch.allclose(resize(maps, (6, 4)), shrunk_then_grown)


def test_the_same_size_is_the_same_tensor() -> None:
    maps = torch.rand(1, 1, 3, 5)
    assert resize(maps, (3, 5)) is maps


@pytest.mark.parametrize(("first", "second", "common"), [((4, 8), (8, 4), (4, 4)), ((7, 7), (28, 28), (7, 7)), ((6, 4), (6, 4), (6, 4))])
def test_the_common_grid_is_the_smaller_along_each_axis(first: tuple[int, int], second: tuple[int, int], common: tuple[int, int]) -> None:
    one, two = common_grid(torch.rand(2, 3, *first), torch.rand(2, 5, *second))
    assert one.shape == (2, 3, *common)
    assert two.shape == (2, 5, *common)
