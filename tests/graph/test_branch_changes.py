"""A branch whose network is changed: what is loaded before and what after, averages, compiled steps, frozen ones, runs that go on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from core_models import CNN, RGB_VIEW, TASK, make_batch, rgb_branch, state
from torch import Tensor, nn

from xkd.changes import Folded, Rounded
from xkd.changes.rounded import inputs_of
from xkd.graph.averages import follow
from xkd.graph.branch import Branch
from xkd.graph.changes import name_of
from xkd.graph.weights import EMA, Checkpoint, Random
from xkd.taps import Tap

FEW = (Folded(), Rounded(weights=4))
TAPS = {"deep": Tap("deep"), "act": Tap("stem.2")}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def saved(branch: Branch, path: Path) -> str:
    """As a run's checkpoint has it."""
    told = {"student": "rgb", "classes": list(TASK.names), "changes": {"rgb": list(map(str, branch.changes))}}
    content = {"state_dict": {f"distiller.branches.rgb.{key}": value for key, value in state(branch).items()}, "meta": {"xkd": told}}
    torch.save(content, path)
    return str(path)


def test_a_network_is_changed_after_its_weights_are_loaded_and_before_it_is_tapped(tmp_path: Path) -> None:
    plain = rgb_branch(TAPS).eval()
    changed = rgb_branch(TAPS, weights=Checkpoint(saved(plain, tmp_path / "plain.pth")), changes=[Folded()]).eval()
    changed.bind(TASK)
    for one, other in zip(plain(make_batch(), TASK).values(), changed(make_batch(), TASK).values(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in changed.modules())


def test_a_checkpoint_of_a_changed_network_is_loaded_after_its_changes(tmp_path: Path) -> None:
    branch = rgb_branch(TAPS, changes=FEW)
    branch.train()(make_batch(), TASK)
    path = saved(branch, tmp_path / "few.pth")
    again = rgb_branch(TAPS, weights=Checkpoint(path), changes=FEW, frozen=True)
    assert state(again).keys() == state(branch).keys()
    for one, other in zip(branch.eval()(make_batch(), TASK).values(), again(make_batch(), TASK).values(), strict=True):
        assert torch.equal(one, other)
    for others in ([], [Folded(), Rounded(weights=3)]):
        with pytest.raises(ValueError, match=r"few.pth.* was changed, changes=\[Folded\(\), Rounded\(weights=4, .*give it the same"):
            rgb_branch(TAPS, weights=Checkpoint(path), changes=others)


def test_a_frozen_rounded_network_has_seen_its_ranges(tmp_path: Path) -> None:
    path = saved(rgb_branch(), tmp_path / "plain.pth")
    with pytest.raises(ValueError, match=r"frozen branch on view 'rgb' is rounded, and no training pass .*: load the checkpoint"):
        rgb_branch(weights=Checkpoint(path), changes=FEW, frozen=True)


def test_an_average_takes_ranges_as_they_are() -> None:
    branch, average = rgb_branch(changes=FEW), rgb_branch(changes=FEW, weights=EMA("rgb"))
    branch.train()(make_batch(), TASK)
    follow(average, branch, decay=0.9)
    for name, grid in inputs_of(branch).items():
        own = inputs_of(average)[name]
        assert float(grid.high) > 0
        assert (own.low, own.high, own.seen) == (grid.low, grid.high, grid.seen)
    bias = "model.fc.bias"
    assert not torch.equal(state(average)[bias], state(branch)[bias])


@pytest.mark.slow  # torch's compiler takes seconds
def test_a_compiled_step_is_an_eager_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, batch, results = torch.compile, make_batch(4), list[Any]()
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend="aot_eager"))
    for compiled in (False, True):
        torch.manual_seed(0)
        branch = rgb_branch({"deep": Tap("deep")}, changes=FEW, compiled=compiled)
        branch.model.get_submodule("drop").p = 0.0
        branch.bind(TASK)
        branch.double()
        torch.stack([reading.square().sum() for reading in branch(batch, TASK).values()]).sum().backward()
        results.append([*state(branch).values(), *(p.grad for p in branch.parameters())])
    for eager, made in zip(*results, strict=True):
        torch.testing.assert_close(made, eager)


def test_two_branches_cannot_share_a_network_that_is_rounded() -> None:
    model = CNN()
    Branch(model, RGB_VIEW, Random(), changes=[Rounded()])
    with pytest.raises(ValueError, match="two branches share the network: give each its own"):
        Branch(model, RGB_VIEW, Random(), changes=[Rounded()])


def test_a_network_that_cannot_take_the_view_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"view 'rgb' gives \(3, 16, 16\), and Rounded\(.*\) cannot run Linear on it"):
        Branch(nn.Linear(5, 3), RGB_VIEW, Random(), changes=[Rounded()])


def test_a_change_of_ones_own_is_a_function() -> None:
    def halved(model: nn.Module, example: Tensor) -> str:
        assert tuple(example.shape) == (2, 3, 16, 16)
        assert not model.training
        with torch.no_grad():
            model.get_submodule("fc").weight.mul_(0.5)
        return "the classifier is halved"

    branch, plain = CNN(), CNN()
    plain.load_state_dict(branch.state_dict())
    made = Branch(branch, RGB_VIEW, Random(), changes=[halved])
    assert name_of(made.changes[0]).endswith("halved")
    with pytest.raises(ValueError, match=r"halved at 0x.* does not say which change it is, and a checkpoint must: make it a function"):
        Branch(CNN(), RGB_VIEW, Random(), changes=[partial(halved)])
    torch.testing.assert_close(2 * made.model.get_submodule("fc").weight, plain.fc.weight)
