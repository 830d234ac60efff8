"""Networks over time on clips: as torchvision's called directly, other channels, a teacher of a student frame by frame, ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from core_models import CNN, RGB, TASK, make_batch
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
from torchvision.models.video import mc3_18, swin3d_t
from torchvision.models.video.mvit import MSBlockConfig, MViT

from xkd.attention.maps import attention_map
from xkd.batch import View
from xkd.deploy.card import CardNotes
from xkd.deploy.export import export_onnx
from xkd.engine.describe import describe
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.explanation import GradCAM
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import AT, KD, CrossEntropy, FitNet
from xkd.networks import Frames, Volume
from xkd.projectors import Conv1x1
from xkd.taps import Tap

FRAMES = 4
CLIP: Any = replace(RGB, channels=3 * FRAMES, mean=RGB.mean * FRAMES, std=RGB.std * FRAMES)
FULL, LOW = View("full", CLIP, (32, 48)), View("low", CLIP, (16, 24))
CLIPS = torch.randn(2, 3 * FRAMES, 32, 48, generator=torch.Generator().manual_seed(0))


def mvit() -> MViT:
    def block(given: int, gives: int, stride: int) -> MSBlockConfig:
        return MSBlockConfig(1, given, gives, [3, 3, 3] * (stride > 1), [3, 3, 3], [1, stride, stride] * (stride > 1), [1, 2, 2])

    return MViT((32, 48), FRAMES, [block(8, 8, 1), block(8, 16, 2)], True, False, True, True, num_classes=3)


class CNN3d(nn.Module):
    """As torchvision's, in small: "first" (B, 8, T, H / 2, W / 2), "deep" (B, 16, T / 2, H / 4, W / 4), then logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(3, 8, 3, (1, 2, 2), 1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv3d(8, 16, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(16, 3)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.deep(self.first(clips)).mean((2, 3, 4)))
        return logits


