from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from core_models import RGB_VIEW, TASK, make_batch
from torch import nn

from xkd.batch import View
from xkd.graph.branch import Branch, Head
from xkd.graph.weights import Random
from xkd.projectors import OFAHead
from xkd.taps import Tap


def bound(source: tuple[int, ...], num_classes: int = 3, grid: int = 7) -> OFAHead:
    torch.manual_seed(0)
    head = OFAHead(grid)
    head.bind(source, (num_classes,))
    return head


@pytest.mark.parametrize(
    ("source", "widths"),
    [
        ((64, 56, 56), [128, 256, 512]),  # ResNet-18, stages 1 to 3, end as wide as its stage 4
        ((128, 28, 28), [256, 512]),
        ((256, 14, 14), [512]),
        ((512, 7, 7), []),
        ((192, 14, 14), [384]),  # a ViT
        ((24, 13, 13), []),
        ((24, 27, 27), [48, 96]),  # 27, 14, 7
        ((24, 6, 30), [48, 96]),  # the longer side counts
        ((24, 1, 1), []),
        ((24,), []),
    ],
)
def test_the_grid_says_how_often_to_halve(source: tuple[int, ...], widths: list[int]) -> None:
    head = bound(source)
    assert [layer[-2].num_features for layer in head.layers if isinstance(layer, nn.Sequential)] == widths
    assert head.layers[-1].in_features == (widths or [source[0]])[-1]
    assert head.eval()(torch.rand(1, *source)).shape == (1, 3)


@pytest.mark.parametrize(("source", "grid", "widths"), [((64, 8, 8), 2, [128, 256]), ((24, 8, 8), 1, [48, 96, 192]), ((24, 8, 8), 8, [])])
def test_small_images_end_on_a_smaller_grid(source: tuple[int, ...], grid: int, widths: list[int]) -> None:
    head = bound(source, grid=grid)
    assert [layer[-2].num_features for layer in head.layers if isinstance(layer, nn.Sequential)] == widths


def test_a_grid_has_positions() -> None:
    with pytest.raises(ValueError, match="1 or more, got 0"):
        OFAHead(grid=0)


def test_without_halving_it_is_a_projection_a_mean_and_a_linear_layer() -> None:
    head, maps = bound((4, 5, 3)), torch.rand(2, 4, 5, 3)
    projection, last = head.layers[0], head.layers[-1]
    by_hand = (maps.mean((2, 3)) @ projection.weight[:, :, 0, 0].T + projection.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(head(maps), by_hand)


def test_a_halving_is_two_separable_convolutions() -> None:
    halving, maps = bound((4, 14, 16)).layers[0], torch.rand(2, 4, 14, 16)
    kinds = [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in halving] == [*kinds, *kinds]
    assert [(layer.kernel_size[0], layer.stride[0], layer.groups) for layer in halving if isinstance(layer, nn.Conv2d)] == [
        (3, 2, 4),
        (1, 1, 1),
        (3, 1, 4),
        (1, 1, 1),
    ]
    assert halving(maps).shape == (2, 8, 7, 8)


def test_one_row_is_enough_to_train_on() -> None:
    for source in [(4, 1, 1), (4, 14, 1), (4, 20, 20), (4,)]:
        assert bound(source)(torch.rand(1, *source)).isfinite().all()


NETWORKS: dict[str, dict[str, Any]] = {
    "mobilenetv3_small_050": {},
    "vit_tiny_patch16_224": {"img_size": (64, 96), "embed_dim": 48, "num_heads": 2, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": (64, 96), "embed_dim": 12, "num_heads": (1, 1, 2, 2), "depths": (1, 1, 1, 1)},
    "gmlp_ti16_224": {"img_size": 64},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_an_exit_on_every_stage_of_any_architecture(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **NETWORKS[name])
    view = View("rgb", RGB_VIEW.modality, (64, 64) if name.startswith("gmlp") else (64, 96))
    stages = range(len(model.feature_info))
    taps, heads = {f"stage{k}": Tap(f"stage:{k}") for k in stages}, {f"exit{k}": Head(f"stage{k}", OFAHead()) for k in stages}
    branch = Branch(model, view, Random(), taps, heads=heads)
    branch.bind(TASK)
    capture = branch(make_batch(2, views=(view,)), TASK)
    assert len(stages) > 1
    for k in stages:
        assert capture[f"exit{k}"].shape == (2, 3)
    torch.stack([capture[f"exit{k}"].pow(2).sum() for k in stages]).sum().backward()
    assert all(parameter.grad is not None for head in branch.heads.values() for parameter in head.parameters())


def test_logits_are_a_vector() -> None:
    with pytest.raises(ValueError, match=r"OFAHead turns maps or vectors into logits \(K,\), got \(4, 8, 8\) -> \(3, 8, 8\)"):
        OFAHead().bind((4, 8, 8), (3, 8, 8))
