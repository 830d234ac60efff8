"""Find what a tap names: a stage of a timm model, or any module."""

from __future__ import annotations

import difflib
from typing import Final

from torch import nn

_STAGE: Final = "stage:"


def stage_names(model: nn.Module) -> list[str]:
    """The modules that timm's `feature_info` names for the model's stages, inside wrappers too; none for other networks."""
    wraps = getattr(model, "wraps", "")
    if wraps and not hasattr(model, "feature_info"):
        return [f"{wraps}.{stage}" for stage in stage_names(getattr(model, wraps))]
    return [str(stage["module"]) for stage in getattr(model, "feature_info", [])]


def stage_number(model: nn.Module, path: str) -> int:
    """0, 1, ... of "stage:k"; `KeyError` where the model has no such stage."""
    number, count = path.removeprefix(_STAGE), len(stage_names(model))
    legal = [str(k) for k in range(-count, count)]
    if number not in legal:
        raise KeyError(f"no tap '{path}': {type(model).__name__} has stages {', '.join(legal) or 'none; give a module path'}")
    return int(number) % count


def is_stage(path: str) -> bool:
    """Is it a whole stage, "stage:-1", and not a module inside one, "stage:-1.norm1"?"""
    return path.startswith(_STAGE) and "." not in path


def find_module(model: nn.Module, path: str) -> nn.Module:
    """The module at `path`, which may begin with a stage of timm's ("stage:-1", "stage:-1.norm1"); `KeyError` names what is near."""
    stages = stage_names(model)
    name, dot, rest = path.partition(".")
    name = (stages[stage_number(model, name)] if is_stage(name) else name) + dot + rest
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if not name or name not in modules:
        near = difflib.get_close_matches(name, modules, n=5) or [child for child, _ in model.named_children()]
        raise KeyError(f"no module '{name}' in {type(model).__name__}; near it: {near}; stages: {stages or 'none'}")
    return modules[name]
