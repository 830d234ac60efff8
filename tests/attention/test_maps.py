from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from xkd.attention import attention_map
from xkd.attention.maps import single_view_batch
from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.taps import Tap
from xkd.tasks import Classification


def test_class_token_attention_is_averaged_over_heads_on_the_patch_grid(vit: Callable[..., Branch], task: Classification) -> None:
    branch = vit({"look": Tap("blocks.1", kind="attention")})
    images = torch.rand(2, 3, 32, 48)
    tapped = attention_map(branch, images, task, "tap:look")
    assert tapped.shape == (2, 1, 4, 6)
    assert (tapped > 0).all()
    assert tapped.sum((1, 2, 3)).max() < 1, "the class token's own share is left out"
    torch.testing.assert_close(tapped, attention_map(branch, images, task, "attention:blocks.1"))
    heads = branch.eval()(single_view_batch(branch, images, task), task)["look"]
    assert heads.shape[1] == 3
    torch.testing.assert_close(tapped, (heads[:, :1] + heads[:, 1:2] + heads[:, 2:]) / 3)


@pytest.mark.parametrize("path", ["stage:-1", "layer3"])
def test_activation_energy_of_a_cnn(path: str, cnn: Callable[..., Branch], task: Classification) -> None:
    branch = cnn({})
    images = torch.rand(2, 3, 64, 96)
    maps = attention_map(branch, images, task, f"attention:{path}")
    assert maps.shape == ((2, 1, 2, 3) if path == "stage:-1" else (2, 1, 4, 6))
    assert (maps >= 0).all()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", ["tap:look", "attention:stage:1", "grad_cam:stage:1"])
def test_the_branch_is_left_as_it_was(method: str, frozen: bool, cnn: Callable[..., Branch], task: Classification) -> None:
    branch = cnn({"look": Tap("layer2", kind="attention")}, frozen=frozen)
    hooks = sum(len(module._forward_hooks) for module in branch.modules())
    state = {key: value.clone() for key, value in branch.state_dict().items()}
    training = branch.training
    first = attention_map(branch, torch.rand(2, 3, 64, 96), task, method)
    assert not first.requires_grad
    assert branch.training == training
    assert sum(len(module._forward_hooks) for module in branch.modules()) == hooks
    assert all(parameter.grad is None for parameter in branch.parameters())
    for key, value in branch.state_dict().items():
        torch.testing.assert_close(value, state[key])
    attention_map(branch, torch.rand(2, 3, 64, 96), task, "tap:look")  # and nothing of the first pass is still held


