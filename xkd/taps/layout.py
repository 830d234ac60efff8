"""How a module's output lies: tokens, NHWC or NCHW, with time or without, and which grid and prefix its tokens have; found, or an error.

Nothing is guessed. A map with time, (B, C, T, H, W) or (B, T, H, W, C), is T maps.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from xkd.taps.modules import find_module, stage_names
from xkd.taps.tap import FOUND, Layout, Time
from xkd.taps.wrappers import chain, layers_of, num_frames, seen_size, takes_clips

Grid = tuple[int, int]


def to_nchw(
    model: nn.Module, output: Tensor, image_size: Grid, name: str, path: str, layout: Layout = "found", prefix: int = FOUND
) -> Float[Tensor, "b c h w"]:
    """What the module at `path` gave, tokens, NHWC or NCHW, as NCHW, without prefix tokens; `name` stands in errors.

    Where it has T steps of time in each row there are T maps for a row, one after the other, (B T, C, H, W).
    """
    if layout == "found":
        layout = find_layout(model, output, image_size, name, path)
    if layout == "tokens":
        dropped, grid = token_grid(model, output.shape[1], image_size, name, prefix)
        return tokens_to_map(output[:, dropped:], grid)
    if output.ndim == 5:
        output = output.flatten(0, 1) if layout == "NHWC" else output.transpose(1, 2).flatten(0, 1)
    return output.permute(0, 3, 1, 2) if layout == "NHWC" else output


def fold_time(readings: Float[Tensor, "n *chw"], rows: int, time: Time) -> Float[Tensor, "b *chw"]:
    """The readings of each row's steps of time, one after the other, as one: their mean, or all of them as channels."""
    if readings.shape[0] == rows:
        return readings
    steps = readings.reshape(rows, -1, *readings.shape[1:])
    return steps.mean(1) if time == "mean" else steps.flatten(1, 2)


def num_prefix_tokens(model: nn.Module) -> int:
    """Class, register and distillation tokens before the positions: timm's attribute, torchvision's `class_token`; 0 where neither is."""
    layers: Any = layers_of(model)
    holders = (layers, getattr(layers, "pos_encoding", None))  # of MViT the second
    return int(getattr(layers, "num_prefix_tokens", any(isinstance(getattr(of, "class_token", None), nn.Parameter) for of in holders)))


def tokens_to_map(tokens: Float[Tensor, "b n c"], grid: Grid) -> Float[Tensor, "_ c h w"]:
    """A map of each row, or as many as a row has grids of tokens."""
    steps = tokens.shape[1] // (grid[0] * grid[1])
    maps = tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], steps, *grid)
    return maps.transpose(1, 2).flatten(0, 1)


def _time_steps(model: nn.Module) -> int:
    """How many grids of tokens a row has: of torchvision's MViT several, each a step of time."""
    return int(getattr(getattr(layers_of(model), "pos_encoding", None), "temporal_size", 1))


