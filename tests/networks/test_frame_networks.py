"""A network of images on clips: the average over frames, the temporal shift by hand and as a stream, weights of single images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from core_models import CNN, RGB, PixelCNN, Sensor, unchecked
from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.weights import Checkpoint, Pretrained, Random, Weights
from xkd.networks import Frames
from xkd.networks.shift import add_shift
from xkd.taps import Tap, Taps

FRAMES, PART = 4, 8
CLIPS = torch.randn(2, FRAMES * 3, 32, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@dataclass(frozen=True)
class InFour(Sensor):
    """A clip that says so."""

    frames: int = FRAMES


VIEW = View("clip", InFour(channels=12, mean=RGB.mean * 4, std=RGB.std * 4), (32, 48))
GREY = View("grey", InFour(channels=4, mean=(100.0,) * 4, std=(50.0,) * 4), (32, 48))


def resnet(**options: Any) -> Any:
    torch.manual_seed(0)
    small = {"channels": (8, 8, 16, 16), "layers": (1, 2, 1, 1), "num_classes": 3, "zero_init_last": False}  # else no branch says anything
    return timm.create_model("resnet18", **{**small, **options}).double().eval()


def frames_of(clips: Tensor) -> Iterator[Tensor]:
    return iter(clips.unflatten(1, (FRAMES, -1)).unbind(1))


@pytest.mark.parametrize("make", [CNN, PixelCNN])
def test_answers_are_the_average_over_single_frames(make: Callable[[], nn.Module]) -> None:
    network = make().double().eval()
    single = torch.stack([network(frame) for frame in frames_of(CLIPS)])
    torch.testing.assert_close(Frames(network, FRAMES)(CLIPS), single.mean(0))


@pytest.mark.parametrize(
    ("path", "kind"), [("blocks.0", "attention"), ("blocks", "rollout"), ("blocks.1", "features"), ("fc_norm", "features")]
)
def test_a_tap_has_the_mean_over_frames_or_all_of_them(path: str, kind: Any) -> None:
    torch.manual_seed(0)
    image = timm.create_model("vit_tiny_patch16_224", img_size=(32, 48), depth=2, embed_dim=24, num_heads=3).double().eval()
    clip = Frames(image, FRAMES)
    of_one = Taps(image, {"it": Tap(path, kind)})
    single = []
    with torch.no_grad():
        for frame in frames_of(CLIPS):
            of_one(frame)
            single.append(of_one.read(frame.shape)["it"])
        of_one.close()
        taps = Taps(clip, {time: Tap(f"network.{path}", kind, time=time) for time in ("mean", "all")})
        taps(CLIPS)
    readings = taps.read(CLIPS.shape)
    torch.testing.assert_close(readings["all"], torch.cat(single, 1))
    torch.testing.assert_close(readings["mean"], torch.stack(single).mean(0))


def through(block: Any, own: Tensor, mixed: Tensor) -> Tensor:
    """A block whose residual branch sees `mixed` in place of `own`."""
    shortcut = own if block.downsample is None else block.downsample(own)
    branch = block.bn2(block.conv2(block.act1(block.bn1(block.conv1(mixed)))))
    answer: Tensor = block.act2(branch + shortcut)
    return answer


def layer_by_layer(network: Any, clips: Tensor) -> Tensor:
    """All frames known: an eighth of each from the next one, an eighth from the one before, as the paper draws it."""
    maps = [network.maxpool(network.act1(network.bn1(network.conv1(frame)))) for frame in frames_of(clips)]
    for block in (block for stage in (network.layer1, network.layer2, network.layer3, network.layer4) for block in stage):
        part, none = maps[0].shape[1] // PART, torch.zeros_like(maps[0])
        mixed = [
            torch.cat([after[:, :part], before[:, part : 2 * part], own[:, 2 * part :]], 1)
            for own, before, after in zip(maps, [none, *maps[:-1]], [*maps[1:], none], strict=True)
        ]
        maps = [through(block, own, seen) for own, seen in zip(maps, mixed, strict=True)]
    return torch.stack([network.forward_head(one) for one in maps]).mean(0)


def as_a_stream(network: Any, clips: Tensor) -> Tensor:
    """Frame after frame, as on a device: of each block an eighth of what it saw before is kept, and stands in the place of its own."""
    kept: dict[Any, Tensor] = {}
    answers = []
    for frame in frames_of(clips):
        maps = network.maxpool(network.act1(network.bn1(network.conv1(frame))))
        for block in (block for stage in (network.layer1, network.layer2, network.layer3, network.layer4) for block in stage):
            part = maps.shape[1] // PART
            mixed = torch.cat([kept.get(block, torch.zeros_like(maps[:, :part])), maps[:, part:]], 1)
            kept[block] = maps[:, :part]
            maps = through(block, maps, mixed)
        answers.append(network.forward_head(maps))
    return torch.stack(answers).mean(0)


@pytest.mark.parametrize(("join", "by_hand"), [("shift", layer_by_layer), ("past", as_a_stream)])
def test_the_shift_is_that_by_hand_and_that_of_a_stream(join: Any, by_hand: Callable[[Any, Tensor], Tensor]) -> None:
    network = resnet()
    shifted = Frames(copy.deepcopy(network), FRAMES, join)
    answers = copy.deepcopy(shifted)(CLIPS)
    torch.testing.assert_close(answers, by_hand(network, CLIPS))
    assert not torch.allclose(answers, shifted(CLIPS.unflatten(1, (FRAMES, -1)).flip(1).flatten(1, 2))), "the order of frames is seen"
    assert list(shifted.state_dict()) == [f"network.{name}" for name in network.state_dict()]


@pytest.mark.parametrize(
    ("make", "places"),
    [
        (lambda: resnet(layers=(1, 1, 23, 1), channels=(8, 8, 8, 8)), 1 + 1 + 12 + 1),  # the authors' of a long stage: every second block
        (lambda: timm.create_model("mobilenetv2_035"), 10),  # as many as the authors' own lists, [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]
        (lambda: torchvision.models.mobilenet_v2(width_mult=0.35), 10),
        (lambda: timm.create_model("mobilenetv4_conv_small_035"), 10),
        (lambda: timm.create_model("test_convnext"), 9),
    ],
    ids=["long resnet", "timm mobilenetv2", "torchvision mobilenetv2", "mobilenetv4", "convnext"],
)
def test_residual_branches_shift(make: Callable[[], nn.Module], places: int) -> None:
    assert add_shift(make(), FRAMES, both=True) == places


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Frames(CNN(), 0), "a whole number from 1 on, got 0"),
        (lambda: Frames(CNN(), 4, "before"), r"join is one of \['mean', 'shift', 'past'\], got 'before'"),
        (lambda: Frames(nn.Conv3d(3, 3, 1), 4), "gives single frames to a network of images, and Conv3d convolves over time: Volume"),
        (
            lambda: Frames(timm.create_model("test_vit"), 4, "shift"),
            r"VisionTransformer has none with a residual branch: take a ResNet, .*",
        ),
        (lambda: Frames(resnet(channels=(4, 8, 8, 8)), 4, "shift"), "an eighth of the channels, and a block of ResNet has 4: make the"),
        (
            lambda: Frames(CNN(), 5)(CLIPS),
            "takes clips of 5 frames .*, and 12 channels are no multiple of 5: give Clip and Frames the same",
        ),
        (lambda: Frames(resnet(), 2)(CLIPS), "2 frames of 6 channels each, and ResNet takes images of 3: make it with in_chans=6"),
        (lambda: Frames(resnet(features_only=True), 4)(CLIPS), "the network gives list with the tensors"),
        (
            lambda: Frames(nn.Flatten(2), 4)(CLIPS),
            r"averages scores .* and Flatten gives \(8, 3, 1536\) .* a mean of boxes or tokens is none",
        ),
        (
            lambda: Branch(Frames(CNN(), 2), VIEW, Random()),
            "view 'clip' has 12 channels in 4 frames, and Frames takes clips of 2 frames",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        make()


SHARES: dict[str, Any] = {"mean": (0.2, 0.4, 0.6), "std": (0.1, 0.1, 0.2), "unit": "0..1"}


@pytest.mark.parametrize(
    ("view", "weights", "mean"),
    [
        (VIEW, lambda file: Checkpoint(file, **SHARES), (51.0, 102.0, 153.0) * 4),
        (VIEW, lambda file: Checkpoint(file, mean=(120.0,), std=(50.0,)), (120.0,) * 12),
        (GREY, lambda file: Checkpoint(file, channels="average", **SHARES), (102.0,) * 4),
        (GREY, lambda file: Pretrained("average", file), (127.5,) * 4),
        (VIEW, lambda file: Checkpoint(file.replace("image", "run")), RGB.mean * 4),
    ],
    ids=["as shares", "one for all", "averaged", "pretrained", "a run on single images"],
)
def test_weights_and_statistics_of_single_images_are_those_of_each_frame(
    view: View, weights: Callable[[str], Weights], mean: tuple[float, ...], tmp_path: Path
) -> None:
    image = timm.create_model("test_resnet", num_classes=3)
    torch.save(image.state_dict(), tmp_path / "image.pth")
    of_run = {
        "distiller.branches.rgb." + name: value for name, value in Branch(image, View("rgb", RGB, (32, 48)), Random()).state_dict().items()
    }
    torch.save({"meta": {"xkd": {"student": "rgb"}}, "state_dict": of_run}, tmp_path / "run.pth")
    network = timm.create_model("test_resnet", num_classes=3, in_chans=view.modality.channels // FRAMES)
    branch = Branch(Frames(network, FRAMES, "shift"), view, weights(f"{tmp_path}/image.pth"))
    assert branch.mean.flatten().tolist() == pytest.approx(mean, rel=1e-4)
    assert torch.equal(network.layer1[0].conv1.weight, image.layer1[0].conv1.weight)
    torch.testing.assert_close(network.conv1[0].weight.sum(1), image.conv1[0].weight.sum(1))
