from __future__ import annotations

import pytest
import torch
from torch import Tensor

from xkd.grid import resize
from xkd.projectors import GroupLinear


def bound(source: tuple[int, ...], target: tuple[int, ...], neighbourhood: int = 4) -> GroupLinear:
    torch.manual_seed(0)
    projector = GroupLinear(neighbourhood)
    projector.bind(source, target)
    return projector.double()


def position_by_position(projector: GroupLinear, maps: Tensor) -> Tensor:
    """The layer of each position is that of its neighbourhood."""
    n = projector.neighbourhood
    rows = []
    for i in range(maps.shape[2]):
        row = [maps[:, :, i, j] @ projector.weight[i // n, j // n].T + projector.bias[i // n, j // n] for j in range(maps.shape[3])]
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


@pytest.mark.parametrize("grid", [(14, 14), (7, 7), (8, 4), (3, 2), (1, 1), (1, 9), (13, 5)])
@pytest.mark.parametrize("neighbourhood", [4, 3, 1])
def test_each_position_has_the_layer_of_its_neighbourhood(grid: tuple[int, int], neighbourhood: int) -> None:
    projector, maps = bound((3, *grid), (5, *grid), neighbourhood), torch.randn(2, 3, *grid, dtype=torch.float64)
    torch.testing.assert_close(projector(maps), position_by_position(projector, maps))


# the authors' own lists of tokens for 7x7, rows of seven: 4 + 3 along each axis
AUTHORS_7X7 = (
    (0, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 17, 21, 22, 23, 24),
    (4, 5, 6, 11, 12, 13, 18, 19, 20, 25, 26, 27),
    (28, 29, 30, 31, 35, 36, 37, 38, 42, 43, 44, 45),
    (32, 33, 34, 39, 40, 41, 46, 47, 48),
)


def test_the_groups_are_those_of_the_authors() -> None:
    assert bound((3, 14, 14), (5, 14, 14)).weight.shape == (4, 4, 5, 3), "16 layers for 14x14"
    projector = bound((3, 7, 7), (5, 7, 7))
    for number, tokens in enumerate(AUTHORS_7X7):
        changed = bound((3, 7, 7), (5, 7, 7))
        with torch.no_grad():
            changed.bias[number // 2, number % 2] += 1
        moved = (changed(torch.zeros(1, 3, 7, 7).double()) - projector(torch.zeros(1, 3, 7, 7).double())).flatten(2)[0, 0]
        assert tuple(moved.nonzero().flatten().tolist()) == tokens


def test_another_grid_is_the_teachers_first() -> None:
    projector, maps = bound((3, 20, 5), (5, 9, 6)), torch.randn(2, 3, 20, 5, dtype=torch.float64)
    torch.testing.assert_close(projector(maps), position_by_position(projector, resize(maps, (9, 6))))


def test_every_layer_learns() -> None:
    projector = bound((3, 13, 6), (5, 13, 6))
    projector(torch.rand(2, 3, 13, 6).double()).pow(2).sum().backward()
    assert (projector.weight.grad.abs().amax((2, 3)) > 0).all()
    assert (projector.bias.grad.abs().amax(2) > 0).all()


def test_a_neighbourhood_holds_a_position() -> None:
    with pytest.raises(ValueError, match="neighbourhood must be at least 1, got 0"):
        GroupLinear(0)
