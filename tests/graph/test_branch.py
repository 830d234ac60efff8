from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from core_models import (
    CLASSES,
    CNN,
    RGB_VIEW,
    TASK,
    THERMAL_VIEW,
    Sensor,
    changed,
    make_batch,
    rgb_branch,
    state,
    thermal_branch,
    unchecked,
)
from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.branch import Branch, Head
from xkd.graph.example import example_batch
from xkd.graph.explanation import GradCAM
from xkd.graph.weights import EMA, Checkpoint, Random
from xkd.projectors import PooledLinear
from xkd.taps import Tap

TAPS = {"stem": Tap("stem"), "deep": Tap("deep")}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


class Spy(nn.Module):
    """Remembers what it was given."""

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        return images.mean((2, 3))


def test_input_is_normalised_by_the_weights_statistics_in_float() -> None:
    view = View("rgb", Sensor(mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 4.0)), (4, 4))
    model = Spy()
    batch = make_batch(2, views=(view,))
    batch.views["rgb"] = torch.randint(0, 255, (2, 3, 4, 4), dtype=torch.uint8)
    Branch(model, view, Random())(batch, TASK)
    for c, (mean, std) in enumerate([(10, 1), (20, 2), (30, 4)]):
        assert torch.equal(model.images[:, c], (batch.views["rgb"][:, c].float() - mean) / std)


def test_the_statistics_are_part_of_its_state() -> None:
    assert {"mean", "std"} <= set(rgb_branch().state_dict())


def test_readings_are_the_output_the_taps_and_the_heads() -> None:
    branch = rgb_branch(TAPS, heads={"exit": Head("stem", PooledLinear())})
    branch.bind(TASK)
    capture = branch(make_batch(4), TASK)
    assert list(capture) == branch.readings == ["output", "stem", "deep", "exit"]
    assert {name: tuple(reading.shape[1:]) for name, reading in capture.items()} == {
        "output": (3,),
        "stem": (10, 8, 8),
        "deep": (12, 4, 4),
        "exit": (3,),
    }
    assert branch.shapes == {name: reading.shape[1:] for name, reading in capture.items()}


class TestFrozen:
    class Model(CNN):
        """With what must not happen in a teacher: batch statistics, dropout, drop path."""

        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            return logits * (torch.rand(len(logits), 1) > 0.5) if self.training else logits

    def frozen(self) -> Branch:
        return Branch(self.Model(), RGB_VIEW, Random(frozen=True), TAPS, frozen=True)

    @pytest.mark.parametrize("how", ["train", "train of the whole", "train of the network inside", "train of a module inside"])
    def test_it_is_in_eval_mode_whatever_anyone_calls(self, how: str) -> None:
        branch, batch = self.frozen(), make_batch(6)
        expected = branch(batch, TASK)["output"]
        before = state(branch)
        if how == "train":
            branch.train()
        elif how == "train of the whole":
            nn.ModuleDict({"teacher": branch}).train()
        elif how == "train of the network inside":
            branch.model.train()
        else:
            branch.model.drop.train()
        assert torch.equal(branch(batch, TASK)["output"], expected)
        assert not changed(branch, before)

    def test_nothing_of_it_asks_for_a_gradient(self) -> None:
        branch = self.frozen()
        assert not any(parameter.requires_grad for parameter in branch.parameters())
        assert not any(reading.requires_grad for reading in branch(make_batch(2), TASK).values())

    def test_it_builds_no_graph_even_if_its_parameters_are_told_to_learn(self) -> None:
        branch = self.frozen().requires_grad_(True)
        assert not any(reading.requires_grad for reading in branch(make_batch(2), TASK).values())

    def test_train_does_not_put_it_in_training_mode(self) -> None:
        assert not any(module.training for module in self.frozen().train().modules())

    def test_nor_do_heads_that_are_sized_later(self) -> None:
        branch = Branch(CNN(), RGB_VIEW, Random(frozen=True), TAPS, heads={"exit": Head("deep", PooledLinear())}, frozen=True)
        branch.bind(TASK)
        assert not any(parameter.requires_grad for parameter in branch.parameters())

    def test_an_average_of_weights_is_frozen_by_nature(self) -> None:
        assert rgb_branch(weights=EMA("rgb")).frozen

    def test_a_learning_branch_is_left_to_its_caller(self) -> None:
        branch = rgb_branch()
        assert branch.model.training
        assert not branch.eval().model.training
        assert branch(make_batch(2), TASK)["output"].requires_grad


