"""Weights and activations rounded to few bits while the network learns, so that it learns weights that can be rounded.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877;
weights per output channel as Krishnamoorthi, arXiv:1806.08342, recommends.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xkd.changes.layers import is_plain, some
from xkd.changes.rounding import last_step, on_grid, range_grid, symmetric_scale

_LEAST, _MOST = 2, 16  # bits
_GRID: Final = "input_grid"  # the module in a rounded layer that its input goes through


@dataclass(frozen=True)
class Rounded:
    """The weights of convolutions and linear layers are rounded to `weights` bits, what goes into them to `activations` bits, 2 to 16.

    Weights: symmetric, a scale for each output channel by its largest weight, anew in every pass. Activations: unsigned steps over one
    range per layer, zero among them; the range is that of all values in the first `observe` training passes, then fixed, and part of the
    checkpoint. Before the first training pass, as in the dry run, activations are not rounded. Biases, sums and norms stay float.
    Gradients go straight through, but for activations beyond their range.

    `ValueError` for other bits, and for a network with nothing to round or that is rounded already.
    """

    weights: int = 8
    activations: int = 8
    observe: int = 100

    def __post_init__(self) -> None:
        for name, bits in (("weights", self.weights), ("activations", self.activations)):
            if not _LEAST <= bits <= _MOST:
                raise ValueError(f"Rounded({name}={bits}): bits are from {_LEAST} to {_MOST}")
        if self.observe < 1:
            raise ValueError(f"Rounded(observe={self.observe}): ranges are of one training pass or more")

    def __call__(self, model: nn.Module, example: Float[Tensor, "b c h w"]) -> str:
        layers = {name: module for name, module in model.named_modules() if is_plain(module)}
        if twice := [name for name, layer in layers.items() if hasattr(layer, _GRID)]:
            raise ValueError(
                f"{self}: {some(twice)} of {type(model).__name__} are rounded already: Rounded stands there twice, or two branches"
                " share the network: give each its own"
            )
        run = _called(model, layers, example)
        if not run:
            raise ValueError(f"{self} has nothing to round in {type(model).__name__}: it runs no convolution or linear layer; take it out")
        count, whole = sum(layer.weight.numel() for layer in run.values()), sum(p.numel() for p in model.parameters())
        for layer in run.values():
            parametrize.register_parametrization(layer, "weight", RoundedWeight(self.weights))
            layer.add_module(_GRID, RoundedInput(self.activations, self.observe).to(layer.weight).train(layer.training))
            layer.register_forward_pre_hook(_round_input)
        weighed = (nn.modules.conv._ConvNd, nn.Linear)
        left = [name for name, module in model.named_modules() if isinstance(module, weighed) and name not in run]
        rest = f"; {some(left)} stay, as they make their weights in each pass, or are not called as modules" if left else ""
        return f"{len(run)} layers are rounded, {count:,} of {whole:,} parameters to {self.weights} bits{rest}"


def _called(model: nn.Module, layers: dict[str, Any], example: Tensor) -> dict[str, Any]:
    """The layers that one pass runs."""
    seen: set[str] = set()
    with torch.no_grad(), ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.register_forward_hook(lambda *_, name=name: seen.add(name)))
        model(example)
    return {name: layer for name, layer in layers.items() if name in seen}


def _round_input(layer: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (layer.input_grid(given[0]), *given[1:])


class RoundedWeight(nn.Module):
    """A layer's weights on their grid, as a parametrization of torch's."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: Float[Tensor, "out *rest"]) -> Float[Tensor, "out *rest"]:
        most = weight.new_tensor(last_step(self.bits))
        return on_grid(weight, symmetric_scale(weight, self.bits), -most, most)


class RoundedInput(nn.Module):
    """What goes into a layer, on the grid of the range that it had; without a branch on a value, so that a compiler sees one graph."""

    low: Tensor
    high: Tensor
    seen: Tensor
    copied = ("low", "high")  # not averaged in a branch of averages: a mean of ranges would cut off what both have

    def __init__(self, bits: int, observe: int) -> None:
        super().__init__()
        self.bits, self.observe = bits, observe
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        exact = values.to(torch.promote_types(values.dtype, torch.float32))  # half precision has no more steps than the grid
        if self.training:
            self._widen(exact.detach())
        scale, zero = range_grid(self.low, self.high, self.bits)
        return torch.where(self.seen > 0, on_grid(exact, scale, -zero, 2**self.bits - 1 - zero), exact).to(values.dtype)

    def _widen(self, values: Tensor) -> None:
        least, most = torch.aminmax(values)
        due = (self.seen < self.observe) & least.isfinite() & most.isfinite()  # a step that is left out leaves no range
        self.low.copy_(torch.where(due, torch.minimum(self.low, least), self.low))
        self.high.copy_(torch.where(due, torch.maximum(self.high, most), self.high))
        self.seen.add_(due)


class FixedGrid(nn.Module):
    """A `RoundedInput` whose range is known, in numbers alone: what an exported file does."""

    def __init__(self, scale: float, zero: float, top: int) -> None:
        super().__init__()
        self.scale, self.zero, self.top = scale, zero, top

    def forward(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return torch.round(values / self.scale).clamp(-self.zero, self.top - self.zero) * self.scale


def inputs_of(model: nn.Module) -> dict[str, RoundedInput]:
    """The rounded inputs of a network, by the name of their layer; none where it is not rounded."""
    return {name.removesuffix(f".{_GRID}"): module for name, module in model.named_modules() if isinstance(module, RoundedInput)}


def bits_of(model: nn.Module) -> tuple[int, int] | None:
    """The fewest bits of weights and of what goes into layers; None for a network that is not rounded."""
    weights = [module.bits for module in model.modules() if isinstance(module, RoundedWeight)]
    inputs = [grid.bits for grid in inputs_of(model).values()]
    return (min(weights), min(inputs)) if weights and inputs else None


def unseen(model: nn.Module) -> list[str]:
    """The layers of a rounded network whose ranges no training pass has shown yet."""
    return [name for name, grid in inputs_of(model).items() if not int(grid.seen)]


def bake(model: nn.Module, *, activations: bool) -> None:
    """Plain layers with the rounded weights in place of the parametrized ones; what goes into them is rounded where `activations`.

    `ValueError` for a network that no training pass has shown its ranges.
    """
    if without := unseen(model):
        raise ValueError(f"{type(model).__name__} is rounded, and no training pass has shown the range of what goes into '{without[0]}'")
    for name, grid in inputs_of(model).items():
        layer: Any = model.get_submodule(name)
        # torch's remove_parametrizations would take the weights away from the network that this one is a copy of: both have one class
        values = {part: getattr(layer, part).detach() for part in layer.parametrizations}
        layer.__class__ = parametrize.type_before_parametrizations(layer)
        del layer.parametrizations
        for part, value in values.items():
            layer.register_parameter(part, nn.Parameter(value))
        scale, zero = (float(of) for of in range_grid(grid.low, grid.high, grid.bits))
        layer.add_module(_GRID, FixedGrid(scale, zero, 2**grid.bits - 1) if activations else nn.Identity())
