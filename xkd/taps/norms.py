"""What batch norm layers are given, beside what they were given in training: for a teacher whose images are gone."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.taps.modules import find_module


class NormProbe:
    """Of all batch norm layers inside `path` of a model, "" for all of it, in each row of a pass the moments of their inputs.

    `ValueError` where there is no layer with running statistics.
    """

    def __init__(self, model: nn.Module, path: str, name: str) -> None:
        self.name, module = name, find_module(model, path) if path else model
        layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
        self.layers = [layer for layer in layers if layer.running_mean is not None]
        if not self.layers:
            others = sorted({type(of).__name__ for of in module.modules() if "norm" in type(of).__name__.lower()})
            raise ValueError(
                f"tap '{name}', kind 'norms': {type(module).__name__} has no batch norm that knows statistics of its training images"
                f" (its norm layers: {', '.join(others) or 'none'}; LayerNorm keeps none): leave this term out, or take a network with"
                " batch norm that is not folded"
            )
        self.seen: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self._handles = [layer.register_forward_pre_hook(partial(self._keep, place)) for place, layer in enumerate(self.layers)]

    def read(self) -> Float[Tensor, "b layers 4 c"]:
        """Of each layer the mean and the mean of squares of its input in each row, its running mean and its running variance.

        Layers with fewer channels than the widest are filled with zeros.
        """
        rows = []
        for place, layer in enumerate(self.layers):
            seen = self.seen.get(place, [])
            if len(seen) != 1:
                raise ValueError(
                    f"tap '{self.name}', kind 'norms': a batch norm of {layer.num_features} channels ran {len(seen)} times in one pass:"
                    " name a path whose norm layers run exactly once"
                )
            (mean, squares), known = seen[0], (layer.running_mean, layer.running_var)
            rows.append(torch.stack([mean, squares, *(of.to(mean).expand_as(mean) for of in known if of is not None)], 1))
        widest = max(row.shape[2] for row in rows)
        return torch.stack([nn.functional.pad(row, (0, widest - row.shape[2])) for row in rows], 1)

    def forget(self) -> None:
        self.seen = {}

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep(self, place: int, _layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        images = inputs[0] if inputs[0].dtype == torch.float64 else inputs[0].float()  # squares of half precision overflow
        positions = images.flatten(2) if images.ndim > 2 else images.unsqueeze(2)
        self.seen.setdefault(place, []).append((positions.mean(2), positions.square().mean(2)))
