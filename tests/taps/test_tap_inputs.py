"""`side="input"`: what a module is given, with the checks that outputs have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from core_models import unchecked
from networks import SIZE, Users, network, read
from torch import Tensor, nn

from xkd.taps import Tap, Taps

IMAGES = (2, 3, 8, 8)


def small(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), *layers).eval()


def cbam() -> nn.Module:
    return network("test_resnet", block_args={"attn_layer": "cbam"})


class TestInputs:
    def test_it_is_what_the_layer_before_gives(self) -> None:
        model = small(nn.Sigmoid())
        taps = Taps(model, {"before": Tap("1", side="input"), "after": Tap("1"), "energy": Tap("1", "energy", side="input")})
        with torch.no_grad():
            taps(torch.randn(IMAGES))
            readings = taps.read(IMAGES)
        assert torch.equal(readings["before"].sigmoid(), readings["after"])
        assert torch.equal(readings["energy"], readings["before"].pow(2).mean(1, keepdim=True))

    def test_gradients_go_through_it(self) -> None:
        model = small(nn.Sigmoid())
        taps = Taps(model, {"it": Tap("1", side="input")})
        taps(torch.randn(IMAGES))
        taps.read(IMAGES)["it"].sum().backward()
        assert model.get_parameter("0.bias").grad.tolist() == [2 * 64] * 4

    def test_the_attention_of_timms_cbam_before_its_gates(self) -> None:
        model, images = cbam(), torch.randn(2, 3, *SIZE)
        channel, spatial = ("layer2.0.se.channel", "layer2.0.se.spatial")
        paths = {"channel": f"{channel}.gate", "spatial": f"{spatial}.gate"}
        taps = Taps(model, {name: Tap(path, side="input", layout="NCHW") for name, path in paths.items()})
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        for name, path in (("channel", channel), ("spatial", spatial)):
            # the block adds its shortcut to the output in place
            model.get_submodule(path).register_forward_hook(
                lambda _, given, out, of=name: seen.update({of: (given[0].clone(), out.clone())})
            )
        with torch.no_grad():
            taps(images)
        readings = taps.read(images.shape)
        assert readings["channel"].shape == (2, model.get_submodule(channel).fc2.out_channels, 1, 1)
        assert readings["spatial"].shape == (2, 1, *seen["spatial"][0].shape[2:])
        for name, (given, out) in seen.items():
            torch.testing.assert_close(given * readings[name].sigmoid(), out)

    def test_a_module_that_is_called_by_name(self) -> None:
        class Named(nn.Module):
            def forward(self, maps: Tensor, other: int) -> Tensor:
                return maps * other

        class Model(Users):
            def __init__(self) -> None:
                super().__init__()
                self.named = Named()

            def forward(self, images: Tensor) -> Tensor:
                return self.named(maps=self.body(images), other=2).mean((2, 3))

        assert read(Model(), Tap("named", side="input")).shape == (2, 5, 16, 24)

    def test_a_stage_is_read_as_the_module_it_is(self) -> None:
        assert read(network("test_resnet"), Tap("stage:2", side="input")).shape == read(network("test_resnet"), Tap("stage:1")).shape

    def test_close_removes_its_hook(self) -> None:
        model = small(nn.Sigmoid())
        taps = Taps(model, {"it": Tap("1", side="input")})
        assert len(model.get_submodule("1")._forward_pre_hooks) == 1
        taps.close()
        assert not model.get_submodule("1")._forward_pre_hooks

    @pytest.mark.slow
    def test_compiled_inputs_equal_eager_ones(self) -> None:
        model, images = cbam().double(), torch.randn(2, 3, *SIZE, dtype=torch.float64)
        taps = Taps(model, {"it": Tap("layer1.0.se.channel.gate", side="input")})
        with torch.no_grad():
            taps(images)
            eager = taps.read(images.shape)["it"]
            torch.compile(taps.__call__, backend="aot_eager")(images)
            torch.testing.assert_close(taps.read(images.shape)["it"], eager)


class TestInputsThatCannotBeRead:
    def test_a_module_that_overwrites_its_input(self) -> None:
        with pytest.raises(ValueError, match=r"tap 'it' \(1\)'s input was overwritten in place after it was read: tap its output"):
            read(small(nn.ReLU(inplace=True)), Tap("1", side="input"), (8, 8))

    def test_a_module_that_runs_twice_or_never(self) -> None:
        class Twice(Users):
            def forward(self, images: Tensor) -> Tensor:
                return self.maps(self.maps(self.body(images))).mean((2, 3))

        with pytest.raises(ValueError, match=r"tap 'it' \(maps\) fired 2 times"):
            read(Twice(), Tap("maps", side="input"))
        with pytest.raises(ValueError, match=r"fired 2 times in one forward pass"):
            read(cbam(), Tap("layer1.0.se.channel.fc2", side="input"))

    @pytest.mark.parametrize("give", [lambda maps: (maps, maps), lambda maps: None], ids=["tuple", "nothing"])
    def test_an_input_that_is_no_tensor(self, give: Callable[[Tensor], Any]) -> None:
        class Model(Users):
            def forward(self, images: Tensor) -> Tensor:
                maps = self.body(images)
                self.maps(give(maps))
                return maps.mean((2, 3))

        with pytest.raises(ValueError, match=r"tap 'it' \(maps\) is given (tuple|NoneType), not a tensor: tap its output"):
            read(Model(), Tap("maps", side="input"))

    def test_parts_of_the_images(self) -> None:
        class Model(Users):
            def forward(self, images: Tensor) -> Tensor:
                maps = self.body(images)
                self.maps(maps.flatten(0, 1))
                return maps.mean((2, 3))

        with pytest.raises(ValueError, match=r"tap 'it' \(maps\) is given \(10, 16, 24\) for 2 images: it works on parts"):
            read(Model(), Tap("maps", side="input"))

    @pytest.mark.parametrize("kind", ["attention", "rollout"])
    def test_attention_is_of_a_module_not_of_its_input(self, kind: Any) -> None:
        with pytest.raises(ValueError, match=rf"tap 'blocks.1': side='input' is for kind 'features' or 'energy', got kind '{kind}'"):
            Tap("blocks.1", kind, side="input")

    def test_the_side_is_checked_at_once(self) -> None:
        with unchecked(), pytest.raises(ValueError, match=r"tap 'it': side must be one of \['output', 'input'\], got 'inputs'"):
            Tap("it", side="inputs")
