"""What taps ask of wrappers: where the network is whose layers are read, how large the images are that it sees, how many frames apart.

A wrapper that gives a network other images than it is given says so by attributes: `wraps`, the name under which it keeps the network,
`inner_size`, (height, width) of what the network sees, and `num_frames`, how many images it makes of a row.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def chain(model: nn.Module) -> list[Any]:
    """The wrappers from the outermost on, and last the network inside them."""
    models: list[Any] = [model]
    while name := getattr(models[-1], "wraps", ""):
        models.append(getattr(models[-1], name))
    return models


def layers_of(model: nn.Module) -> nn.Module:
    """The network inside all wrappers, which knows of its layers: tokens, layouts, classes."""
    network: nn.Module = chain(model)[-1]
    return network


def seen_size(model: nn.Module, image_size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the images that the layers see: a wrapper may enlarge what it is given."""
    for one in chain(model):
        height, width = getattr(one, "inner_size", image_size)
        image_size = height, width
    return image_size


def takes_clips(model: nn.Module) -> bool:
    """Whether a wrapper makes frames of a row's channels, if only one."""
    return any(hasattr(one, "num_frames") for one in chain(model)[:-1])


def num_frames(model: nn.Module) -> int:
    """How many frames the network takes a row's channels for; 1 where it takes one image."""
    return max((int(getattr(one, "num_frames", 1)) for one in chain(model)[:-1]), default=1)