class TestAbsentRows:
    def absent(self, rows: list[int]) -> Any:
        batch = make_batch(6)
        batch.present["rgb"][rows] = False
        batch.views["rgb"][rows] = 0
        return batch

    def test_they_do_not_touch_batch_statistics_and_read_as_zero(self) -> None:
        torch.manual_seed(3)
        some, only = rgb_branch(TAPS), rgb_branch(TAPS)
        only.load_state_dict(some.state_dict())
        some.model.drop.p = only.model.drop.p = 0.0
        batch = self.absent([1, 4])
        kept = [0, 2, 3, 5]
        of_some = some(batch, TASK)
        of_only = only(replace(make_batch(4, views=(RGB_VIEW,)), views={"rgb": batch.views["rgb"][kept]}), TASK)
        for name, reading in of_some.items():
            assert torch.equal(reading[[1, 4]], torch.zeros_like(reading[[1, 4]]))
            torch.testing.assert_close(reading[kept], of_only[name])
        assert not changed(some, state(only))

    def test_a_batch_without_any_keeps_every_parameter_in_the_graph(self) -> None:
        branch = rgb_branch(TAPS, heads={"exit": Head("stem", PooledLinear())})
        branch.bind(TASK)
        before = state(branch)
        capture = branch(self.absent([0, 1, 2, 3, 4, 5]), TASK)
        assert {name: reading.shape for name, reading in capture.items()} == {name: (6, *shape) for name, shape in branch.shapes.items()}
        capture["stem"].sum().backward()
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in branch.parameters())
        assert not changed(branch, before), "nothing was seen, so no statistic moves"

    def test_that_needs_the_dry_run_and_says_so(self) -> None:
        with pytest.raises(ValueError, match=r"no row of the batch has view 'rgb' and the branch was not bound; call Distiller.bind"):
            rgb_branch()(self.absent([0, 1, 2, 3, 4, 5]), TASK)

    def test_a_view_that_the_batch_does_not_know_lists_those_it_does(self) -> None:
        with pytest.raises(KeyError, match=r"no view 'thermal' in the batch; it has \['rgb'\]"):
            thermal_branch()(make_batch(2, views=(RGB_VIEW,)), TASK)


class TestHeads:
    def test_a_head_learns_with_its_branch(self) -> None:
        branch = rgb_branch(TAPS, heads={"exit": Head("stem", PooledLinear())})
        branch.bind(TASK)
        branch(make_batch(4), TASK)["exit"].sum().backward()
        assert branch.heads["exit"].layers[0].weight.grad.abs().max() > 0
        assert branch.model.stem[0].weight.grad.abs().max() > 0
        assert branch.model.fc.weight.grad is None

    def test_layers_that_nobody_trained_are_no_teacher(self, tmp_path: Path) -> None:
        torch.save(CNN(3).state_dict(), tmp_path / "teacher.pth")
        weights = Checkpoint(str(tmp_path / "teacher.pth"))
        with pytest.raises(ValueError, match="head 'exit' has layers, which are not in Checkpoint"):
            rgb_branch(TAPS, heads={"exit": Head("stem", PooledLinear())}, weights=weights, frozen=True).bind(TASK)

    def test_a_head_on_no_tap(self) -> None:
        with pytest.raises(KeyError, match=r"head 'exit' sits on no tap 'steem'; this branch has \['deep', 'stem'\]"):
            rgb_branch(TAPS, heads={"exit": Head("steem", PooledLinear())})

    @pytest.mark.parametrize(("taps", "heads"), [(["output"], []), (["stem"], ["stem"]), (["stem"], ["output"])])
    def test_two_readings_of_one_name_are_refused(self, taps: list[str], heads: list[str]) -> None:
        with pytest.raises(ValueError, match=r"view 'rgb'.*two readings named '(output|stem)'"):
            rgb_branch({name: Tap("stem") for name in taps}, heads={name: Head("stem", PooledLinear()) for name in heads})