class OneBright(nn.Module):
    """Class k's score is the mean of channel k of the image, so its Grad-CAM at `read` is that channel."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.eye_(self.read.weight[:, :, 0, 0])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.read(images).mean((2, 3))


@pytest.mark.parametrize("no_grad", [torch.no_grad, torch.inference_mode])
def test_grad_cam_by_hand(no_grad: type, task: Classification) -> None:
    branch = Branch(OneBright(), View("rgb", RGB(mean=(0.0,) * 3, std=(1.0,) * 3), (8, 8)), Random(frozen=True), frozen=True)
    images = torch.zeros(2, 3, 8, 8)
    images[0, 1, :4] = 1.0  # class 1 wins, its evidence is the upper half
    images[1, 2, :, 4:] = 2.0
    images[1, 0, :, :1] = -1.0
    with no_grad():
        maps = attention_map(branch, images, task, "grad_cam:read")
    slope = 1 / 64  # of the mean over 8 x 8 pixels; the map's weight is the mean of that slope
    torch.testing.assert_close(maps[:, 0], torch.stack([images[0, 1], images[1, 2]]) * slope)
    given = attention_map(branch, images, task, "grad_cam:read", classes=torch.tensor([1, 0]))
    torch.testing.assert_close(given[0], maps[0])
    assert not given[1].any(), "evidence against a class is cut off"


class Tokens(nn.Module):
    """The same with patches of 8 x 8 as tokens behind a class token that means nothing."""

    num_prefix_tokens = 1

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = F.avg_pool2d(images, 8).flatten(2).transpose(1, 2)
        tokens = self.read(torch.cat([torch.full_like(patches[:, :1], 9.0), patches], 1))
        scores: torch.Tensor = tokens[:, 1:].mean(1)
        return scores


def test_grad_cam_puts_tokens_on_their_grid(task: Classification) -> None:
    branch = Branch(Tokens(), View("rgb", RGB(mean=(0.0,) * 3, std=(1.0,) * 3), (32, 48)), Random())
    images = torch.zeros(1, 3, 32, 48)
    images[0, 2, 8:16, 40:48] = 24.0
    expected = torch.zeros(1, 1, 4, 6)
    expected[0, 0, 1, 5] = 1.0
    torch.testing.assert_close(attention_map(branch, images, task, "grad_cam:read"), expected)


def test_grad_cam_of_a_branch_whose_taps_were_never_read(cnn: Callable[..., Branch], task: Classification) -> None:
    branch, images = cnn({"look": Tap("stage:2", kind="attention")}), torch.rand(2, 3, 64, 96)
    first = attention_map(branch, images, task, "grad_cam:stage:2")
    branch.bind(task)
    assert torch.equal(attention_map(branch, images, task, "grad_cam:stage:2"), first)


@pytest.mark.parametrize("method", ["grad_cam:layer4", "attention:layer4"])
def test_a_branch_that_was_asked_can_be_copied(method: str, cnn: Callable[..., Branch], task: Classification) -> None:
    branch = cnn({"look": Tap("layer2", kind="energy")})  # its hook sees every pass, with a graph of Grad-CAM's
    attention_map(branch, torch.rand(2, 3, 64, 96), task, method)
    copy.deepcopy(branch)


@pytest.mark.parametrize("frozen", [False, True])
def test_grad_cam_reads_a_vit(frozen: bool, vit: Callable[..., Branch], task: Classification) -> None:
    images = torch.rand(2, 3, 32, 48)
    maps = [attention_map(vit({}, frozen), images, task, "grad_cam:blocks.1.norm1", torch.tensor([k, k])) for k in range(3)]
    assert all(each.shape == (2, 1, 4, 6) and (each >= 0).all() for each in maps)


def test_grad_cam_without_a_place_is_that_of_the_last_stage(
    vit: Callable[..., Branch], cnn: Callable[..., Branch], task: Classification
) -> None:
    images, classes = torch.rand(2, 3, 32, 48), torch.tensor([0, 1])
    for branch, place in ((vit({}), "stage:-1.norm1"), (vit({}), "blocks.1.norm1"), (cnn({}), "stage:-1"), (cnn({}), "layer4")):
        last, named = (attention_map(branch, images, task, method, classes) for method in ("grad_cam", f"grad_cam:{place}"))
        torch.testing.assert_close(last, named)


def test_grad_cam_reads_nhwc(cnn: Callable[..., Branch], task: Classification) -> None:
    branch = cnn({}, name="test_convnext")
    assert attention_map(branch, torch.rand(1, 3, 64, 96), task, "grad_cam:stage:-1").shape == (1, 1, 2, 3)
    maps = attention_map(branch, torch.rand(1, 3, 64, 96), task, "grad_cam:stages.2.blocks.0.norm")
    assert maps.shape == (1, 1, 4, 6)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("roll", "tap:NAME, attention:PATH, rollout, grad_cam, grad_cam:PATH"),
        ("tap:", "unknown attention method"),
        ("tap:deeep", r"no attention tap 'deeep'.*\['look'\]"),
        ("tap:features", r"no attention tap 'features'.*\['look'\]"),
        ("attention:blocks.7", "no module 'blocks.7'"),
        ("attention:head", "is a vector, which has no attention"),
        ("grad_cam:blocks.9", "no module 'blocks.9'"),
        ("grad_cam:head", "not a map"),
        ("grad_cam:blocks.1", "read 'blocks.1.norm1'"),
    ],
)
def test_errors_name_what_is_legal(method: str, text: str, vit: Callable[..., Branch], task: Classification) -> None:
    branch = vit({"look": Tap("blocks.1", kind="attention"), "features": Tap("blocks.1")})
    with pytest.raises((ValueError, KeyError), match=text):
        attention_map(branch, torch.rand(1, 3, 32, 48), task, method)
    attention_map(branch, torch.rand(1, 3, 32, 48), task, "tap:look")


@pytest.mark.parametrize("method", ["tap:look", "grad_cam:layer2"])
def test_a_network_that_breaks_leaves_nothing_behind(method: str, cnn: Callable[..., Branch], task: Classification) -> None:
    branch = cnn({"look": Tap("layer2", kind="attention")})
    with pytest.raises(ValueError, match="needs \\(batch, 2\\)"):
        attention_map(branch, torch.rand(1, 3, 64, 96), Classification(("healthy", "rust")), method)
    branch.eval()(single_view_batch(branch, torch.rand(1, 3, 64, 96), task), task)


def test_classes_that_do_not_exist(cnn: Callable[..., Branch], task: Classification) -> None:
    with pytest.raises(ValueError, match=r"one class in 0\.\.2"):
        attention_map(cnn({}), torch.rand(1, 3, 64, 96), task, "grad_cam:stage:1", classes=torch.tensor([3]))
