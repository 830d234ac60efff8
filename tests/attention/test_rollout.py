from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from xkd.attention import attention_map
from xkd.graph.branch import Branch
from xkd.tasks import Classification


def test_it_is_the_product_of_the_blocks_with_half_of_the_identity(vit: Callable[..., Branch], task: Classification) -> None:
    branch = vit({}).eval()
    images = torch.rand(2, 3, 32, 48)
    kept: list[np.ndarray] = []
    for block in branch.model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_pre_hook(lambda _m, inputs: kept.append(inputs[0].detach().numpy().astype(float)))
    rollout = attention_map(branch, images, task, "rollout")
    for image in range(2):
        flow = np.eye(25)
        for weights in kept[: len(branch.model.blocks)]:
            flow = (0.5 * weights[image].mean(0) + 0.5 * np.eye(25)) @ flow
        assert flow.sum(1) == pytest.approx(1)
        assert rollout[image].numpy().ravel() == pytest.approx(flow[0, 1:], abs=1e-6)
    assert rollout.shape == (2, 1, 4, 6)


def test_it_leaves_the_network_as_it_was(vit: Callable[..., Branch], task: Classification) -> None:
    branch = vit({})
    attention_map(branch, torch.rand(2, 3, 32, 48), task, "rollout")
    assert branch.training
    assert all(block.attn.fused_attn for block in branch.model.blocks)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in branch.model.modules())


def test_a_network_without_attention_is_refused(cnn: Callable[..., Branch], task: Classification) -> None:
    with pytest.raises(ValueError, match=r"ResNet has weights between no tokens at all .*: read the attention of one block, or Grad-CAM"):
        attention_map(cnn({}), torch.rand(2, 3, 64, 96), task, "rollout")
