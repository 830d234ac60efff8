"""A backbone's folder is read by timm and by xkd, with the statistics of its training and a fresh classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from xkd.batch import View
from xkd.deploy.backbone import write_backbone
from xkd.graph.branch import Branch
from xkd.graph.weights import Checkpoint, Pretrained, Random
from xkd.modalities import Thermal
from xkd.tasks import PixelHead

KELVIN = View("thermal", Thermal(range=(280.0, 320.0), mean=(295.0,), std=(4.0,)), (32, 48))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Branch]:
    branch = Branch(timm.create_model("resnet10t", in_chans=1, num_classes=4), KELVIN, Random())
    out = tmp_path_factory.mktemp("backbone") / "out"
    assert write_backbone(branch, out, "# a card")
    return out, branch


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items() if not name.startswith("fc."))


def test_timm_makes_the_network_of_it(folder: tuple[Path, Branch]) -> None:
    out, branch = folder
    model = timm.create_model(f"local-dir:{out}", pretrained=True)
    assert same(model, branch.model)
    assert model.pretrained_cfg["mean"] == pytest.approx([0.375])
    assert model.pretrained_cfg["std"] == pytest.approx([0.1])
    assert model.num_classes == 0
    with_classes = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=3)
    assert same(with_classes, branch.model)
    assert (out / "README.md").read_text() == "# a card"


def test_a_branch_begins_with_it_and_a_fresh_classifier(folder: tuple[Path, Branch]) -> None:
    out, branch = folder
    made = Branch(timm.create_model("resnet10t", in_chans=1, num_classes=3), KELVIN, Checkpoint(str(out)))
    assert same(made.model, branch.model)
    assert made.mean.flatten().tolist() == pytest.approx([295.0])
    assert made.std.flatten().tolist() == pytest.approx([4.0])


def test_so_does_a_network_for_pixels(folder: tuple[Path, Branch]) -> None:
    out, branch = folder
    backbone = timm.create_model("resnet10t", in_chans=1, features_only=True, out_indices=(2,))
    made = Branch(PixelHead(backbone, 2), KELVIN, Checkpoint(str(out)))
    kept = dict(branch.model.state_dict())
    assert all(torch.equal(value, kept[name]) for name, value in made.model.backbone.state_dict().items())


def test_another_architecture_is_refused(folder: tuple[Path, Branch]) -> None:
    with pytest.raises(ValueError, match="tensors match"):
        Branch(timm.create_model("resnet18", in_chans=1, num_classes=3), KELVIN, Checkpoint(str(folder[0])))


def test_pretrained_says_what_takes_it(folder: tuple[Path, Branch]) -> None:
    with pytest.raises(ValueError, match=r"is for 1 channels .* use Checkpoint\(path\)$"):
        Branch(timm.create_model("resnet10t", in_chans=1, num_classes=3), KELVIN, Pretrained(file=str(folder[0])))


def test_a_network_that_is_none_of_timms_has_no_such_folder(tmp_path: Path) -> None:
    branch = Branch(nn.Sequential(nn.Conv2d(1, 4, 3)), KELVIN, Random())
    assert not write_backbone(branch, tmp_path / "out", "")
    assert not (tmp_path / "out").exists()
