"""Rollout as a reading, which a term can learn from."""

from __future__ import annotations

import pytest
import torch
from networks import SIZE, read, resnet, vit

from xkd.taps import Tap, Taps


def test_it_is_read_beside_others_in_one_pass_and_learned_from() -> None:
    model = vit()
    images = torch.randn(2, 3, *SIZE)
    plain = model(images)
    taps = Taps(model, {"flow": Tap("blocks", kind="rollout"), "one": Tap("blocks.1", kind="attention"), "last": Tap("stage:-1")})
    assert torch.allclose(taps(images), plain, atol=1e-5)
    readings = taps.read(images.shape)
    assert readings["flow"].shape == (2, 1, 4, 6)
    assert readings["one"].shape == (2, 3, 4, 6)
    readings["flow"].pow(2).sum().backward()
    assert all(block.attn.qkv.weight.grad.any() for block in model.blocks)
    taps.close()
    assert all(block.attn.fused_attn for block in model.blocks)


def test_some_blocks_or_all() -> None:
    model = vit(depth=3)

    def same(tap: Tap) -> torch.Tensor:
        torch.manual_seed(2)
        return read(model, tap)

    whole, blocks, one = (same(Tap(path, kind="rollout")) for path in ("", "blocks", "blocks.2"))
    attention = same(Tap("blocks.2", kind="attention")).mean(1, keepdim=True)
    assert torch.equal(whole, blocks)
    assert torch.allclose(one, attention / 2, atol=1e-6), "half of it is the class token's own"
    assert not torch.allclose(one, whole)


def test_networks_without_blocks_that_fit() -> None:
    with pytest.raises(ValueError, match=r"same tokens through all blocks; ResNet has weights between no tokens at all"):
        read(resnet(), Tap("", kind="rollout"))
