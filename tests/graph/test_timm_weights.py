"""Files of timm's own architectures, without its hub."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from core_models import CLASSES, RGB, THERMAL_VIEW, Sensor
from safetensors.torch import save_file
from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.weights import Checkpoint, Pretrained
from xkd.networks import Logits
from xkd.tasks import PixelHead

RESNET, VIT, CONVNEXT = "test_resnet", "test_vit", "test_convnext"
VIEW = View("rgb", RGB, (64, 64))
IMAGES = torch.rand(2, 3, 64, 64)


def donor(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(2)
    return timm.create_model(name, **options).eval()


def saved(path: Path, state: dict[str, Tensor]) -> str:
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    return str(path)


def agrees(model: nn.Module, other: nn.Module, images: Tensor = IMAGES) -> bool:
    with torch.no_grad():
        return torch.allclose(model.eval()(images), other(images), atol=1e-5)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_is_as_good_as_the_hub(ending: str, tmp_path: Path) -> None:
    published = donor(RESNET)
    path = tmp_path / f"{RESNET}.{ending}"
    saved(path, published.state_dict()) if ending == "safetensors" else torch.save({"model": published.state_dict()}, path)
    model = timm.create_model(RESNET)
    mean, std = Pretrained(file=str(path)).load(model, VIEW)
    assert agrees(model, published)
    assert mean == pytest.approx([255 * value for value in published.pretrained_cfg["mean"]])
    assert std == pytest.approx([255 * value for value in published.pretrained_cfg["std"]])


def test_what_it_was_normalised_by_and_a_fresh_classifier_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xkd")
    published, model = donor(RESNET), timm.create_model(RESNET, num_classes=len(CLASSES))
    path = saved(tmp_path / "a.safetensors", {f"module.{name}": tensor for name, tensor in published.state_dict().items()})
    before = model.fc.weight.clone()
    Pretrained(file=path).load(model, VIEW)
    assert torch.equal(model.fc.weight, before)
    assert torch.equal(model.layer1[0].conv1.weight, published.layer1[0].conv1.weight)
    assert caplog.messages == [
        f"{path}: found under prefix 'module.'",
        f"{path}: 90 of 92 tensors match ResNet; 'fc.weight', 'fc.bias' stay as they were",
        f"{path}: images are normalised by mean (0.5, 0.5, 0.5) and std (0.5, 0.5, 0.5) of 0..1, as test_resnet is published",
    ]


@pytest.mark.parametrize("classes", [0, 7])
def test_a_file_of_other_classes_than_timms_or_of_none(classes: int, tmp_path: Path) -> None:
    finetuned = donor(RESNET, num_classes=classes)
    path, model = saved(tmp_path / "a.safetensors", finetuned.state_dict()), timm.create_model(RESNET, num_classes=7)
    Pretrained(file=path).load(model, VIEW)
    assert not classes or agrees(model, finetuned)
    assert torch.equal(model.conv1[0].weight, finetuned.conv1[0].weight)


@pytest.mark.parametrize(("policy", "channels"), [("average", 1), ("average", 4), ("inflate", 4), ("inflate", 6)])
def test_other_channels(policy: Any, channels: int, tmp_path: Path) -> None:
    published, model = donor(RESNET), timm.create_model(RESNET, in_chans=channels).eval()
    path = saved(tmp_path / "a.safetensors", published.state_dict())
    view = View("many", Sensor("many", channels, "counts", (0.0, 255.0), (100.0,) * channels, (50.0,) * channels), (64, 64))
    with pytest.raises(ValueError, match=rf"the weights expect 3 channels, the sensor has {channels}"):
        Pretrained(file=path).load(model, view)
    Pretrained(file=path, channels=policy).load(model, view)
    with torch.no_grad():
        torch.testing.assert_close(model(torch.full((1, channels, 64, 64), 0.7)), published(torch.full((1, 3, 64, 64), 0.7)))


def test_a_file_for_other_channels_than_timms_has_other_statistics(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", donor(RESNET, in_chans=1).state_dict())
    with pytest.raises(
        ValueError, match=r"a.safetensors is for 1 channels and timm publishes test_resnet for 3, .* use Checkpoint\(path, mean"
    ):
        Pretrained(file=path).load(timm.create_model(RESNET, in_chans=1), THERMAL_VIEW)


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.safetensors", donor(VIT).state_dict())
    with pytest.raises(ValueError, match=r"a.safetensors: not the weights of test_resnet: .*Missing key"):
        Pretrained(file=path).load(timm.create_model(RESNET), VIEW)


def test_a_folder_says_its_statistics_and_whose_weights_it_has(tmp_path: Path) -> None:
    saved(tmp_path / "model.safetensors", donor(RESNET).state_dict())
    stated = {"architecture": RESNET, "num_classes": 1000, "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}}
    (tmp_path / "config.json").write_text(json.dumps(stated), "utf-8")
    mean, std = Pretrained(file=str(tmp_path)).load(timm.create_model(RESNET), VIEW)
    assert (mean, std) == (pytest.approx([25.5, 51.0, 76.5]), pytest.approx([255.0] * 3))
    with pytest.raises(ValueError, match=r"has the weights of test_resnet, the model is test_vit"):
        Pretrained(file=str(tmp_path)).load(timm.create_model(VIT), VIEW)


@pytest.mark.parametrize("size", [(64, 64), (32, 48)])
def test_positions_are_resized_for_a_file_and_for_a_checkpoint(
    size: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xkd")
    published = donor(VIT)
    path, view = saved(tmp_path / "a.safetensors", published.state_dict()), View("rgb", RGB, size)
    one, other = (timm.create_model(VIT, img_size=size) for _ in range(2))
    Pretrained(file=path).load(one, view)
    Checkpoint(path, mean=(0.5,), std=(0.5,), unit="0..1").load(other, view)
    grid = published.pos_embed[:, 1:].unflatten(1, published.patch_embed.grid_size).movedim(-1, 1)
    wanted = nn.functional.interpolate(grid, one.patch_embed.grid_size, mode="bicubic", antialias=True).flatten(2).movedim(1, 2)
    for model in (one, other):
        torch.testing.assert_close(model.pos_embed[:, 1:], wanted)
        assert torch.equal(model.blocks[0].attn.qkv.weight, published.blocks[0].attn.qkv.weight)
    assert f"{path}: 'pos_embed' {tuple(published.pos_embed.shape)} was resized to {tuple(one.pos_embed.shape)}" in caplog.messages


def test_positions_that_timm_cannot_resize_name_the_file(tmp_path: Path) -> None:
    state = donor(VIT).state_dict()
    state["pos_embed"] = state["pos_embed"][:, :48]  # no square
    path = saved(tmp_path / "a.safetensors", state)
    with pytest.raises(ValueError, match=r"a.safetensors: timm cannot resize \['pos_embed'\] to those of VisionTransformer: "):
        Checkpoint(path).load(timm.create_model(VIT, img_size=64), VIEW)


def test_names_of_an_original_release_are_timms_to_translate(tmp_path: Path) -> None:
    """ConvNeXt as its authors saved it, in the parts that timm names otherwise."""
    published = donor(CONVNEXT)
    path = tmp_path / "original.pth"
    torch.save({"model": {original(name): tensor for name, tensor in published.state_dict().items()}}, path)
    model = timm.create_model(CONVNEXT)
    Pretrained(file=str(path)).load(model, VIEW)
    assert agrees(model, published)


def original(name: str) -> str:
    name = name.replace("stem.", "downsample_layers.0.").replace("blocks.", "").replace("conv_dw", "dwconv")
    name = name.replace("mlp.fc", "pwconv").replace("head.norm.", "norm.").replace("head.fc.", "head.")
    parts = name.split(".")
    return ".".join(["downsample_layers", parts[1], *parts[3:]]) if parts[2:3] == ["downsample"] else name


@pytest.mark.parametrize(("name", "out"), [(RESNET, 3), (CONVNEXT, 2), (VIT, 1)])
def test_a_network_inside_gets_its_weights(name: str, out: int, tmp_path: Path) -> None:
    published = donor(name, img_size=64) if name == VIT else donor(name)
    path = saved(tmp_path / "a.safetensors", published.state_dict())
    options = {"img_size": 64} if name == VIT else {}
    features = timm.create_model(name, features_only=True, out_indices=(out,), **options)
    head = PixelHead(features, num_classes=3)
    before = head.classifier.weight.clone()
    Pretrained(file=path).load(head, VIEW)
    assert torch.equal(head.classifier.weight, before)
    with torch.no_grad():
        wanted = published.forward_intermediates(IMAGES, indices=[out], intermediates_only=True)[0]
        torch.testing.assert_close(features.eval()(IMAGES)[0], wanted)


def test_a_wrapped_network_gets_its_weights(tmp_path: Path) -> None:
    published = donor(RESNET)
    path = saved(tmp_path / "a.safetensors", published.state_dict())
    model = Logits(timm.create_model(RESNET))
    Pretrained(file=path).load(model, VIEW)
    assert agrees(model.network, published)


def test_two_networks_inside_are_refused() -> None:
    both = nn.Sequential(timm.create_model(RESNET), timm.create_model(RESNET))
    with pytest.raises(ValueError, match=r"needs one timm model .* got Sequential, with 2 of them"):
        Pretrained().load(both, VIEW)


def test_a_hub_that_cannot_be_reached_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"the pretrained weights of test_resnet cannot be fetched \(.*\); .* Pretrained\(file=...\)"):
        Pretrained().load(timm.create_model(RESNET), VIEW)
