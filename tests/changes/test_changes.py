"""Networks that are folded and rounded: the same answer, whole steps, and what they refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
from core_models import CNN, PixelCNN, changed, state
from timm.layers import BatchNormAct2d, ScaledStdConv2d
from torch import Tensor, nn

from xkd.changes import Folded, Rounded
from xkd.changes.rounded import bake, bits_of, inputs_of, unseen


def image(size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn((4, 3, size, size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(model: nn.Module) -> nn.Module:
    """In float64, with statistics and scales of batch norm that differ from a new one's, in eval mode."""
    generator = torch.Generator().manual_seed(1)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model.double().eval()


class Timms(nn.Module):
    """A batch norm with an activation, and a linear layer with one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = BatchNormAct2d(4)
        self.fc = nn.Linear(4, 5)
        self.last = nn.BatchNorm1d(5, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.last(self.fc(self.bn(self.conv(images)).mean((2, 3))))
        return answers


class Apart(CNN):
    """The second batch norm follows an addition; the first convolution may be read by something else as well."""

    def __init__(self, both: bool = False) -> None:
        super().__init__()
        self.both = both

    def forward(self, images: Tensor) -> Tensor:
        first: Tensor = self.stem[0](images)
        stem = self.stem[2](self.stem[1](first)) + (first if self.both else 0)
        deep: Tensor = self.deep[1](self.deep[0](stem) + 1)
        return deep.mean((2, 3))


def rounded(weights: int = 4, activations: int = 8, observe: int = 2) -> nn.Module:
    torch.manual_seed(0)
    model = trained(CNN())
    Folded()(model, image())
    Rounded(weights, activations, observe)(model, image())
    return model


class TestFolded:
    @pytest.mark.parametrize("make", [CNN, PixelCNN, Timms, lambda: timm.create_model("test_efficientnet", num_classes=3)])
    def test_the_network_answers_as_before(self, make: Callable[[], nn.Module]) -> None:
        torch.manual_seed(0)
        model = trained(make())
        with torch.no_grad():
            before = model(image(32))
            said = Folded()(model, image(32))
            torch.testing.assert_close(model(image(32)), before, rtol=1e-9, atol=1e-9)
        assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
        assert said.endswith("batch norms are folded")

    def test_activations_and_paths_stay_and_biases_learn(self) -> None:
        model = trained(Timms())
        Folded()(model, image())
        assert isinstance(model.get_submodule("bn.act"), nn.ReLU)
        assert all(parameter.requires_grad for parameter in model.parameters())
        assert set(state(model)) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}

    def test_what_follows_something_else_is_named(self) -> None:
        model = trained(Apart())
        said = Folded()(model, image())
        assert said == "1 of 2 batch norms are folded; 'deep.1' stay, as no convolution or linear layer is right before them"
        assert isinstance(model.get_submodule("deep.1"), nn.BatchNorm2d)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (nn.Sequential(nn.Conv2d(3, 4, 3)), "nothing to fold in Sequential: no batch norm; take it out"),
            (nn.Sequential(nn.BatchNorm2d(3)), "none of its 1 batch norms has a convolution or linear layer right before it"),
            (Apart(both=True), "changes what Apart answers: by up to .* Something else reads what a layer gives"),
        ],
    )
    def test_what_it_cannot_do_is_refused(self, model: nn.Module, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Folded()(trained(model), image())

    def test_it_comes_before_rounding(self) -> None:
        model = trained(CNN())
        Rounded()(model, image())
        with pytest.raises(ValueError, match=r"'stem.0', 'deep.0' are rounded.*changes=\[Folded\(\), Rounded"):
            Folded()(model, image())


class TestRounded:
    def test_weights_are_of_few_values_and_learn(self) -> None:
        model = rounded()
        weight = model.get_submodule("deep.0").weight
        assert isinstance(weight, Tensor)
        assert max(len(channel.unique()) for channel in weight) <= 15
        model.train()(image()).square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())

    def test_inputs_are_rounded_from_the_first_training_pass_on_in_the_range_of_the_first(self) -> None:
        model, given = rounded(weights=16, activations=2), list[Tensor]()
        model.get_submodule("fc").register_forward_pre_hook(lambda _, arguments: given.append(arguments[0]))
        assert unseen(model) == ["stem.0", "deep.0", "fc"]
        model(image())
        for scale in (1, 2, 5):
            model.train()(scale * image())
        assert [len(one.unique()) > 4 for one in given] == [True, False, False, False]
        grid = inputs_of(model)["stem.0"]
        assert (float(grid.low), float(grid.high), int(grid.seen)) == (float(2 * image().min()), float(2 * image().max()), 2)
        before = state(model)
        model.eval()(9 * image())
        assert not changed(model, before)

    def test_a_pass_that_is_not_finite_leaves_no_range(self) -> None:
        model = rounded()
        model.train()(torch.full((2, 3, 16, 16), torch.inf, dtype=torch.float64))
        assert unseen(model) == ["stem.0", "deep.0", "fc"]

    def test_half_precision_goes_through(self) -> None:
        grid = inputs_of(rounded())["fc"].float()
        assert grid.train()(torch.randn(3, 12).to(torch.bfloat16)).dtype == torch.bfloat16

    @pytest.mark.parametrize("activations", [True, False])
    def test_what_is_baked_answers_alike(self, activations: bool) -> None:
        model = rounded(weights=3, activations=4 if activations else 16, observe=9)
        model.train()(image())
        with torch.no_grad():
            expected = model.eval()(image())
            twin = copy.deepcopy(model)
            bake(twin, activations=activations)
            torch.testing.assert_close(twin(image()), expected, rtol=0, atol=1e-9 if activations else 1e-3)
            assert torch.equal(model(image()), expected)
        assert bits_of(twin) is None
        assert bits_of(model) is not None
        assert "stem.0.weight" in twin.state_dict()

    def test_nothing_is_baked_before_ranges_are_known(self) -> None:
        with pytest.raises(ValueError, match=r"CNN is rounded, and no training pass has shown the range of what goes into 'stem\.0'"):
            bake(rounded(), activations=True)

    def test_layers_that_make_their_weights_are_named(self) -> None:
        model = nn.Sequential(ScaledStdConv2d(3, 4, 3), nn.Conv2d(4, 2, 3)).double().eval()
        assert "1 layers are rounded, 72 of 190 parameters to 8 bits; '0' stay, as they make" in Rounded()(model, image())

    @pytest.mark.parametrize(
        ("bits", "message"),
        [
            ({"weights": 1}, r"Rounded\(weights=1\): bits are from 2 to 16"),
            ({"activations": 17}, r"Rounded\(activations=17\): bits are from 2 to 16"),
            ({"observe": 0}, r"Rounded\(observe=0\): ranges are of one training pass or more"),
        ],
    )
    def test_numbers_out_of_range_are_refused(self, bits: dict[str, int], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Rounded(**bits)

    def test_nothing_to_round_and_twice_are_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing to round in ReLU: it runs no convolution or linear layer; take it out"):
            Rounded()(nn.ReLU(), image())
        with pytest.raises(ValueError, match=r"'stem\.0', 'deep\.0', 'fc' of CNN are rounded already: .* two branches share the network"):
            Rounded()(rounded(), image())