def token_grid(model: nn.Module, num_tokens: int, image_size: Grid, name: str, prefix: int = FOUND) -> tuple[int, Grid]:
    """How many prefix tokens there are, and the rows and columns of the others.

    From the patch embedding, else the one grid with the image's aspect. A model may add its class token in a late block only, so tokens
    that leave a grid without any prefix have none.
    """
    image_size, steps = seen_size(model, image_size), _time_steps(model)
    possible = (prefix,) if prefix != FOUND else tuple(dict.fromkeys((num_prefix_tokens(model), 0)))
    own = _embedded_grid(model, image_size)
    for dropped in possible:
        if own is not None and own[0] * own[1] == num_tokens - dropped:
            return dropped, own
    for dropped in possible:
        grids = grids_of((num_tokens - dropped) // steps, image_size) if (num_tokens - dropped) % steps == 0 else []
        if len(grids) == 1:
            return dropped, grids[0]
    factors = [(h, num_tokens // h) for h in range(1, num_tokens + 1) if num_tokens % h == 0]
    raise ValueError(
        f"tap '{name}': {num_tokens} tokens of an image {image_size} could be any grid of {factors}, or have more prefix tokens than"
        f" {possible[0]}: state how many with Tap(prefix=...), or tap another module"
    )


def grids_of(num_tokens: int, image_size: Grid) -> list[Grid]:
    """The grids with so many positions that have the image's own aspect, or, where none has, that have it to less than a cell."""
    grids = [(h, num_tokens // h) for h in range(1, num_tokens + 1) if num_tokens % h == 0]
    height, width = image_size
    exact = [(h, w) for h, w in grids if h * width == w * height]
    return exact or [(h, w) for h, w in grids if abs(h * width / height - w) < 1 and abs(w * height / width - h) < 1]


def _embedded_grid(model: nn.Module, image_size: Grid) -> Grid | None:
    embed: Any = getattr(layers_of(model), "patch_embed", None)
    if not hasattr(embed, "dynamic_feat_size"):
        return None
    height, width = embed.dynamic_feat_size(image_size)
    return int(height), int(width)


def find_layout(model: nn.Module, output: Tensor, image_size: Grid, name: str, path: str) -> Layout:
    """The layout of a module's output: the one that is known, if it is plausible for this image, else the only plausible one."""
    image_size = seen_size(model, image_size)
    if output.ndim == 3:
        _check_order(model, name, path)
        known = hasattr(layers_of(model), "num_prefix_tokens") or _embedded_grid(model, image_size) is not None or _time_steps(model) > 1
        if not known and all(grids_of(length, image_size) for length in output.shape[1:]):
            raise ValueError(
                f"tap '{name}': shape {tuple(output.shape)} may be (B, tokens, channels) or (B, channels, positions), both lengths fit the"
                f" image {image_size}: use Tap(layout='tokens'), or tap the map before it is flattened"
            )
        return "tokens"
    if output.ndim != 4 and not (output.ndim == 5 and takes_clips(model)):
        raise ValueError(f"tap '{name}' gives a tensor of shape {tuple(output.shape)}; a reading has 2, 3 or 4 dimensions, of clips 5")
    grids: dict[Layout, Grid] = {
        "NCHW": (output.shape[-2], output.shape[-1]),
        "NHWC": (output.shape[-3], output.shape[-2]),
    }
    steps = {"NCHW": output.shape[2], "NHWC": output.shape[1]} if output.ndim == 5 else dict.fromkeys(grids, 1)
    plausible = [layout for layout, grid in grids.items() if _is_grid_of(grid, image_size) and steps[layout] <= num_frames(model)]
    for layout in plausible:
        if len(plausible) == 1 or layout == _declared(model, path):
            return layout
    raise ValueError(f"tap '{name}': shape {tuple(output.shape)} may be {plausible or list(grids)}; choose one with Tap(layout=...)")


def _declared(model: nn.Module, path: str) -> str:
    """What is known of a module: a model speaks of its stages alone, and convolutions without a linear layer beside them are NCHW."""
    module, modules = find_module(model, path), dict(model.named_modules())
    if any(module is modules.get(stage) for stage in stage_names(model)):
        declared = next((one.output_fmt for one in chain(model) if hasattr(one, "output_fmt")), "NCHW")
        return str(getattr(declared, "value", declared))
    parts = list(module.modules())
    convolves = any(isinstance(part, _ConvNd | _BatchNorm) for part in parts)
    return "NCHW" if convolves and not any(isinstance(part, nn.Linear | nn.LayerNorm) for part in parts) else ""


def _check_order(model: nn.Module, name: str, path: str) -> None:
    """Hiera's tokens lie window by window, not row by row, until the last stage."""
    if hasattr(layers_of(model), "reroll") and find_module(model, path) is not find_module(model, stage_names(model)[-1]):
        raise ValueError(
            f"tap '{name}' ({path}): {type(layers_of(model)).__name__} keeps its tokens in an order of its own there: tap its stages,"
            " 'stage:0' to 'stage:-1'"
        )


def _is_grid_of(grid: Grid, image_size: Grid) -> bool:
    """Whether a map may be a reduction of the image: not larger, and of its aspect to one cell."""
    (height, width), (image_height, image_width) = grid, image_size
    return (
        height <= image_height
        and width <= image_width
        and abs(height * image_width / image_height - width) <= max(1.0, image_width / image_height)
    )
