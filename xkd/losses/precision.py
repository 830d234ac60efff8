"""Losses are computed in float32 or better: half precision loses small probabilities and squares."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def widen(reading: Any) -> Any:
    """Half precision as float32, of a tensor or a tuple of them; everything else as it is."""
    if isinstance(reading, tuple):
        return tuple(widen(part) for part in reading)
    half = isinstance(reading, Tensor) and reading.dtype in (torch.float16, torch.bfloat16)
    return reading.float() if half else reading


def in_float32(forward: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """The same function of widened tensors, with autocast off; float64 stays float64."""

    @wraps(forward)
    def computed(*arguments: P.args, **named: P.kwargs) -> Tensor:
        first = next(leaf for leaf in _leaves((*arguments, *named.values())) if isinstance(leaf, Tensor))
        with torch.autocast(first.device.type, enabled=False):
            widened: Any = {name: widen(value) for name, value in named.items()}
            return forward(*widen(arguments), **widened)

    return computed


def _leaves(arguments: tuple[Any, ...]) -> list[Any]:
    return [leaf for argument in arguments for leaf in (_leaves(argument) if isinstance(argument, tuple) else [argument])]
