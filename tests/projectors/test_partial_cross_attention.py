from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from xkd.grid import resize
from xkd.projectors import PartialCrossAttention
from xkd.taps import Tap, Taps


def bound(source: tuple[int, ...], target: tuple[int, ...], heads: int = 1) -> PartialCrossAttention:
    torch.manual_seed(0)
    projector = PartialCrossAttention(heads)
    projector.bind(source, target)
    return projector.double()


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("grid", [(4, 4), (2, 7), (1, 1)])
def test_each_position_of_each_head_is_a_mean_of_values_weighed_by_its_query(heads: int, grid: tuple[int, int]) -> None:
    projector = bound((5, 4, 6), (6, *grid), heads)
    maps = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    layer, width = projector.layers[0], 6 // heads
    queries, keys, values = (
        F.conv2d(resize(maps, grid), layer.weight[k : k + 6], layer.bias[k : k + 6], padding=1).flatten(2) for k in (0, 6, 12)
    )
    by_hand = torch.zeros(2, 6, grid[0] * grid[1], dtype=torch.float64)
    for head in range(heads):
        of_head = slice(head * width, (head + 1) * width)
        for row in range(2):
            for position in range(grid[0] * grid[1]):
                scores = queries[row, of_head, position] @ keys[row, of_head] / width**0.5
                by_hand[row, of_head, position] = values[row, of_head] @ torch.softmax(scores, 0)
    torch.testing.assert_close(projector(maps), by_hand.reshape(2, 6, *grid))


def test_queries_keys_and_values_learn() -> None:
    projector = bound((5, 4, 6), (6, 4, 6), heads=2)
    projector(torch.rand(2, 5, 4, 6).double()).pow(2).sum().backward()
    assert (projector.layers[0].weight.grad.abs().amax((1, 2, 3)) > 1e-12).all()


def test_its_target_is_the_attention_of_a_timm_vit_before_and_after_its_output_layer() -> None:
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=(32, 48), patch_size=16, depth=1, embed_dim=12, num_heads=2)
    taps = Taps(vit.eval(), {"equation 3": Tap("blocks.0.attn.norm"), "output": Tap("blocks.0.attn")})
    with torch.no_grad():
        vit(torch.rand(2, 3, 32, 48))
    readings = taps.read((2, 3, 32, 48))
    taps.close()
    assert readings["equation 3"].shape == readings["output"].shape == (2, 12, 2, 3)
    after = (
        torch.einsum("dc,bchw->bdhw", vit.blocks[0].attn.proj.weight, readings["equation 3"]) + vit.blocks[0].attn.proj.bias[:, None, None]
    )
    torch.testing.assert_close(after, readings["output"], rtol=1e-4, atol=1e-5)


def test_heads_divide_the_teachers_channels() -> None:
    with pytest.raises(ValueError, match=r"PartialCrossAttention splits 6 channels into 4 heads, got \(5, 2, 2\) -> \(6, 2, 2\)"):
        PartialCrossAttention(4).bind((5, 2, 2), (6, 2, 2))
    with pytest.raises(ValueError, match="heads must be at least 1, got 0"):
        PartialCrossAttention(0)
