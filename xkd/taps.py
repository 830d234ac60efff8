"""Taps: read any module of any network during its forward pass; tokens, NHWC and NCHW all become NCHW."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Layout = Literal["found", "NCHW", "NHWC", "tokens"]


@dataclass(frozen=True)
class Tap:
    """Where to read: a module path ("blocks.11", "layer4") or "stage:k" of a timm model (k may be negative).

    kind "features" gives the module's output (B, C, H, W), or (B, C) where it is a vector. kind "attention" gives, for a
    transformer block with fused q, k and v, the attention of the class token (B, heads, H, W), or the mean over the patches' queries
    where there is no class token; for any other map the activation energy, the mean of squares over channels (B, 1, H, W).
    """

    path: str
    kind: Literal["features", "attention"] = "features"
    layout: Layout = "found"

    def __post_init__(self) -> None:
        if self.kind not in ("features", "attention"):
            raise ValueError(f"tap '{self.path}': kind must be 'features' or 'attention', got '{self.kind}'")
        if self.layout not in ("found", "NCHW", "NHWC", "tokens"):
            raise ValueError(f"tap '{self.path}': layout must be 'found', 'NCHW', 'NHWC' or 'tokens', got '{self.layout}'")


class Taps:
    """The taps of one model: hooks are installed once, here, and removed by `close`."""

    def __init__(self, model: nn.Module, taps: Mapping[str, Tap]) -> None:
        self.model = model
        self.taps = dict(taps)
        self._seen: dict[str, list[tuple[Any, int | None]]] = {name: [] for name in taps}
        self._attention: dict[str, nn.Module] = {}
        self._handles: list[Any] = []
        for name, tap in self.taps.items():
            self._install(name, tap)

    def read(self, image_size: tuple[int, int]) -> dict[str, Tensor]:
        """The readings of the forward pass that has just ended, always NCHW (or (B, C)); they are forgotten here."""
        seen = self._seen
        self.forget()
        return {name: self._reading(name, seen[name], image_size) for name in self.taps}

    def forget(self) -> None:
        """Drop what an unread forward pass left behind: one that broke, or one that was not the branch's own."""
        self._seen = {name: [] for name in self.taps}

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _install(self, name: str, tap: Tap) -> None:
        module = find_module(self.model, tap.path)
        if tap.kind == "attention" and (attention := fused_attention(module)) is not None:
            self._attention[name] = attention
            self._verify_once(name, attention)
            module = attention.get_submodule("qkv")

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._seen[name].append((output, _version(output)))

        self._handles.append(module.register_forward_hook(keep))

    def _verify_once(self, name: str, attention: nn.Module) -> None:
        def verify(module: nn.Module, inputs: Any, output: Any) -> None:
            if module.training:  # dropout would make them differ; the dry run is in eval mode
                return
            handle.remove()
            if not is_plain_attention(module, inputs[0], output):
                raise ValueError(
                    f"tap '{name}' ({self.taps[name].path}): {type(module).__name__} is not softmax(q k) v alone (windows, rotary or"
                    " relative positions, gates), so its map would be wrong; use kind='features'"
                )

        handle = attention.register_forward_hook(verify)
        self._handles.append(handle)

    def _reading(self, name: str, seen: list[tuple[Any, int | None]], image_size: tuple[int, int]) -> Tensor:
        tap = self.taps[name]
        if len(seen) != 1:
            raise ValueError(f"tap '{name}' ({tap.path}) fired {len(seen)} times in one forward pass: tap a module that runs exactly once")
        output, version = seen[0]
        if not isinstance(output, Tensor):
            raise ValueError(f"tap '{name}' ({tap.path}) gives {type(output).__name__}, not a tensor: tap a module inside it")
        if version is not None and output._version != version:
            raise ValueError(f"tap '{name}' ({tap.path}) was overwritten in place after it was read: tap the module that overwrites it")
        if name in self._attention:
            has_class_token = getattr(self.model, "cls_token", None) is not None
            weights = token_attention(output, self._attention[name], num_prefix_tokens(self.model), has_class_token)
            return tokens_to_map(weights.transpose(1, 2), token_grid(self.model, weights.shape[2], image_size, name))
        if tap.kind == "attention" and output.ndim != 4:
            raise ValueError(f"tap '{name}' ({tap.path}): no fused q, k, v in this block to compute attention from; use kind='features'")
        maps = output if output.ndim == 2 else to_nchw(self.model, output, image_size, name, tap.layout)
        return maps if tap.kind == "features" else maps.pow(2).mean(1, keepdim=True)


def to_nchw(model: nn.Module, output: Tensor, image_size: tuple[int, int], name: str, layout: Layout = "found") -> Float[Tensor, "b c h w"]:
    """Tokens, NHWC or NCHW as NCHW, without class and register tokens; `name` stands in errors."""
    if layout == "found":
        layout = find_layout(model, output, image_size, name)
    if layout == "tokens":
        tokens = output[:, num_prefix_tokens(model) :]
        return tokens_to_map(tokens, token_grid(model, tokens.shape[1], image_size, name))
    return output.permute(0, 3, 1, 2) if layout == "NHWC" else output


def find_module(model: nn.Module, path: str) -> nn.Module:
    """The module at `path`; "stage:k" is looked up in timm's `feature_info`."""
    stages = [str(stage["module"]) for stage in getattr(model, "feature_info", [])]
    if path.startswith("stage:"):
        number = path.removeprefix("stage:")
        legal = [str(k) for k in range(-len(stages), len(stages))]
        if number not in legal:
            raise KeyError(f"no tap '{path}': {type(model).__name__} has stages {', '.join(legal) or 'none; give a module path'}")
        path = stages[int(number)]
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if not path or path not in modules:
        near = difflib.get_close_matches(path, modules, n=5) or [name for name, _ in model.named_children()]
        raise KeyError(f"no module '{path}' in {type(model).__name__}; near it: {near}; stages: {stages or 'none'}")
    return modules[path]


