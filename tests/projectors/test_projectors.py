from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from xkd.grid import resize
from xkd.projectors import MLP, Conv1x1, Identity, PooledLinear, Resize


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_conv1x1_is_a_convolution_and_then_the_teachers_grid() -> None:
    projector, maps = Conv1x1(), torch.rand(2, 3, 4, 4)
    projector.bind((3, 4, 4), (5, 2, 2))
    layer = projector.layers[0]
    by_hand = torch.einsum("oi,bihw->bohw", layer.weight[:, :, 0, 0], maps) + layer.bias.reshape(1, -1, 1, 1)
    torch.testing.assert_close(projector(maps), by_hand.reshape(2, 5, 2, 2, 2, 2).mean((3, 5)))


def test_conv1x1_can_end_in_batch_normalisation() -> None:
    projector = Conv1x1(norm=True)
    projector.bind((3, 4, 4), (5, 4, 4))
    projected = projector(torch.rand(6, 3, 4, 4))
    torch.testing.assert_close(projected.mean((0, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    assert projector.layers[0].bias is None


@pytest.mark.parametrize(("source", "target"), [((3, 4, 6), (5, 4, 6)), ((3, 4, 6), (5, 8, 2)), ((7,), (2,))])
def test_mlp_treats_each_position_alike(source: tuple[int, ...], target: tuple[int, ...]) -> None:
    projector = MLP(ratio=2.0)
    projector.bind(source, target)
    assert projector.layers[0].out_features == 2 * max(source[0], target[0])
    reading = torch.rand(2, *source)
    assert projector(reading).shape == (2, *target)
    if source[1:] == target[1:] and len(source) == 3:
        torch.testing.assert_close(projector(reading)[:, :, 1, 2], projector.layers(reading[:, :, 1, 2]))


@pytest.mark.parametrize("shape", [(4, 5, 3), (4,)])
def test_pooled_linear_averages_positions(shape: tuple[int, ...]) -> None:
    projector, reading = PooledLinear(), torch.rand(2, *shape)
    projector.bind(shape, (6,))
    pooled = reading.mean((2, 3)) if len(shape) == 3 else reading
    torch.testing.assert_close(projector(reading), projector.layers[0](pooled))


@pytest.mark.parametrize(
    ("projector", "source", "target", "message"),
    [
        (
            Conv1x1(),
            (8,),
            (5, 2, 2),
            r"Conv1x1 projects maps \(C, H, W\) to maps, got \(8,\) -> \(5, 2, 2\): tap layers before the pooling",
        ),
        (Conv1x1(), (8, 2, 2), (5,), r"Conv1x1 projects maps \(C, H, W\) to maps, got \(8, 2, 2\) -> \(5,\)"),
        (Resize(), (8, 2, 2), (5, 2, 2), r"Resize keeps the channels, got \(8, 2, 2\) -> \(5, 2, 2\); Conv1x1, MLP or Orthogonal"),
        (Resize(), (8,), (8,), r"Resize projects maps \(C, H, W\) to maps, got \(8,\) -> \(8,\)"),
        (Identity(), (8, 2, 2), (8, 2, 3), r"Identity serves equal shapes, got \(8, 2, 2\) -> \(8, 2, 3\); Resize changes the grid"),
        (MLP(), (8,), (5, 2, 2), r"MLP projects vectors to vectors or maps to maps, got \(8,\) -> \(5, 2, 2\)"),
        (MLP(), (8, 2), (5, 2), r"MLP projects vectors to vectors or maps to maps"),
        (PooledLinear(), (8, 2, 2), (5, 2, 2), r"PooledLinear projects maps or vectors to a vector \(K,\), got \(8, 2, 2\) -> \(5, 2, 2\)"),
    ],
)
def test_shapes_that_it_cannot_serve_are_named(projector: Any, source: tuple[int, ...], target: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        projector.bind(source, target)


@pytest.mark.parametrize("shape", [(3, 4, 6), (5,)])
def test_identity_gives_the_very_reading(shape: tuple[int, ...]) -> None:
    projector, reading = Identity(), torch.rand(2, *shape)
    projector.bind(shape, shape)
    assert projector(reading) is reading


def test_resize_moves_the_grid_alone() -> None:
    projector, maps = Resize(), torch.rand(2, 3, 4, 6)
    projector.bind((3, 4, 6), (3, 2, 12))
    assert torch.equal(projector(maps), resize(maps, (2, 12)))
    assert not list(projector.parameters())


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_a_hidden_layer_has_a_width(ratio: float) -> None:
    with pytest.raises(ValueError, match="ratio must be positive"):
        MLP(ratio)


def test_a_small_ratio_still_leaves_a_hidden_layer() -> None:
    projector = MLP(ratio=0.01)
    projector.bind((8,), (3,))
    assert projector.layers[0].out_features == 1


def test_nothing_exists_before_the_shapes_are_known() -> None:
    for projector in (Conv1x1(), MLP(), PooledLinear()):
        assert isinstance(projector, nn.Module)
        assert not list(projector.parameters())