def student() -> Frames:
    """One residual block, which shifts: "1" (B, 8, H / 4, W / 4)."""
    block = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), BasicBlock(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return Frames(block, FRAMES, "shift")


@pytest.mark.parametrize("make", [lambda: mc3_18(num_classes=3), mvit], ids=["mc3_18", "mvit"])
def test_it_answers_as_the_network_called_directly(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, one, other = make().eval(), *CLIPS.unsqueeze(1).unbind(0)
    volume = Volume(network, FRAMES).eval()
    with torch.no_grad():
        stacked = torch.stack([torch.stack(clip[0].split(3), 1) for clip in (one, other)])  # (2, 3, T, H, W)
        torch.testing.assert_close(volume(CLIPS), network(stacked))


def test_another_sensors_first_convolution_answers_alike_to_the_same_in_all_channels() -> None:
    network, grey = CNN3d(), torch.rand(2, FRAMES, 16, 24)
    expected = network(grey.unsqueeze(1).expand(-1, 3, -1, -1, -1))
    volume = Volume(network, FRAMES, in_chans=1)
    torch.testing.assert_close(volume(grey), expected)
    assert volume.network.first[0].weight.shape == (8, 1, 3, 3, 3)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: Volume(CNN(), 4), (12, 16, 24), "CNN has no 3-D convolution: Frames"),
        (lambda: Volume(CNN3d(), 4, in_chans=0), (12, 16, 24), "in_chans from 1 on, got frames=4, in_chans=0"),
        (lambda: Volume(CNN3d(), 5), (12, 16, 24), "view 'clip' has 12 channels, and Volume takes clips of 5 frames: give both"),
        (lambda: Volume(CNN3d(), 4), (4, 16, 24), r"4 frames of 1 channels each, and the network takes 3: with Volume\(..., in_chans=1\)"),
        (lambda: Volume(mvit(), 8), (24, 32, 48), "8 frames of 32 x 48 pixels, and this MViT was made for 4 of 32 x 48: give its view"),
        (
            lambda: Volume(nn.Sequential(CNN3d().first, nn.AvgPool3d(8)), 4),
            (12, 16, 24),
            r"which Volume cannot take: .* \(it may need more frames than 4 or larger",
        ),
    ],
)
def test_what_a_network_cannot_take_is_named(make: Callable[[], Volume], shape: tuple[int, ...], message: str) -> None:
    channels, *size = shape
    sensor: Any = replace(RGB, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    view = View("clip", sensor, (size[0], size[1]))
    with pytest.raises(ValueError, match=message):
        Branch(make(), view, Random()).bind(TASK)


def test_weights_of_three_channels_are_averaged_for_one(tmp_path: Path) -> None:
    network = CNN3d()
    torch.save(network.state_dict(), tmp_path / "rgb.pth")
    thermal: Any = replace(RGB, channels=FRAMES, mean=(0.0,) * FRAMES, std=(1.0,) * FRAMES)
    weights = Checkpoint(str(tmp_path / "rgb.pth"), channels="average", mean=(9.0,), std=(2.0,))
    branch = Branch(Volume(CNN3d(), FRAMES, in_chans=1), View("thermal", thermal, (16, 24)), weights)
    torch.testing.assert_close(branch.model.network.first[0].weight.sum(1), network.first[0].weight.sum(1))


def test_a_network_over_time_teaches_one_that_sees_frame_by_frame() -> None:
    torch.manual_seed(0)
    taps = {"maps": Tap("network.deep"), "all": Tap("network.deep", time="all"), "looks": Tap("network.deep", "attention", time="all")}
    own = {"maps": Tap("network.1"), "all": Tap("network.1", time="all"), "looks": Tap("network.1", "energy")}
    branches = {
        "teacher": Branch(Volume(CNN3d(), FRAMES), FULL, Random(frozen=True), taps, frozen=True),
        "edge": Branch(student(), LOW, Random(), own, explanations={"cam": GradCAM("network.1", "batch.target", signed=True)}),
    }
    terms = {
        "labels": Term(CrossEntropy(), "edge.output", "batch.target", weight=0.1),
        "kd": Term(KD(tau=5.0), "edge.output", "teacher.output", weight=0.9),
        "attention": Term(AT(), "edge.looks", "teacher.looks"),
        "maps": Term(FitNet(), "edge.all", "teacher.all", projector=Conv1x1()),
    }
    distiller = Distiller(branches, terms, "edge", TASK)
    distiller.bind()
    assert {name: tuple(shape) for name, shape in branches["teacher"].shapes.items() if name != "output"} == {
        "maps": (16, 8, 12),
        "all": (2 * 16, 8, 12),
        "looks": (2, 8, 12),
    }
    assert tuple(branches["edge"].shapes["all"]) == (FRAMES * 8, 4, 6)
    assert tuple(branches["edge"].shapes["cam"]) == (1, 4, 6)
    assert describe(distiller).row_count > 0
    step = distiller(make_batch(2, views=(FULL, LOW)))
    step.loss.backward()
    assert set(step.parts) == set(terms)
    assert all(parameter.grad is not None for parameter in branches["edge"].model.parameters())


@pytest.mark.parametrize("make", [student, lambda: Volume(CNN3d(), FRAMES)], ids=["frames", "volume"])
def test_the_exported_file_takes_clips(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    branch = Branch(make(), LOW, Random())
    branch.bind(TASK)
    report = export_onnx(branch, TASK, tmp_path / "clip.onnx", CardNotes("clip"))  # compares with torch, for several numbers of clips
    assert report.card.input_shape == ("batch", 3 * FRAMES, *LOW.size)
    batch = make_batch(3, views=(LOW,))
    session = onnxruntime.InferenceSession(report.model, providers=["CPUExecutionProvider"])
    answers = session.run(["probabilities"], {"images": batch.views["low"].numpy().astype(np.float32)})[0]
    with torch.no_grad():
        expected = branch.eval()(batch, TASK)["output"].softmax(1)
    np.testing.assert_allclose(answers, expected.numpy(), atol=1e-4)


def test_where_it_looks_is_told_of_each_frame() -> None:
    torch.manual_seed(0)
    image, images = CNN().eval(), CLIPS[:, :, :16, :16]
    sensor: Any = replace(CLIP, mean=(0.0,) * 12, std=(1.0,) * 12)
    branch = Branch(Frames(image, FRAMES), View("clip", sensor, (16, 16)), Random()).eval()
    single = Branch(image, View("rgb", replace(RGB, mean=(0.0,) * 3, std=(1.0,) * 3), (16, 16)), Random()).eval()
    classes = torch.tensor([0, 2])
    for method in ("grad_cam", "attention"):
        each = attention_map(branch, images, TASK, f"{method}:network.deep", classes, time="all")
        alone = [attention_map(single, frame, TASK, f"{method}:deep", classes) for frame in images.split(3, 1)]
        scale = FRAMES if method == "grad_cam" else 1  # a frame's score has a quarter of the clip's answer
        torch.testing.assert_close(each * scale, torch.cat(alone, 1))
    energy = attention_map(branch, images, TASK, "attention:network.deep")
    torch.testing.assert_close(energy, each.mean(1, keepdim=True))
    with pytest.raises(ValueError, match=r"layer_cam explains images, and view 'clip' has clips: read 'grad_cam:network.deep'"):
        attention_map(branch, images, TASK, "layer_cam:network.deep")


def test_grad_cam_of_a_volume_has_one_weight_for_a_channel() -> None:
    torch.manual_seed(0)
    network = CNN3d().eval()
    sensor: Any = replace(CLIP, mean=(0.0,) * 12, std=(1.0,) * 12)
    branch = Branch(Volume(network, FRAMES), View("clip", sensor, (32, 48)), Random())
    found = attention_map(branch, CLIPS, TASK, "grad_cam:network.first", torch.tensor([1, 1]), time="all")
    maps = network.first(CLIPS.unflatten(1, (FRAMES, 3)).transpose(1, 2)).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(network.fc(network.deep(maps).mean((2, 3, 4)))[:, 1].sum(), maps)
    expected = (slopes.mean((2, 3, 4), keepdim=True) * maps).sum(1).clamp(min=0)  # (B, T, H, W)
    torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize(
    ("make", "path", "by_hand"),
    [
        (lambda: mc3_18(num_classes=3), "stage:1", lambda maps: maps.transpose(1, 2)),
        (lambda: swin3d_t(num_classes=3), "stage:0", lambda maps: maps.permute(0, 1, 4, 2, 3)),
        (mvit, "network.norm", lambda maps: maps[:, 1:].unflatten(1, (2, 4, 6)).permute(0, 1, 4, 2, 3)),
    ],
    ids=["channels first", "channels last", "tokens"],
)
def test_a_tap_has_the_mean_over_the_steps_of_time_or_all(make: Callable[[], nn.Module], path: str, by_hand: Any) -> None:
    torch.manual_seed(0)
    volume = Volume(make(), FRAMES)
    taps = {"mean": Tap(path), "all": Tap(path, time="all"), "energy": Tap(path, "energy")}
    branch = Branch(volume, FULL, Random(frozen=True), taps, frozen=True)
    seen: list[Tensor] = []
    module = dict(volume.named_modules())[{"stage:1": "network.layer2", "stage:0": "network.features.0"}.get(path, path)]
    module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    readings = branch(make_batch(2, views=(FULL,)), TASK)
    steps = by_hand(seen[-1])  # (B, T, C, H, W)
    assert torch.equal(readings["all"], steps.flatten(1, 2))
    torch.testing.assert_close(readings["mean"], steps.mean(1))
    torch.testing.assert_close(readings["energy"], steps.pow(2).mean((1, 2)).unsqueeze(1))
