"""Rounding to a grid of whole steps, and the gradient of what was not rounded (the straight-through estimator).

Values are those of ONNX's `QuantizeLinear` and `DequantizeLinear`, element by element: divided by the scale, a half to the even neighbour.
`torch.fake_quantize_per_tensor_affine` multiplies by the scale's reciprocal instead, so that now and then a value near a half goes to the
other side, and torch's ONNX exporter does not know it (2.15). `torch.ao.quantization` stands on it and is deprecated.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def on_grid(values: Float[Tensor, "*shape"], scale: Tensor, least: Tensor, most: Tensor) -> Float[Tensor, "*shape"]:
    """The nearest of `scale` times a whole number between `least` and `most`; the gradient is 1 there, and 0 beyond the ends.

    Bengio et al., arXiv:1308.3432, with the clipped gradient of Jacob et al., arXiv:1712.05877.
    """
    steps = torch.round(values.detach() / scale)
    clipped = steps.clamp(least, most)
    passing = torch.where(steps == clipped, values, values.detach())
    return clipped * scale + (passing - passing.detach())


def range_grid(low: Float[Tensor, ""], high: Float[Tensor, ""], bits: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point of unsigned steps that cover a range, in which zero is, exactly: as onnxruntime's own for U8."""
    top = 2**bits - 1
    scale = (high - low) / top
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return scale, torch.round(-low / scale)


def symmetric_scale(weight: Float[Tensor, "out *rest"], bits: int) -> Float[Tensor, "out *ones"]:
    """Of each output channel: its largest weight is the last of signed steps, zero is zero, as onnxruntime's own for S8."""
    peak = weight.detach().abs().flatten(1).amax(1) / last_step(bits)
    scale = torch.where(peak > 0, peak, torch.ones_like(peak))
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


def last_step(bits: int) -> int:
    """127 of 8 bits: -128 stays unused."""
    return int(2 ** (bits - 1)) - 1
