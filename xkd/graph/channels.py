"""A first convolution, and the statistics of its input, for a sensor with another number of channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def adapt_channels(weight: Tensor, channels: int, policy: str) -> Tensor:
    """A first convolution (O, I, H, W) for another number of input channels."""
    given = weight.shape[1]
    if policy == "average":
        return weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (given / channels)
    if policy == "inflate" and channels > given:
        repeated = torch.arange(channels) % given
        return weight[:, repeated] / repeated.bincount()[repeated].reshape(1, -1, 1, 1)
    if policy == "inflate":
        raise ValueError(f"'inflate' repeats {given} channels, the sensor has {channels}; say Pretrained(channels='average')")
    raise ValueError(f"the weights expect {given} channels, the sensor has {channels}; say Pretrained(channels='average') or 'inflate'")


def spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
