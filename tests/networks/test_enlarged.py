"""A student of few pixels: enlarged inside, tapped on the grids of its network, explained, exported with the small image as its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from core_models import TASK, unchecked
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.attention.maps import attention_map
from xkd.batch import View
from xkd.deploy.card import CardNotes
from xkd.deploy.export import export_onnx
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.networks import Enlarged
from xkd.taps import Tap, Taps

SMALL, LARGE = (8, 12), (64, 96)
TINY_VIT = {"img_size": LARGE, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3}


def branch(name: str = "test_resnet", taps: dict[str, Tap] | None = None, **options: object) -> Branch:
    network = timm.create_model(name, num_classes=3, **options)
    return Branch(Enlarged(network, LARGE), View("rgb_low", RGB(), SMALL), Random(), taps)


def test_the_network_sees_the_enlarged_image() -> None:
    images = torch.rand(2, 3, *SMALL)
    assert torch.equal(Enlarged(nn.Identity(), LARGE)(images), F.interpolate(images, LARGE, mode="bilinear"))


def test_images_of_full_size_are_left_as_they_are() -> None:
    images = torch.rand(2, 3, *LARGE)
    assert Enlarged(nn.Identity(), LARGE)(images) is images


def test_a_larger_image_is_refused() -> None:
    with pytest.raises(ValueError, match="images of 8 x 97 pixels cannot be enlarged to 64 x 96: name a larger size"):
        Enlarged(nn.Identity(), LARGE)(torch.rand(1, 3, 8, 97))
    with unchecked(), pytest.raises(ValueError, match=r"1 pixel or more a side, got \(0, 96\)"):
        Enlarged(nn.Identity(), (0, 96))


def test_maps_larger_than_the_image_are_read() -> None:
    taps = {"stage": Tap("stage:1"), "module": Tap("network.layer1"), "energy": Tap("network.layer2", "energy")}
    readings = branch(taps=taps).bind(TASK)
    assert torch.equal(readings["stage"], readings["module"])
    assert readings["stage"].shape[2:] == (16, 24)
    assert readings["energy"].shape == (2, 1, 8, 12)


def test_tokens_are_put_on_the_grid_of_what_the_network_sees() -> None:
    taps = {"attention": Tap("network.blocks.1", "attention"), "stage": Tap("stage:-1")}
    readings = branch("vit_tiny_patch16_224", taps, **TINY_VIT).bind(TASK)
    assert readings["attention"].shape == (2, 3, 8, 12)
    assert readings["stage"].shape == (2, 24, 8, 12)


def test_attention_is_that_of_the_class_token_of_the_network_inside() -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=3, **TINY_VIT).eval()
    images, found = torch.rand(2, 3, *SMALL), []
    for model, path in ((Enlarged(network, LARGE), "network.blocks.1"), (network, "blocks.1")):
        given = images if path.startswith("network") else F.interpolate(images, LARGE, mode="bilinear")
        taps = Taps(model, {"it": Tap(path, "attention")})
        with torch.no_grad():
            taps(given)
        found.append(taps.read(given.shape)["it"])
        taps.close()
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("name", "path", "options"), [("test_resnet", "stage:-1", {}), ("vit_tiny_patch16_224", "network.blocks.1.norm1", TINY_VIT)]
)
def test_it_shows_where_it_looks(name: str, path: str, options: dict[str, object]) -> None:
    maps = attention_map(branch(name, **options).eval(), 255 * torch.rand(2, 3, *SMALL), TASK, f"grad_cam:{path}")
    assert maps.shape[:2] == (2, 1)
    assert maps.shape[2] * 12 == maps.shape[3] * 8


def test_the_exported_file_takes_the_small_image(tmp_path: Path) -> None:
    student = branch(taps={"deep": Tap("network.layer4")})
    student.bind(TASK)
    report = export_onnx(student, TASK, tmp_path / "low.onnx", CardNotes("low"))
    assert report.card.input_shape == ("batch", 3, *SMALL)
    images = torch.randint(0, 256, (3, 3, *SMALL), dtype=torch.uint8)
    session = onnxruntime.InferenceSession(report.model, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [3, *SMALL]
    large = F.interpolate(student.normalise(images), LARGE, mode="bilinear")
    with torch.no_grad():
        inner: Tensor = student.model.network.eval()(large)
    np.testing.assert_allclose(session.run(["probabilities"], {"images": images.numpy()})[0], inner.softmax(1).numpy(), atol=1e-5)
