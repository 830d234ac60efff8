"""Grad-CAM's relatives by the library, against our own Grad-CAM where they agree, on CNNs, tokens and frozen branches."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from xkd.attention import attention_map
from xkd.attention.library import RELATIVES
from xkd.graph.branch import Branch
from xkd.taps import Tap
from xkd.tasks import Classification, Segmentation

pytest.importorskip("pytorch_grad_cam", reason="the library grad-cam is not installed")


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", RELATIVES)
def test_every_relative_gives_a_map_and_leaves_the_branch_alone(
    method: str, frozen: bool, cnn: Callable[..., Branch], task: Classification
) -> None:
    torch.manual_seed(0)
    branch = cnn({"look": Tap("layer2", kind="attention")}, frozen=frozen)
    for parameter in branch.parameters():
        parameter.grad = torch.ones_like(parameter) if not frozen else None
    hooks = sum(len(module._forward_hooks) for module in branch.modules())
    training = branch.training
    maps = attention_map(branch, 255 * torch.rand(2, 3, 64, 96), task, f"{method}:stage:-1")
    assert maps.shape == (2, 1, 64, 96)
    assert ((maps >= 0) & (maps <= 1)).all()
    assert branch.training == training
    assert sum(len(module._forward_hooks) for module in branch.modules()) == hooks
    assert all((parameter.grad is None) == frozen for parameter in branch.parameters())


def test_hires_cam_of_the_last_layer_is_grad_cam(cnn: Callable[..., Branch], task: Classification) -> None:
    """Draelos and Carin, arXiv:2011.08891: they are the same for a network that ends in a pooling and one linear layer."""
    torch.manual_seed(1)
    branch = cnn({})
    torch.nn.init.normal_(branch.model.get_classifier().weight)
    images, classes = 255 * torch.rand(2, 3, 64, 96), torch.tensor([0, 2])
    ours = attention_map(branch, images, task, "grad_cam:stage:-1", classes)
    theirs = attention_map(branch, images, task, "hires_cam:stage:-1", classes)
    scaled = ours - ours.amin((2, 3), keepdim=True)
    scaled = scaled / scaled.amax((2, 3), keepdim=True)
    torch.testing.assert_close(F.interpolate(scaled, (64, 96), mode="bilinear"), theirs, atol=2e-2, rtol=0)


def test_tokens_are_put_on_their_grid(vit: Callable[..., Branch], task: Classification) -> None:
    maps = attention_map(vit({}), torch.rand(2, 3, 32, 48), task, "layer_cam:blocks.1.norm1")
    assert maps.shape == (2, 1, 32, 48)


def test_what_cannot_be_explained(cnn: Callable[..., Branch], task: Classification, monkeypatch: pytest.MonkeyPatch) -> None:
    branch = cnn({})
    pixels = Segmentation(("a", "b", "c"))
    branch.model.forward = lambda images: images
    with pytest.raises(
        ValueError, match=r"layer_cam explains one score per class, \(batch, classes\); this task's output is \(1, 3, 64, 96\)"
    ):
        attention_map(branch, torch.rand(1, 3, 64, 96), pixels, "layer_cam:layer2")
    with pytest.raises(ValueError, match=r"unknown attention method 'layer_kam:layer2'; legal are .*layer_cam:PATH"):
        attention_map(branch, torch.rand(1, 3, 64, 96), task, "layer_kam:layer2")
    plain = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pytorch_grad_cam"):
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match="'layer_cam' needs the library grad-cam: pip install --no-deps grad-cam ttach"):
        attention_map(branch, torch.rand(1, 3, 64, 96), task, "layer_cam:layer2")
