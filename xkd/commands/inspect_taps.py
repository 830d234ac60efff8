"""`xkd inspect-taps MODEL`: what can be tapped in a timm model, or in a network on clips, ready to paste into a config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from xkd.engine.config import parse_options
from xkd.networks import Frames, Volume
from xkd.taps import Tap, Taps, attention_modules, stage_names


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd inspect-taps", description="List the taps of a model with their shapes.")
    parser.add_argument("model", help="a timm name, such as resnet10t or vit_tiny_patch16_224; with --frames also torchvision's mc3_18")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="the view's size (the model's own)")
    parser.add_argument("--channels", type=int, default=3, help="of an image, or of one frame of a clip")
    parser.add_argument("--frames", type=int, default=0, help="for clips of so many: Frames(model), or Volume(model) of a video network")
    parser.add_argument("--all", action="store_true", help="every module with a map as output, not the stages alone")
    settings = "for timm.create_model: patch_size=8 img_size=64 (or 64,96; --size alone sets it too)"
    parser.add_argument("--model-args", nargs="+", default=[], metavar="KEY=VALUE", help=settings)
    a = parser.parse_args(arguments)
    options, size = parse_options(a.model_args), (a.size[0], a.size[1]) if a.size else None
    volumes = torchvision.models.list_models(module=torchvision.models.video)
    if a.frames and a.model in volumes:
        weights: Any = torchvision.models.get_model_weights(a.model)
        size = size or weights.DEFAULT.transforms.keywords["crop_size"]
        model: nn.Module = Volume(torchvision.models.get_model(a.model, **options), a.frames, a.channels)
    else:
        check_name(a.model, volumes)
        model = made(a.model, a.channels, options, size)
        size = size or own_size(model, options)
        model = Frames(model, a.frames) if a.frames else model
    channels = a.channels * max(1, a.frames)
    print(f"# {a.model}, input ({channels}, {size[0]}, {size[1]}), {sum(p.numel() for p in model.parameters()):,} parameters")
    for name, tap in candidates(model.eval(), a.all).items():
        print(line(model, name, tap, size, channels))
    return 0


def check_name(name: str, volumes: Sequence[str]) -> None:
    if name in volumes:
        raise KeyError(f"'{name}' is a network over time, of torchvision: say for clips of how many frames, --frames 8")
    if name not in timm.list_models():
        near = timm.list_models(f"*{name}*")[:8] or timm.list_models(f"{name[:4]}*")[:8]
        raise KeyError(f"timm has no model '{name}'; near it: {near}; with --frames also {list(volumes)}")


def made(name: str, channels: int, options: dict[str, Any], size: tuple[int, int] | None) -> nn.Module:
    """For the view's size, where a model is made for one; `ValueError` with timm's words for arguments that it does not take."""
    further: dict[str, Any] = {"img_size": size} if size and "img_size" not in options else {}
    try:
        model: nn.Module = timm.create_model(name, in_chans=channels, **options, **further)
    except (TypeError, AssertionError, RuntimeError) as error:
        if further:  # it is made for no size, or takes other arguments wrongly too
            return made(name, channels, options, None)
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ValueError(f"{name} cannot be made with --model-args {given}: {error}") from error
    return model


def own_size(model: nn.Module, options: dict[str, Any]) -> tuple[int, int]:
    given = options.get("img_size")
    if isinstance(given, int):
        return given, given
    if isinstance(given, tuple):
        return given[0], given[1]
    _, height, width = model.pretrained_cfg["input_size"]  # type: ignore[index]  # timm's dict
    return int(height), int(width)


def candidates(model: nn.Module, every_module: bool) -> dict[str, Tap]:
    """Taps by a name that can be a keyword: the stages, the attention of each one's last block, and on demand every named module."""
    taps: dict[str, Tap] = {}
    modules = dict(model.named_modules())
    for k, stage in enumerate(stage_names(model)):
        taps[f"stage{k}"] = Tap(f"stage:{k}")
        attention = [*attention_modules(modules[stage])] if stage in modules else []  # timm names some stages that are no module
        if len(attention) == 1:
            taps[f"attention{k}"] = Tap(f"stage:{k}", kind="attention")
        elif attention:
            taps[f"attention{k}"] = Tap(f"{stage}.{attention[-1]}", kind="attention")
    if every_module or not taps:
        taps.update({name.replace(".", "_"): Tap(name) for name, _ in model.named_modules() if name})
    return taps


def line(model: nn.Module, name: str, tap: Tap, size: tuple[int, int], channels: int) -> str:
    """One tap, tried on its own: `name=dict(type=Tap, path=...),  # (C, H, W)`, or a comment that says why it cannot be read."""
    kind = ', kind="attention"' if tap.kind == "attention" else ""
    text = f'{name}=dict(type=Tap, path="{tap.path}"{kind}),'
    try:
        taps = Taps(model, {name: tap})
        try:
            with torch.no_grad():
                taps(torch.zeros(1, channels, *size))
            return f"{text}  # {tuple(taps.read((1, channels, *size))[name].shape[1:])}"
        finally:
            taps.close()
    except (ValueError, AssertionError, RuntimeError) as error:
        return f"# {text}  {str(error).split(': ', 1)[-1]}"
