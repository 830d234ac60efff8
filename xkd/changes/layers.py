"""The layers with weights that a network runs, as far as they use their weights as these are."""

from __future__ import annotations

from typing import Any, Final

from timm.layers.conv2d_same import Conv2dSame
from torch import nn

CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NAMED: Final = 3  # modules that a message names


def is_plain(module: nn.Module) -> bool:
    """A convolution or a linear layer by torch's own forward; others (ScaledStdConv2d) make their weights anew in each pass."""
    kinds: tuple[Any, ...] = (*CONVOLUTIONS, nn.Linear)
    plain = [kind.forward for kind in (*kinds, Conv2dSame)]  # timm's pads before torch's own convolution
    own: Any = type(module)
    return isinstance(module, kinds) and own.forward in plain


def some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + more
