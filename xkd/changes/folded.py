"""Batch norm folded into the convolution or linear layer before it: Jacob et al., CVPR 2018, arXiv:1712.05877, section 3.2.

The arithmetic is torch's own, `torch.nn.utils.fusion`. torch.fx's fusion is not used, because it traces the network, which fails for many,
and gives another module in its place, in which no tap finds its path. Here one pass is watched: which layer made what a batch norm takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized

from xkd.changes.layers import is_plain, some

_NEAR: Final = 1e-3  # of the largest output, by which outputs may differ in float32


@dataclass(frozen=True)
class Folded:
    """Each batch norm becomes part of the convolution or linear layer right before it, which gets a bias; the network answers as before.

    For devices, and before `Rounded`: a batch norm after rounded weights could not be folded any more. What a batch norm of timm's brings
    with it, its activation, stays in its place. The network then learns without batch statistics. A batch norm that follows nothing of
    that kind (an addition, a concatenation) stays as it is, and is named.

    `ValueError` where there is nothing to fold, where the outputs before and after differ by more than a thousandth of the largest, and
    after `Rounded`.
    """

    def __call__(self, model: nn.Module, example: Float[Tensor, "b c h w"]) -> str:
        norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)}
        with torch.no_grad():
            makers, before = _watched(model, norms, example)
            if not makers:
                why = (
                    f"none of its {len(norms)} batch norms has a convolution or linear layer right before it" if norms else "no batch norm"
                )
                raise ValueError(f"{self} has nothing to fold in {type(model).__name__}: {why}; take it out")
            for name, maker in makers.items():
                _fold(model, name, model.get_submodule(maker))
            after = _tensors(model(example))
        _check_alike(before, after, f"{self} changes what {type(model).__name__} answers")
        left = [name for name in norms if name not in makers]
        rest = f"; {some(left)} stay, as no convolution or linear layer is right before them" if left else ""
        return f"{len(makers)} of {len(norms)} batch norms are folded{rest}"


def _watched(model: nn.Module, norms: Mapping[str, nn.Module], example: Tensor) -> tuple[dict[str, str], list[Tensor]]:
    """Of each batch norm that can be folded the layer before it, and the network's outputs."""
    made: dict[str, list[Tensor]] = {}
    taken: dict[str, list[Tensor]] = {}
    layers = {name: module for name, module in model.named_modules() if is_plain(module)}
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.register_forward_hook(lambda _, given, output, name=name: made.setdefault(name, []).append(output)))
        for name, norm in norms.items():
            hooks.enter_context(norm.register_forward_pre_hook(lambda _, given, name=name: taken.setdefault(name, []).append(given[0])))
        outputs = _tensors(model(example))
    once = {id(outputs[0]): name for name, outputs in made.items() if len(outputs) == 1 and _by_channel(layers[name], outputs[0])}
    makers = {
        name: once[id(inputs[0])]
        for name, inputs in taken.items()
        if len(inputs) == 1 and id(inputs[0]) in once and getattr(norms[name], "running_var", None) is not None
    }
    if rounded := [maker for maker in makers.values() if is_parametrized(layers[maker], "weight")]:
        raise ValueError(
            f"the weights of {some(rounded)} are rounded, or computed in another way, before batch norm is folded into them:"
            " write changes=[Folded(), Rounded(...)]"
        )
    return makers, outputs


def _by_channel(layer: nn.Module, output: Tensor) -> bool:
    """Whether a batch norm's channels are the layer's own: of a linear layer they are where it gives vectors."""
    return not isinstance(layer, nn.Linear) or output.ndim == 2


def _fold(model: nn.Module, name: str, layer: Any) -> None:
    norm: Any = model.get_submodule(name)
    weight, bias = fuse_conv_bn_weights(layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    layer.weight, layer.bias = (nn.Parameter(one.detach()) for one in (weight, bias))  # torch's new bias would not learn
    parent, _, last = name.rpartition(".")
    inside = dict(norm.named_children())  # of timm's: dropout and activation, which keep their paths
    left = nn.Sequential()
    for part, module in inside.items():
        left.add_module(part, module)
    setattr(model.get_submodule(parent), last, left if inside else nn.Identity())


def _check_alike(before: list[Tensor], after: list[Tensor], what: str) -> None:
    for one, other in zip(before, after, strict=True):
        difference, largest = float((one - other).abs().max()), float(one.abs().max())
        if not difference <= _NEAR * largest:
            raise ValueError(
                f"{what}: by up to {difference:.2g} where the largest is {largest:.2g}. Something else reads what a layer gives before its"
                " batch norm, or its weights are out of all proportion: leave Folded() out"
            )


def _tensors(output: Any) -> list[Tensor]:
    """Those of a network's answer, however it is packed."""
    if isinstance(output, Tensor):
        return [output.clone()]
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]
