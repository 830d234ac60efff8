"""Branches whose weights are the running average of another's."""

from __future__ import annotations

import torch
from torch import nn


def check_alike(average: nn.Module, source: nn.Module, name: str) -> None:
    of = source.state_dict()
    unlike = [key for key, value in average.state_dict().items() if key not in of or of[key].shape != value.shape]
    if unlike:
        raise ValueError(f"an average of '{name}' needs the same network, changes, sensor and heads; '{unlike[0]}' is not alike")


def follow(average: nn.Module, source: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * source; integers are copied, and what a module names as `copied`."""
    copied = {f"{name}.{key}" for name, module in average.named_modules() for key in getattr(module, "copied", ())}
    with torch.no_grad():
        of = source.state_dict()
        for key, value in average.state_dict().items():
            if value.is_floating_point() and key not in copied:
                # statistics of a step that was left out are not finite until the log interval; they would stay in the average
                new = of[key].to(value.dtype)
                value.copy_(torch.where(new.isfinite(), value.lerp(new, 1 - decay), value))
            else:
                value.copy_(of[key])