def fused_attention(block: nn.Module) -> nn.Module | None:
    """The attention of a transformer block (or the block, if it is one) that has one linear layer for q, k and v."""
    for candidate in (block, getattr(block, "attn", None)):
        if isinstance(candidate, nn.Module) and isinstance(getattr(candidate, "qkv", None), nn.Linear) and hasattr(candidate, "scale"):
            return candidate
    return None


def token_attention(
    qkv: Float[Tensor, "b n qkv"], attention: Any, num_prefix: int, has_class_token: bool
) -> Float[Tensor, "b heads patches"]:
    """Softmax attention of the class token to the patches; without a class token, the mean over the patches' queries.

    Computed from the block's own q and k, so the network keeps its fused attention. Rows sum to one before prefix tokens are dropped.
    """
    q, k, _ = _split_heads(qkv, attention)
    q = q[:, :, :1] if has_class_token else q[:, :, num_prefix:]
    return _softmax(q, k, attention.scale).mean(2)[:, :, num_prefix:]


def is_plain_attention(attention: Any, tokens: Tensor, output: Tensor) -> bool:
    """Whether the module's output is that of softmax(q k) v and nothing else, so that q and k tell the whole of its attention."""
    if tokens.ndim != 3:
        return False
    with torch.no_grad():
        q, k, v = _split_heads(F.linear(tokens, attention.qkv.weight, attention.qkv.bias), attention)
        mixed = (_softmax(q, k, attention.scale).to(v.dtype) @ v).transpose(1, 2).flatten(2)
        expected = attention.proj(getattr(attention, "norm", nn.Identity())(mixed))
        tolerance = 5e-2 if output.dtype in (torch.float16, torch.bfloat16) else 1e-3
        return bool((expected - output).abs().max() <= tolerance * expected.abs().max())


def _split_heads(qkv: Tensor, attention: Any) -> tuple[Tensor, Tensor, Tensor]:
    batch, tokens, _ = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    return getattr(attention, "q_norm", nn.Identity())(q), getattr(attention, "k_norm", nn.Identity())(k), v


def _softmax(q: Tensor, k: Tensor, scale: float) -> Tensor:
    scores = q @ k.transpose(-2, -1) * scale
    return (scores if scores.dtype == torch.float64 else scores.float()).softmax(-1)


def _version(output: Any) -> int | None:
    """torch's count of writes in place; None where it keeps none (compiled code, which had its dry run; `inference_mode`)."""
    counted = isinstance(output, Tensor) and not torch.compiler.is_compiling() and not output.is_inference()
    return output._version if counted else None


def num_prefix_tokens(model: nn.Module) -> int:
    """Class, register and distillation tokens in front of the patches (timm's attribute; 0 where a model has none)."""
    return int(getattr(model, "num_prefix_tokens", 0))


def tokens_to_map(tokens: Float[Tensor, "b n c"], grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], *grid)


def token_grid(model: nn.Module, num_tokens: int, image_size: tuple[int, int], name: str) -> tuple[int, int]:
    """Rows and columns of patches: from the patch embedding, else the one grid with the image's aspect."""
    embed = getattr(model, "patch_embed", None)
    if embed is not None and hasattr(embed, "dynamic_feat_size"):
        height, width = embed.dynamic_feat_size(image_size)
        if height * width == num_tokens:
            return int(height), int(width)
    grids = [(h, num_tokens // h) for h in range(1, num_tokens + 1) if num_tokens % h == 0]
    fitting = [(h, w) for h, w in grids if h * image_size[1] == w * image_size[0]]
    if len(fitting) != 1:
        raise ValueError(f"tap '{name}': {num_tokens} tokens of an image {image_size} could be any grid of {grids}; tap another module")
    return fitting[0]


def find_layout(model: nn.Module, output: Tensor, image_size: tuple[int, int], name: str) -> Layout:
    """The layout of a module's output: what the model declares, if that is plausible for this image, else the only plausible one."""
    if output.ndim == 3:
        return "tokens"
    if output.ndim != 4:
        raise ValueError(f"tap '{name}' gives a tensor of shape {tuple(output.shape)}; a reading has 2, 3 or 4 dimensions")
    grids: dict[Layout, tuple[int, int]] = {
        "NCHW": (output.shape[2], output.shape[3]),
        "NHWC": (output.shape[1], output.shape[2]),
    }
    plausible = [layout for layout, grid in grids.items() if _is_grid_of(grid, image_size)]
    declared = getattr(model, "output_fmt", "NCHW" if hasattr(model, "feature_info") else None)
    for layout in plausible:
        if layout == str(getattr(declared, "value", declared)) or len(plausible) == 1:
            return layout
    raise ValueError(f"tap '{name}': shape {tuple(output.shape)} may be {plausible or list(grids)}; say which with Tap(layout=...)")


def _is_grid_of(grid: tuple[int, int], image_size: tuple[int, int]) -> bool:
    """Whether a map may be a reduction of the image: not larger, and of its aspect to one cell."""
    (height, width), (image_height, image_width) = grid, image_size
    return (
        height <= image_height
        and width <= image_width
        and abs(height * image_width / image_height - width) <= max(1.0, image_width / image_height)
    )
