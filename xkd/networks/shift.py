"""The temporal shift: of each frame's features a part comes from the frame before and after, so that a network of images sees motion.

Lin, Gan and Han, "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, arXiv:1811.08383, sections 3 and 4, in the
authors' code's variant: an eighth of the channels from the next frame, an eighth from the one before, zeros at the ends, in the residual
branch alone; in networks with a stage of 23 blocks or more in every second block. For use while frames arrive, the first eighth comes from
the frame before, and nothing from the next one. It has no parameters.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

_PART: Final = 8  # of a layer's channels one part comes from the next frame, and one from the frame before
_LONG: Final = 23  # blocks of a stage, from which on every second one shifts
# class of a block -> where its residual branch begins: the first of these that it has
_BRANCHES: Final = {
    "BasicBlock": ("conv1",),
    "Bottleneck": ("conv1",),
    "InvertedResidual": ("conv_pw", "conv", "block"),  # timm's, torchvision's MobileNetV2 and V3
    "UniversalInvertedResidual": ("dw_start",),  # MobileNetV4; an identity where it has no such layer
    "EdgeResidual": ("conv_exp",),
    "ConvNeXtBlock": ("conv_dw",),
}
_SAYS: Final = ("has_skip", "use_res_connect")  # whether a block has a residual branch, timm's and torchvision's; others always have


def shifted(maps: Float[Tensor, "bt c h w"], frames: int, both: bool) -> Float[Tensor, "bt c h w"]:
    """The maps of clips, frame by frame, each with a part of its neighbours'; `both`, or of the frame before alone."""
    clips = maps.reshape(-1, frames, *maps.shape[1:])
    part = maps.shape[1] // _PART
    nothing = torch.zeros_like(clips[:, :1, :part])
    before = clips[:, :-1, part : 2 * part] if both else clips[:, :-1, :part]
    moved = [torch.cat([nothing, before], 1)]
    if both:
        moved.insert(0, torch.cat([clips[:, 1:, :part], nothing], 1))
    return torch.cat([*moved, clips[:, :, len(moved) * part :]], 2).flatten(0, 1)


def add_shift(network: nn.Module, frames: int, both: bool) -> int:
    """Shift the input of each residual branch, from now on; how many there are. `ValueError` where a network has none that is known.

    Names of weights stay as they are.
    """
    places = [(block, place) for blocks in _stages(network) for block in blocks if (place := _branch(block)) is not None]
    if not places:
        raise ValueError(
            f"join='shift' and 'past' shift in blocks {', '.join(_BRANCHES)}, and {type(network).__name__} has none with a residual branch:"
            " take a ResNet, RegNet, MobileNetV2 to V4, EfficientNet or ConvNeXt, join='mean', which sees no motion, or a network over"
            " time: Volume, of transformers too"
        )
    for block, place in places:
        channels = next(module.in_channels for module in block.modules() if isinstance(module, nn.Conv2d))
        if channels < _PART:
            raise ValueError(
                f"join='shift' and 'past' shift an eighth of the channels, and a block of {type(network).__name__} has {channels}: make the"
                " network wider, or join='mean'"
            )
        place.register_forward_pre_hook(partial(_shift, frames, both))
    return len(places)


def _stages(network: nn.Module) -> list[list[nn.Module]]:
    """The blocks of each stage, those that shift."""
    stages: dict[str, list[nn.Module]] = {}
    for path, module in network.named_modules():
        if type(module).__name__ in _BRANCHES:
            stages.setdefault(path.rpartition(".")[0], []).append(module)
    step = 2 if any(len(blocks) >= _LONG for blocks in stages.values()) else 1
    return [blocks[::step] for blocks in stages.values()]


def _branch(block: nn.Module) -> nn.Module | None:
    if not all(getattr(block, says, True) for says in _SAYS):
        return None
    names = _BRANCHES[type(block).__name__]
    return next((place for name in names if isinstance(place := getattr(block, name, None), nn.Module)), None)


def _shift(frames: int, both: bool, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (shifted(inputs[0], frames, both), *inputs[1:])
