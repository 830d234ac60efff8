"""A first convolution, and the statistics of its input, for a sensor with another number of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from xkd.batch import View
from xkd.taps import num_frames

Policy = Literal["refuse", "average", "inflate"]
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std per channel, in the sensor's unit


def frame_channels(model: nn.Module, view: View) -> int:
    """Channels of one of the images that the network makes of a row: a frame of a clip; `ValueError` where a clip has other frames."""
    channels, frames = view.modality.channels, num_frames(model)
    has = getattr(view.modality, "frames", frames)  # a clip says how many it has
    if frames > 1 and (channels % frames or has != frames):
        clip, name = f" in {has} frames" if has != frames else "", type(model).__name__
        raise ValueError(
            f"view '{view.name}' has {channels} channels{clip}, and {name} takes clips of {frames} frames: give both the same number,"
            f" {name}(..., frames={frames}) and Clip(..., frames={frames})"
        )
    return channels // frames


def with_channels(state: Mapping[str, Tensor], own: Mapping[str, Tensor], channels: int, policy: Policy) -> dict[str, Tensor]:
    """`state` with the convolution that sees the sensor, alike in all but its input channels, as `policy` makes it fit."""

    def unlike(name: str, weight: Tensor) -> bool:
        there = own[name].shape if name in own else weight.shape
        alike = weight.ndim == len(there) in (4, 5) and (weight.shape[0], *weight.shape[2:]) == (there[0], *there[2:])
        return alike and weight.shape[1] != there[1] == channels

    return {name: adapt_channels(weight, channels, policy) if unlike(name, weight) else weight for name, weight in state.items()}


def adapt_channels(weight: Tensor, channels: int, policy: Policy) -> Tensor:
    """A first convolution (O, I, H, W), or (O, I, T, H, W), for another number of input channels."""
    given = weight.shape[1]
    if policy == "average":
        return weight.mean(1, keepdim=True).repeat_interleave(channels, 1) * (given / channels)
    if policy == "inflate" and channels > given:
        repeated = torch.arange(channels) % given
        return weight[:, repeated] / repeated.bincount()[repeated].reshape(1, -1, *[1] * (weight.ndim - 2))
    if policy == "inflate":
        raise ValueError(f"'inflate' repeats {given} channels, the sensor has {channels}; use channels='average'")
    raise ValueError(f"the weights expect {given} channels, the sensor has {channels}; use channels='average' or 'inflate'")


def of_range(mean: Sequence[float], std: Sequence[float], view: View, channels: int) -> Statistics:
    """Statistics of 0..1 in the unit of each sensor, of whose `range` they are shares: 0.5 is 127.5 of a camera's 0..255.

    `channels` are those of one image of the view, which may be a clip of several.
    """
    spans = [sensor.range for sensor in view.sensors for _ in range(sensor.channels)]
    frames = len(spans) // channels
    low_high_mean_std = zip(spans, spread(mean, channels) * frames, spread(std, channels) * frames, strict=True)
    both = [(low + (high - low) * m, (high - low) * s) for (low, high), m, s in low_high_mean_std]
    return tuple(m for m, _ in both), tuple(s for _, s in both)


def spread(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def each_frame(values: tuple[float, ...], channels: int, num_channels: int) -> tuple[float, ...]:
    """Statistics of one image, or of a clip of others, for a view of `num_channels`: those of a frame of `channels` again and again."""
    alike = values == values[:channels] * (len(values) // channels)
    return values[:channels] * (num_channels // channels) if alike else values
