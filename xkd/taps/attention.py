"""The attention of one block: the weights that its softmax gives, whatever q and k went through before (rotation, positions, windows).

timm's attention modules hand these weights to a dropout layer, `attn_drop`, when fused attention is off: it is switched off in the tapped
module alone. `nn.MultiheadAttention` is asked for its weights, which in train mode have its dropout in them.
"""

from __future__ import annotations

import re
from math import ceil
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.taps.layout import Grid, token_grid
from xkd.taps.tap import Tap
from xkd.taps.wrappers import layers_of

_INSTEAD = "use kind='energy'"
_ATTENTIVE = re.compile("attention|attn|mhsa", re.IGNORECASE)


def attention_modules(module: nn.Module) -> dict[str, nn.Module]:
    """By path, "" for the module itself: every module inside whose attention weights can be read."""
    return {
        path: inner
        for path, inner in module.named_modules()
        if isinstance(inner, nn.MultiheadAttention) or isinstance(getattr(inner, "attn_drop", None), nn.Module)
    }


def unreadable(module: nn.Module) -> str:
    """The class of a module inside that seems to attend, though its weights cannot be read; "" where there is none, as in a plain CNN."""
    inside = (type(inner).__name__ for inner in module.modules() if hasattr(inner, "qkv") or _ATTENTIVE.search(type(inner).__name__))
    return next(inside, "")


class AttentionProbe:
    """Keeps the weights of one attention module in each forward pass, until they are taken."""

    def __init__(self, attention: Any, block: nn.Module) -> None:
        self.attention = attention  # a module; its `attn_drop` and `fused_attn` are timm's, not torch's
        self.block = block  # the module that holds it, which knows of windows
        self.seen: list[Tensor] = []
        self._inputs: list[torch.Size] = []
        self._block_grid: list[Grid] = []
        self._was_fused = bool(getattr(attention, "fused_attn", False))
        self._handles: list[Any] = [attention.register_forward_pre_hook(self._keep_input, with_kwargs=True)]
        if isinstance(attention, nn.MultiheadAttention):
            self._handles.append(attention.register_forward_hook(self._keep_output))
        else:
            if self._was_fused:
                self.attention.fused_attn = False
            self._handles.append(self.attention.attn_drop.register_forward_pre_hook(self._keep_weights))
        if is_windowed(block):
            self._handles.append(block.register_forward_pre_hook(self._keep_grid))

    def take(self, name: str) -> tuple[Float[Tensor, "b heads queries keys"], torch.Size, Grid | None]:
        """The weights of the last forward pass, the shape of what the module was given, and the grid that its windows are cut from."""
        seen, inputs, grids = self.seen, self._inputs, self._block_grid
        self.forget()
        if len(seen) != 1 or len(inputs) != 1:
            raise ValueError(
                f"tap '{name}': the attention of {type(self.attention).__name__} could be read {len(seen)} times in one forward pass,"
                f" it must be once; {_INSTEAD}"
            )
        weights = seen[0] if seen[0].dtype == torch.float64 else seen[0].float()
        return weights, inputs[0], grids[0] if grids else None

    def forget(self) -> None:
        self.seen, self._inputs, self._block_grid = [], [], []

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        if self._was_fused:
            self.attention.fused_attn = True

    def _keep_input(self, _module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._inputs.append((inputs[0] if inputs else next(iter(options.values()))).shape)
        if isinstance(self.attention, nn.MultiheadAttention):
            return inputs, {**options, "need_weights": True, "average_attn_weights": False}
        return None

    def _keep_weights(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.seen.append(inputs[0])

    def _keep_output(self, _module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        self.seen.append(output[1])

    def _keep_grid(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._block_grid.append((inputs[0].shape[1], inputs[0].shape[2]))  # Swin's blocks see (B, H, W, C)


def is_windowed(block: nn.Module) -> bool:
    """Swin's blocks, of any version: windows of the block's own map, shifted."""
    return isinstance(getattr(block, "window_size", None), tuple) and isinstance(getattr(block, "shift_size", None), tuple)


def attention_map(probe: AttentionProbe, model: nn.Module, tap: Tap, name: str, images: torch.Size) -> Float[Tensor, "b heads h w"]:
    """What `Tap` says of kind "attention", from a pass over `images` (B, C, H, W); `ValueError` where the weights tell no such map."""
    weights, given, grid = probe.take(name)
    what = f"tap '{name}' ({tap.path}): {type(probe.attention).__name__}"
    if grid is not None:
        return windows_to_map(weights, probe.block, grid)
    weights = per_image(weights, probe, images[0])
    if weights.ndim != 4 or len(weights) != images[0]:
        raise ValueError(f"{what} attends within parts of the image, its weights are {tuple(weights.shape)}; {_INSTEAD}")
    queries, keys = weights.shape[2:]
    if queries not in (1, *_positions(given, probe.attention)):
        raise ValueError(f"{what} does not attend between positions, {tuple(weights.shape)} weights for {tuple(given)}; {_INSTEAD}")
    prefix, size = _key_grid(model, tap, name, given, keys, (images[2], images[3]))
    if queries == 1 or (queries == keys and prefix and has_class_token(model, tap)):
        row = weights[:, :, 0]
    else:
        row = weights[:, :, prefix if queries == keys else 0 :].mean(2)
    return row[:, :, prefix:].reshape(*row.shape[:2], *size)


def per_image(weights: Tensor, probe: AttentionProbe, num_images: int) -> Tensor:
    """(B heads, queries, keys) as (B, heads, queries, keys), which other weights are already, or will never be."""
    flat = weights.ndim == 3 and len(weights) == num_images * getattr(probe.attention, "num_heads", 1)
    return weights.reshape(num_images, -1, *weights.shape[1:]) if flat else weights


def has_class_token(model: nn.Module, tap: Tap) -> bool:
    """As the tap says by its prefix, else as the model does: timm's `cls_token`, torchvision's `class_token`."""
    return tap.prefix > 0 or any(getattr(layers_of(model), token, None) is not None for token in ("cls_token", "class_token"))


def rows_sum_to_one(weights: Tensor) -> bool:
    """Whether these are probabilities over keys, as a softmax gives them."""
    return bool(((weights.float().sum(-1) - 1).abs() < 1e-2).all())


def windows_to_map(weights: Float[Tensor, "n heads queries keys"], block: Any, grid: Grid) -> Float[Tensor, "b heads h w"]:
    """The windows' mean attention to each position put together, shifts undone and padding dropped (from queries and keys alike)."""
    (height, width), (tall, wide) = block.window_size, grid
    down, across = ceil(tall / height), ceil(wide / width)
    inside = weights.new_zeros(down * height, across * width)
    inside[:tall, :wide] = 1
    queries = inside.reshape(down, height, across, width).transpose(1, 2).reshape(down * across, 1, -1, 1)
    each = weights.reshape(-1, down * across, *weights.shape[1:])
    mean = (each * queries).sum(3) / queries.sum(2).clamp(min=1)
    parts = mean.reshape(len(each), down, across, -1, height, width).permute(0, 3, 1, 4, 2, 5)
    whole = parts.reshape(len(each), -1, down * height, across * width)[:, :, :tall, :wide]
    return whole.roll(tuple(block.shift_size), (2, 3))


def _positions(given: torch.Size, attention: nn.Module) -> tuple[int, ...]:
    """How many positions an input may have: of tokens, or of a map in either layout."""
    if len(given) == 4:
        return given[1] * given[2], given[2] * given[3]
    return (given[1] if getattr(attention, "batch_first", True) else given[0],)


def _key_grid(model: nn.Module, tap: Tap, name: str, given: torch.Size, keys: int, image_size: Grid) -> tuple[int, Grid]:
    """Prefix tokens and grid of the keys; a module that was given a map says its own grid."""
    if len(given) == 4:
        own = [(given[at], given[at + 1]) for at in (1, 2) if given[at] * given[at + 1] == keys]
        if len(own) == 1:
            return 0, own[0]
    return token_grid(model, keys, image_size, name, tap.prefix)
