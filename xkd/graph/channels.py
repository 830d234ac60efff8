"""A first convolution, and the statistics of its input, for a sensor with another number of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from xkd.batch import View

Policy = Literal["refuse", "average", "inflate"]
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std per channel, in the sensor's unit


def with_channels(state: Mapping[str, Tensor], own: Mapping[str, Tensor], channels: int, policy: Policy) -> dict[str, Tensor]:
    """`state` with the convolution that sees the sensor, alike in all but its input channels, as `policy` makes it fit."""

    def unlike(name: str, weight: Tensor) -> bool:
        there = own[name].shape if name in own else weight.shape
        alike = weight.ndim == len(there) == 4 and (weight.shape[0], *weight.shape[2:]) == (there[0], *there[2:])
        return alike and weight.shape[1] != there[1] == channels

    return {name: adapt_channels(weight, channels, policy) if unlike(name, weight) else weight for name, weight in state.items()}


def adapt_channels(weight: Tensor, channels: int, policy: Policy) -> Tensor:
    """A first convolution (O, I, H, W) for another number of input channels."""
    given = weight.shape[1]
    if policy == "average":
        return weight.mean(1, keepdim=True).expand(-1, channels, -1, -1) * (given / channels)
    if policy == "inflate" and channels > given:
        repeated = torch.arange(channels) % given
        return weight[:, repeated] / repeated.bincount()[repeated].reshape(1, -1, 1, 1)
    if policy == "inflate":
        raise ValueError(f"'inflate' repeats {given} channels, the sensor has {channels}; use channels='average'")
    raise ValueError(f"the weights expect {given} channels, the sensor has {channels}; use channels='average' or 'inflate'")


def of_range(mean: Sequence[float], std: Sequence[float], view: View) -> Statistics:
    """Statistics of 0..1 in the unit of each sensor, of whose `range` they are shares: 0.5 is 127.5 of a camera's 0..255."""
    spans = [sensor.range for sensor in view.sensors for _ in range(sensor.channels)]
    low_high_mean_std = zip(spans, spread(mean, len(spans)), spread(std, len(spans)), strict=True)
    both = [(low + (high - low) * m, (high - low) * s) for (low, high), m, s in low_high_mean_std]
    return tuple(m for m, _ in both), tuple(s for _, s in both)


def spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels
