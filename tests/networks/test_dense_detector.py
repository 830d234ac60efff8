from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from core_models import CNN, RGB_VIEW
from torch import Tensor, nn

from xkd.losses import FCOS
from xkd.losses.boxes import parts_of
from xkd.networks import DenseDetector
from xkd.taps import Tap, Taps


def small(name: str = "mobilenetv4_conv_small", **options: object) -> DenseDetector:
    backbone = timm.create_model(name, features_only=True, out_indices=(2, 3, 4), **options)
    return DenseDetector(backbone, num_classes=2, channels=32, num_convs=1).eval()


def test_the_output_has_a_box_a_centreness_logits_and_a_place_for_each_location_of_each_level() -> None:
    torch.manual_seed(0)
    output = small()(torch.rand(2, 3, 64, 96))
    fine, middle, coarse = 8 * 12, 4 * 6, 2 * 3
    assert output.shape == (2, fine + middle + coarse, 4 + 1 + 2 + 4)
    dense = parts_of("FCOS", output)
    assert torch.equal(dense.centres[0], dense.centres[1])
    torch.testing.assert_close(dense.centres[0, :2], torch.tensor([[0.5 / 12, 0.5 / 8], [1.5 / 12, 0.5 / 8]]))
    torch.testing.assert_close(dense.centres[0, -1], torch.tensor([2.5 / 3, 0.75]))
    torch.testing.assert_close(dense.cells[0, 0] * torch.tensor([96, 64]), torch.tensor([8.0, 8.0]))
    torch.testing.assert_close(dense.cells[0, -1] * torch.tensor([96, 64]), torch.tensor([32.0, 32.0]))
    assert (dense.boxes[..., :2] < dense.centres).all()
    assert (dense.boxes[..., 2:] > dense.centres).all()
    # what nobody has trained finds a hundredth of everything, and boxes about two cells wide
    assert dense.logits.sigmoid().mean().item() == pytest.approx(0.01, abs=0.005)
    assert ((dense.boxes[..., 2:] - dense.boxes[..., :2]) / dense.cells).mean().item() == pytest.approx(2, abs=0.3)


class ChannelsLast(nn.Module):
    """As timm's Swin: maps are (B, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = timm.create_model("resnet10t", features_only=True, out_indices=(2, 3))
        self.feature_info = self.inner.feature_info

    def forward(self, images: Tensor) -> list[Tensor]:
        return [one.permute(0, 2, 3, 1) for one in self.inner(images)]


def test_maps_with_their_channels_last_are_read_too() -> None:
    backbone, images = ChannelsLast(), torch.rand(1, 3, 64, 96)
    last = DenseDetector(backbone, 1, channels=32, num_convs=1).eval()
    output = last(images)
    last.backbone = backbone.inner
    assert torch.equal(output, last(images))


def test_a_detector_learns_where_an_object_is() -> None:
    torch.manual_seed(0)
    detector = small("resnet10t").train()
    images = torch.zeros(2, 3, 64, 64)
    images[0, :, 8:40, 8:40] = images[1, :, 24:56, 16:48] = 1.0
    target = torch.tensor([[[0.125, 0.125, 0.625, 0.625, 0]], [[0.25, 0.375, 0.75, 0.875, 1]]])
    optimizer, losses = torch.optim.AdamW(detector.parameters(), 2e-3), []
    for _ in range(8):
        loss = FCOS()(detector(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(parameter.grad is not None for parameter in detector.parameters() if parameter.requires_grad)


def test_levels_of_the_pyramid_are_tapped() -> None:
    detector = small("resnet10t")
    taps = Taps(detector, {"fine": Tap("pyramid.layer_blocks.0"), "coarse": Tap("pyramid.layer_blocks.2"), "own": Tap("backbone.layer2")})
    with torch.no_grad():
        taps(torch.rand(1, 3, 64, 64))
    readings = taps.read((1, 3, 64, 64))
    assert {name: tuple(of.shape[1:]) for name, of in readings.items()} == {"fine": (32, 8, 8), "coarse": (32, 2, 2), "own": (128, 8, 8)}


@pytest.mark.slow
def test_it_exports_to_onnx_and_the_file_answers_as_torch_does_for_any_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector, images = small(), torch.rand(2, 3, 64, 96)
    path = tmp_path / "detector.onnx"
    torch.onnx.export(detector, (images,), path, dynamo=True, verbose=False, dynamic_shapes={"images": {0: torch.export.Dim("batch")}})
    session = onnxruntime.InferenceSession(path)
    for some in (images, images[:1], torch.rand(3, 3, 64, 96)):
        [answer] = session.run(None, {"images": some.numpy()})
        np.testing.assert_allclose(answer, detector(some).detach().numpy(), atol=1e-4)


def test_half_precision_leaves_the_coordinates_whole() -> None:
    detector, images = small("resnet10t"), torch.rand(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        half = detector(images)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half[..., -4:], detector(images)[..., -4:])


@pytest.mark.parametrize("backbone", [CNN(), timm.create_model("resnet10t"), nn.Identity()], ids=["ours", "classifier", "nothing"])
def test_a_backbone_without_maps_is_refused(backbone: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"DenseDetector needs a backbone that gives maps, .* features_only=True"):
        DenseDetector(backbone, 2)


@pytest.mark.parametrize("arguments", [{"num_classes": 0}, {"num_classes": 1, "channels": 48}, {"num_classes": 1, "num_convs": 0}])
def test_impossible_sizes_are_refused(arguments: dict[str, int]) -> None:
    backbone = timm.create_model("resnet10t", features_only=True, out_indices=(2,))
    with pytest.raises(ValueError, match=r"one class and one convolution or more, and channels are a multiple of 32"):
        DenseDetector(backbone, **arguments)


def test_a_view_of_any_size_has_a_location_for_each_cell() -> None:
    output = small("resnet10t")(torch.rand(1, 3, *RGB_VIEW.size) if min(RGB_VIEW.size) >= 32 else torch.rand(1, 3, 50, 70))
    centres = output[0, :, -4:-2]
    assert (centres > 0).all()
    assert (centres < 1).all()
