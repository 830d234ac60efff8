"""A classifier that grows by the names of classes: what was known answers bit for bit as before, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from core_models import RGB_VIEW, TASK, make_batch
from torch import Tensor, nn

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.state_dicts import load_file
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import CrossEntropy
from xkd.networks import Enlarged
from xkd.tasks import Classification


def network(num_classes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = timm.create_model("resnet10t", channels=(8, 8, 8, 8), stem_width=8, num_classes=num_classes)
    return made


def learned(path: Path, classes: tuple[str, ...], model: nn.Module) -> str:
    """The file of a run on these classes."""
    tensors = {f"distiller.branches.rgb.{key}": value for key, value in Branch(model, RGB_VIEW, Random()).state_dict().items()}
    torch.save({"meta": {"xkd": {"student": "rgb", "classes": list(classes)}}, "state_dict": tensors}, path)
    return str(path)


def grown(path: str, classes: tuple[str, ...], model: nn.Module, **options: Any) -> Distiller:
    branch = Branch(model, RGB_VIEW, Checkpoint(path, grows=True, **options))
    terms = {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")}
    distiller = Distiller({"rgb": branch}, terms, "rgb", Classification(classes))
    distiller.bind()
    return distiller.eval()


def answers(model: nn.Module, distiller: Distiller) -> tuple[Tensor, Tensor]:
    """Of the network as it was, and of the one that has grown."""
    batch = make_batch(4)
    with torch.no_grad():
        old = model.eval()(distiller.student.normalise(batch.views["rgb"]))
        return old, distiller.student(batch, distiller.task)["output"]


def test_old_classes_answer_bit_for_bit_wherever_they_stand_and_new_ones_begin_afresh(tmp_path: Path) -> None:
    was, now = network(2), network(4, seed=1)
    fresh = now.fc.weight.clone()
    distiller = grown(learned(tmp_path / "run.pth", ("rust", "blight"), was), ("healthy", "blight", "rust", "miner"), now)
    old, new = answers(was, distiller)
    assert torch.equal(new[:, [2, 1]], old)
    assert torch.equal(now.fc.weight[[0, 3]], fresh[[0, 3]])


def test_a_class_may_be_forgotten_and_another_take_its_place(tmp_path: Path) -> None:
    was, now = network(3), network(3, seed=1)
    fresh = now.fc.weight[2].clone()
    path = learned(tmp_path / "run.pth", TASK.classes, was)
    distiller = grown(path, ("rust", "healthy", "miner"), now, forgets=("blight",))
    old, new = answers(was, distiller)
    assert torch.equal(new[:, :2], old[:, [1, 0]])
    assert torch.equal(now.fc.weight[2], fresh)


def test_a_network_in_a_wrapper_grows_too(tmp_path: Path) -> None:
    was = Enlarged(network(2), (32, 32))
    old, new = answers(was, grown(learned(tmp_path / "run.pth", ("a", "b"), was), ("c", "a", "b"), Enlarged(network(3, 1), (32, 32))))
    assert torch.equal(new[:, 1:], old)


@pytest.mark.parametrize(
    ("classes", "width", "options", "message"),
    [
        (("rust", "miner"), 2, {}, r"knows class 'blight', and the task's .* \['rust', 'miner'\]: add it, or .*forgets=\('blight',\)"),
        (("rust", "blight"), 2, {"forgets": ("miner",)}, r"forgets names class 'miner'; the file has \['rust', 'blight'\]"),
        (("rust", "blight", "miner"), 4, {}, r"is \(2, 8\) for 2 classes, the model's is \(4, 8\) for 3.*num_classes=3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(classes: tuple[str, ...], width: int, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = learned(tmp_path / "run.pth", ("rust", "blight"), network(2))
    with pytest.raises(ValueError, match=message):
        grown(path, classes, network(width), **options)


def test_it_needs_names_and_a_network_that_says_what_tells_its_classes(tmp_path: Path) -> None:
    path = learned(tmp_path / "run.pth", ("a", "b"), network(2))
    torch.save(load_file(path)["state_dict"], tmp_path / "plain.pth")
    with pytest.raises(ValueError, match=r"plain.pth names no classes, and grows=True takes what it knows by their names"):
        Branch(network(3), RGB_VIEW, Checkpoint(str(tmp_path / "plain.pth"), prefix="distiller.branches.rgb.model.", grows=True))
    bare = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="in Sequential no network of timm's says which"):
        grown(learned(tmp_path / "bare.pth", ("a", "b"), bare), ("a", "b", "c"), bare)
    with pytest.raises(ValueError, match=r"forgets=\('a',\) is for a classifier that grows=True"):
        Checkpoint(path, forgets=("a",))
