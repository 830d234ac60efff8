"""Stages of a timm model, by its other way to its output: checked once, and read in one pass with the modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import SIZE, read, vit
from torch import Tensor, nn

from xkd.taps import Tap, Taps


class Staged(nn.Module):
    """A network as timm's: `feature_info`, and two ways to its output."""

    feature_info = ({"module": "one"}, {"module": "two"})

    def __init__(self, overwrites: bool = False, differs: bool = False) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.overwrites, self.differs = overwrites, differs

    def forward_intermediates(
        self, x: Tensor, indices: list[int], output_fmt: str, intermediates_only: bool = False, stop_early: bool = False
    ) -> Any:
        assert output_fmt == "NCHW"
        maps = [self.one(x)]
        if not stop_early or max(indices) > 0:
            maps.append(self.two(maps[0].relu_() if self.overwrites else maps[0].relu()))
        chosen = [maps[index] for index in indices]
        return chosen if intermediates_only else (maps[1], chosen)

    def forward_head(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.two(self.one(x).relu()).mean((2, 3))
        return output + 1 if self.differs else output


class TestStages:
    def test_a_stage_that_the_next_one_overwrites_is_an_error(self) -> None:
        assert read(Staged().eval(), Tap("stage:0")).min() < 0
        with pytest.raises(ValueError, match=r"tap 'it' \(stage:0\) was overwritten in place .*: tap a module inside stage 'one'"):
            read(Staged(overwrites=True).eval(), Tap("stage:0"))
        assert read(Staged(overwrites=True).eval(), Tap("stage:1")).shape == (2, 5, 16, 24)

    def test_a_network_whose_two_ways_differ_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"Staged does not give its own output by forward_intermediates.*\['one', 'two'\]"):
            read(Staged(differs=True).eval(), Tap("stage:1"))

    def test_weights_that_are_no_numbers_are_not_called_another_network(self) -> None:
        model = Staged().eval()
        nn.init.constant_(model.one.weight, torch.nan)
        assert read(model, Tap("stage:1")).isnan().any()

    def test_it_is_checked_once_and_never_while_it_learns(self) -> None:
        model = Staged(differs=True)
        taps = Taps(model, {"it": Tap("stage:1")})
        taps(torch.randn(2, 3, *SIZE))  # in train mode dropout would make two passes differ
        assert taps.read((2, 3, *SIZE))["it"].shape == (2, 5, 16, 24)
        model.eval()
        with pytest.raises(ValueError, match="does not give its own output"):
            taps(torch.randn(2, 3, *SIZE))
        model.differs = False
        taps(torch.randn(2, 3, *SIZE))
        taps.read((2, 3, *SIZE))
        calls = []
        model.one.register_forward_hook(lambda *_: calls.append(1))
        taps(torch.randn(2, 3, *SIZE))
        assert len(calls) == 1

    def test_the_model_called_behind_their_back_is_an_error(self) -> None:
        taps = Taps(model := Staged().eval(), {"it": Tap("stage:0")})
        model(torch.randn(2, 3, *SIZE))
        with pytest.raises(ValueError, match="is read by calling the taps, or their branch, in place of the model"):
            taps.read((2, 3, *SIZE))

    def test_a_gradient_reaches_the_stage(self) -> None:
        taps = Taps(model := Staged(), {"it": Tap("stage:0")})
        taps(torch.randn(2, 3, *SIZE))
        taps.read((2, 3, *SIZE))["it"].pow(2).sum().backward()
        assert model.one.weight.grad is not None
        assert model.two.weight.grad is None

    def test_stages_and_modules_are_read_in_one_pass(self) -> None:
        taps = Taps(vit(), {"stage": Tap("stage:1"), "block": Tap("blocks.1"), "look": Tap("stage:1", "attention")})
        taps(torch.randn(2, 3, *SIZE))
        readings = taps.read((2, 3, *SIZE))
        assert torch.equal(readings["stage"], readings["block"])
        assert readings["look"].shape == (2, 3, 4, 6)
