"""An answer for each pixel from a backbone's pyramid: shapes, taps, learning, export, for classes and for numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from core_models import CNN, RGB, RGB_VIEW, make_batch, unchecked
from pixel_branches import answers_as_a_file, learns
from torch import nn

from xkd.batch import Number, View
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy, PixelL1
from xkd.networks import PixelDecoder
from xkd.taps import Tap
from xkd.tasks import Dense, Segmentation, Task

VIEW = View("rgb", RGB, (32, 48))
TASKS = {"classes": Segmentation(("soil", "crop", "weed")), "numbers": Dense((Number("a", "m", (0, 4)), Number("b", "", (-1, 1))))}


def small(outputs: int = 3, full: bool = False, name: str = "resnet10t") -> PixelDecoder:
    torch.manual_seed(0)
    backbone = timm.create_model(name, features_only=True, out_indices=(1, 2, 3))
    return PixelDecoder(backbone, outputs, channels=16, full=full)


def outputs_of(task: Task) -> int:
    return len(task.names)


@pytest.mark.parametrize(("full", "size"), [(False, (8, 12)), (True, (32, 48))], ids=["quarter", "full"])
def test_the_output_is_on_the_finest_maps_grid_or_on_the_images(full: bool, size: tuple[int, int]) -> None:
    assert small(full=full).eval()(torch.rand(2, 3, 32, 48)).shape == (2, 3, *size)


def test_every_level_has_a_part_in_the_answer() -> None:
    network = small().eval()
    output = network(torch.rand(1, 3, 32, 48))
    output.sum().backward()
    for level in network.levels:
        assert all(parameter.grad is not None and (parameter.grad != 0).any() for parameter in level.parameters())
    assert all(parameter.grad is not None for parameter in network.pyramid.parameters())


@pytest.mark.parametrize("kind", TASKS)
def test_a_branch_learns_by_it_is_tapped_and_exported(kind: str, tmp_path: Path) -> None:
    task = TASKS[kind]
    branch = Branch(
        small(outputs_of(task), full=kind == "numbers"),
        VIEW,
        Random(),
        {"fine": Tap("pyramid.layer_blocks.0"), "deep": Tap("backbone.layer3")},
    )
    loss: nn.Module = CrossEntropy() if kind == "classes" else PixelL1()
    batch = learns(branch, loss, task, steps=6)
    capture = branch(batch, task)
    assert (capture["fine"].shape, capture["deep"].shape) == ((4, 16, 8, 12), (4, 256, 2, 3))
    assert capture["output"].shape == (4, outputs_of(task), 32, 48)
    answers_as_a_file(branch, task, batch, tmp_path)


def test_a_transformer_with_its_channels_last_is_read_too() -> None:
    backbone = timm.create_model("swin_tiny_patch4_window7_224", features_only=True, out_indices=(0, 1), img_size=(32, 48), embed_dim=24)
    assert PixelDecoder(backbone, 1, channels=16).eval()(torch.rand(1, 3, 32, 48)).shape == (1, 1, 8, 12)


def test_what_is_refused() -> None:
    backbone = timm.create_model("resnet10t", features_only=True, out_indices=(1, 2))
    with pytest.raises(ValueError, match=r"PixelDecoder needs a backbone that gives maps, CNN gives none: timm.create_model\(\.\.\., feat"):
        PixelDecoder(CNN(), 1)
    with pytest.raises(ValueError, match="channels are a multiple of 16; got num_outputs=1, channels=24"):
        PixelDecoder(backbone, 1, channels=24)
    with unchecked(), pytest.raises(ValueError, match=r"gives \(2, 1, 4, 4\), segmentation into 3 classes"):
        Segmentation(("a", "b", "c")).call(
            PixelDecoder(backbone, 1, channels=16), torch.rand(2, 3, 16, 16), make_batch(2, views=(RGB_VIEW,))
        )
