from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xkd.grid import resize
from xkd.projectors import Translator


def bound(source: tuple[int, ...], target: tuple[int, ...], ratio: float = 1.0) -> Translator:
    torch.manual_seed(0)
    projector = Translator(ratio)
    projector.bind(source, target)
    return projector


def test_between_equal_grids_it_is_the_authors_stack() -> None:
    projector, maps = bound((6, 5, 4), (9, 5, 4), 2.0), torch.rand(2, 6, 5, 4)
    first, second, last = (projector.layers[k] for k in (1, 4, 7))
    hidden = F.layer_norm(maps, (6, 5, 4))  # scale 1 and offset 0, as it begins
    hidden = F.layer_norm(F.relu(F.conv2d(hidden, first.weight, first.bias, padding=1)), (12, 5, 4))
    hidden = F.layer_norm(F.relu(F.conv2d(hidden, second.weight, second.bias, padding=1)), (12, 5, 4))
    by_hand = F.linear(hidden.permute(0, 2, 3, 1), last.weight[:, :, 0, 0], last.bias).permute(0, 3, 1, 2)
    torch.testing.assert_close(projector(maps), by_hand, rtol=1e-4, atol=1e-5)


def grids(projector: Translator, maps: torch.Tensor) -> list[tuple[int, int]]:
    """After each convolution."""
    sizes = []
    for layer in projector.layers:
        maps = layer(maps)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            sizes.append((maps.shape[2], maps.shape[3]))
    return sizes


@pytest.mark.parametrize(
    ("source", "target", "after"),
    [
        ((16, 16), (64, 64), [(32, 32), (64, 64)]),
        ((64, 64), (16, 16), [(32, 32), (16, 16)]),
        ((14, 14), (7, 7), [(7, 7), (7, 7)]),
        ((7, 9), (14, 9), [(14, 9), (14, 9)]),
        ((14, 14), (16, 16), [(14, 14), (14, 14)]),
        ((7, 7), (56, 56), [(14, 14), (28, 28)]),  # the rest is interpolated
        ((56, 3), (7, 3), [(28, 3), (14, 3)]),
        ((8, 4), (2, 16), [(4, 4), (2, 4)]),  # one axis shrinks, the other is interpolated
        ((1, 1), (1, 1), [(1, 1), (1, 1)]),
        ((1, 1), (4, 4), [(2, 2), (4, 4)]),
        ((4, 7), (1, 1), [(2, 4), (1, 2)]),
    ],
)
def test_convolutions_bring_the_grid_nearer(source: tuple[int, int], target: tuple[int, int], after: list[tuple[int, int]]) -> None:
    projector, maps = bound((6, *source), (4, *target)), torch.rand(2, 6, *source)
    assert grids(projector, maps)[:2] == after
    torch.testing.assert_close(projector(maps), resize(projector.layers(maps), target))


def test_its_size_does_not_grow_with_the_grid() -> None:
    small, large = (sum(p.numel() for p in bound((6, n, n), (9, n, n)).parameters()) for n in (4, 40))
    assert small == large


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_a_hidden_layer_has_a_width(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio must be positive"):
        Translator(ratio)
    assert bound((6, 2, 2), (3, 2, 2), 0.01).layers[1].out_channels == 1