def test_the_dry_run_moves_no_statistic_no_mode_and_no_random_number() -> None:
    branch = rgb_branch(TAPS)
    before, random = state(branch), torch.get_rng_state()
    branch.bind(TASK)
    assert not changed(branch, before)
    assert branch.model.training
    assert torch.equal(torch.get_rng_state(), random)


def test_a_pass_that_broke_does_not_disturb_the_next() -> None:
    branch = rgb_branch(TAPS)
    branch.model.fc = nn.Linear(12, len(CLASSES) + 1)
    with pytest.raises(ValueError, match=r"the network gives \(2, 4\), classification into 3 classes"):
        branch(make_batch(2), TASK)
    branch.model.fc = nn.Linear(12, len(CLASSES))
    assert branch(make_batch(2), TASK)["stem"].shape == (2, 10, 8, 8)


def test_the_network_may_be_called_by_hand_between_steps() -> None:
    branch = rgb_branch(TAPS)
    branch.model(torch.zeros(2, 3, 16, 16))
    assert branch(make_batch(5), TASK)["deep"].shape[0] == 5


def test_an_example_batch_is_plausible_in_the_sensors_unit() -> None:
    batch = example_batch([RGB_VIEW, THERMAL_VIEW], TASK, rows=4, device=torch.device("cpu"))
    assert batch.views["rgb"].shape == (4, 3, 16, 16)
    assert batch.views["thermal"].shape == (4, 1, 16, 24)
    assert 290 < batch.views["thermal"].mean() < 310
    assert batch.target.tolist() == [0, 1, 2, 0]
    assert bool(batch.labelled.all() and batch.masked.all() and batch.present["rgb"].all())


