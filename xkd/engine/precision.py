"""bfloat16 autocast as an optimiser wrapper, on the CPU as well (mmengine's own needs an accelerator); it needs no loss scaling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn


def bf16_is_native() -> bool:
    """Whether this machine computes in bfloat16; where it does not, torch converts back and forth, slower than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


class BF16OptimWrapper(OptimWrapper):  # type: ignore[misc]  # mmengine is untyped
    """mmengine's `OptimWrapper` whose forward passes run under bfloat16 autocast; weights and optimiser states stay float32.

    Where the machine does not compute in bfloat16 it is the plain `OptimWrapper`: the same config runs everywhere.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16, enabled=bf16_is_native()):
            yield
