"""bfloat16 autocast as an optimiser wrapper, on the CPU as well (mmengine's own needs an accelerator); it needs no loss scaling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from xkd.bfloat16 import bfloat16_pays


class BF16OptimWrapper(OptimWrapper):  # type: ignore[misc]  # mmengine is untyped
    """mmengine's `OptimWrapper` whose forward passes run under bfloat16 autocast; weights and optimiser states stay float32.

    Where bfloat16 does not pay it is the plain `OptimWrapper`: the same config runs everywhere.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, enabled=bfloat16_pays()):
            yield