@pytest.mark.parametrize("tap", [Tap("layer1"), Tap("stage:-1"), Tap("blocks.1", kind="attention"), Tap("", kind="rollout")])
def test_a_copy_is_read_by_its_own_taps(tap: Tap) -> None:
    if tap.kind == "features":
        model = timm.create_model("resnet10t", num_classes=3)
    else:
        model = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=16, patch_size=4, depth=2)
    branch = Branch(model, RGB_VIEW, Random(), {"look": tap})
    branch.bind(TASK)
    batch = make_batch(2)
    twin = copy.deepcopy(branch)
    expected = branch.eval()(batch, TASK)["look"]
    torch.testing.assert_close(twin.eval()(batch, TASK)["look"], expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.normal_()
    assert not torch.equal(twin(batch, TASK)["look"], expected)
    assert torch.equal(branch(batch, TASK)["look"], expected)


def test_two_branches_may_share_one_network() -> None:
    model = CNN()
    small = View("small", RGB_VIEW.modality, (8, 8))
    one, two = Branch(model, RGB_VIEW, Random(), {"stem": Tap("stem")}), Branch(model, small, Random(), {"stem": Tap("stem")})
    batch = make_batch(2, views=(RGB_VIEW, small))
    assert one(batch, TASK)["stem"].shape == (2, 10, 8, 8)
    assert two(batch, TASK)["stem"].shape == (2, 10, 4, 4)
    assert one(batch, TASK)["stem"].shape == (2, 10, 8, 8)


def test_weights_that_are_none_are_refused() -> None:
    path: Any = "a.pth"
    with unchecked(), pytest.raises(ValueError, match=r"weights of .* must be Trained\(\), Checkpoint\(path\), .*, got 'a.pth'"):
        Branch(CNN(3), RGB_VIEW, path)


def test_a_network_that_cannot_take_the_views_size_says_which(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, depth=1, embed_dim=12, num_classes=3)
    with pytest.raises(
        ValueError,
        match=r"view 'rgb' gives \(3, 16, 16\), which VisionTransformer cannot take: Input height \(16\) doesn't match",
    ):
        Branch(model, RGB_VIEW, Random()).bind(TASK)


def test_a_network_that_drops_tokens_while_it_trains_cannot_be_tapped() -> None:
    model = timm.create_model("vit_tiny_patch16_224", img_size=16, patch_size=4, depth=1, embed_dim=12, num_classes=3, patch_drop_rate=0.75)
    branch = Branch(model, RGB_VIEW, Random(), {"maps": Tap("blocks.0")})
    branch.bind(TASK)
    with pytest.raises(ValueError, match=r"view 'rgb': 'maps' is \(12, 2, 2\), in the dry run it was \(12, 4, 4\); .*\(patch_drop_rate\)"):
        branch(make_batch(2), TASK)
    branch.eval()
    assert branch(make_batch(2), TASK)["maps"].shape == (2, 12, 4, 4)


def test_a_frozen_branch_may_compute_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.graph.branch.bfloat16_pays", lambda: True)
    torch.manual_seed(0)
    plain = thermal_branch({"deep": Tap("deep")}, frozen=True)
    half = Branch(plain.model, plain.view, Random(frozen=True), {"deep": Tap("deep")}, frozen=True, bfloat16=True)
    batch = make_batch()
    exact, rounded = plain(batch, TASK), half(batch, TASK)
    assert rounded["output"].dtype == torch.bfloat16
    torch.testing.assert_close(rounded["output"].float(), exact["output"], atol=2e-2, rtol=2e-2)
    assert not torch.equal(rounded["deep"].float(), exact["deep"])
    with torch.autocast("cpu", torch.bfloat16):
        assert plain(batch, TASK)["output"].dtype == torch.bfloat16, "what is set around it still counts"
    with pytest.raises(ValueError, match="bfloat16 is for a frozen branch; view 'thermal' learns"):
        thermal_branch(bfloat16=True)


@pytest.mark.parametrize(("name", "order"), [("test_resnet", torch.channels_last), ("test_vit", torch.contiguous_format)])
def test_a_network_that_convolves_has_its_channels_last(name: str, order: torch.memory_format) -> None:
    def branch(**options: Any) -> Branch:
        return Branch(timm.create_model(name, num_classes=3), View("rgb", RGB_VIEW.modality, (160, 160)), Random(), **options)

    assert branch().memory_format == order
    assert branch(channels_last=True).memory_format == torch.channels_last
    assert branch(channels_last=False).memory_format == torch.contiguous_format
    made = branch()
    assert made.normalise(make_batch(2, views=(made.view,)).views["rgb"]).is_contiguous(memory_format=order)


class TestCompiled:
    @pytest.fixture
    def compiles(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What was handed to torch's compiler, here with its fast backend that writes no code."""
        handed: list[Any] = []
        compiler = torch.compile

        def compile_quickly(function: Any) -> Any:
            handed.append(function)
            return compiler(function, backend="aot_eager")

        monkeypatch.setattr(torch, "compile", compile_quickly)
        return handed

    def test_readings_and_gradients_are_those_of_an_eager_branch(self, compiles: list[Any]) -> None:
        batch, readings, gradients = make_batch(4), [], []
        for compiled in (False, True):
            torch.manual_seed(0)
            branch = rgb_branch(TAPS, compiled=compiled)
            branch.model.get_submodule("drop").p = 0.0  # two passes draw other numbers
            branch.bind(TASK)
            branch.double()
            readings.append(branch(batch, TASK))
            torch.stack([reading.pow(2).sum() for reading in readings[-1].values()]).sum().backward()
            gradients.append([p.grad for p in branch.parameters()])
        assert len(compiles) == 1
        for one, other in ((readings[0].values(), readings[1].values()), gradients):
            for eager, made in zip(one, other, strict=True):
                torch.testing.assert_close(made, eager)

    @pytest.mark.parametrize("frozen", [False, True])
    def test_evaluation_and_copies_are_eager(self, frozen: bool, compiles: list[Any]) -> None:
        branch = rgb_branch(compiled=True, frozen=frozen, weights=Random(frozen))
        branch.bind(TASK)
        assert len(compiles) == 1
        branch._compiled = broken
        with torch.no_grad():
            branch.eval()(make_batch(2), TASK)
        copy.deepcopy(branch).train()(make_batch(2), TASK)
        with pytest.raises(ZeroDivisionError):
            branch.train()(make_batch(2), TASK)

    def test_an_explanation_cannot_be_compiled(self) -> None:
        with pytest.raises(ValueError, match="view 'rgb': an explanation is a derivative that is learned by, so it cannot be compiled"):
            rgb_branch(compiled=True, explanations={"cam": GradCAM("deep", "batch.target")})


def broken(*_inputs: Any) -> Any:
    raise ZeroDivisionError
