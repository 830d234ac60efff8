"""mmengine's optimiser wrapper without its wait for the accelerator in every step, for float32 and for bfloat16 autocast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from xkd.graph.bfloat16 import bfloat16_pays


class StepOptimWrapper(OptimWrapper):
    """A step whose gradient is not finite is left out: weights, moments and step counts stay, on the device, without waiting for it.

    So with torch's fused optimisers, which are told by `found_inf`; others are asked in each step. `norm` is that of the last step's
    gradient before it was clipped, (); the log reads it at its interval, where mmengine's own wrapper turns it into a number at once.
    """

    norm: Tensor | None = None

    def step(self, **kwargs: Any) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        clips = bool(self.clip_grad_kwargs and parameters)
        if clips and self.clip_func is clip_grad_norm_:
            self.norm = self.clip_func(parameters, **self.clip_grad_kwargs).detach()
        else:  # clipping by value does not say what the norm was, and makes an infinite one finite
            self.norm = get_total_norm([p.grad for p in parameters])
            if clips:
                self.clip_func(parameters, **self.clip_grad_kwargs)
        finite = self.norm.isfinite()
        if getattr(self.optimizer, "_step_supports_amp_scaling", False):
            self.optimizer.found_inf = (~finite).float()
            self.optimizer.step(**kwargs)
        elif finite:
            self.optimizer.step(**kwargs)


class BF16OptimWrapper(StepOptimWrapper):
    """The same whose forward passes run under bfloat16 autocast; weights and optimiser states stay float32.

    Where bfloat16 does not pay it is the plain wrapper: the same config runs everywhere. `always` computes in it there too, to see what a
    run on another machine learns; slower.
    """

    def __init__(self, *args: Any, always: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.enabled = always or bfloat16_pays()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, enabled=self.enabled):
            yield
