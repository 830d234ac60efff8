"""Clips in a first config: which frames of each sensor are taken, and how a network of images sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import timm
from timm.models.resnet import ResNet

from xkd.data.clips import extent, is_clip
from xkd.data.rows import Row
from xkd.networks import Frames

MOST_FRAMES: Final = 8  # of a clip: what TSM's authors take, and what a small machine bears


@dataclass(frozen=True)
class Taken:
    """Of a sensor's clips `frames`, every `every`-th one."""

    frames: int
    every: int


def taken(rows: Sequence[Row], names: Collection[str], where: str) -> dict[str, Taken]:
    """Of each sensor that has clips the frames that span what a typical row's clips share; `ValueError` where some rows hold pictures."""
    found = {}
    for name in names:
        own = [row for row in rows if name in row.files]
        clips = [extent(row, name) for row in own if is_clip(row, name)]
        if not clips:
            continue
        if len(clips) < len(own):
            raise ValueError(
                f"{where}: {len(clips)} of {len(own)} rows hold clips of {name}, the others pictures: make two data sets of them"
            )
        # how many of its frames there are in the time that all clips of the row share
        shared = 1 + median(seconds * fps for seconds, fps in clips)
        frames = max(1, min(MOST_FRAMES, int(shared)))
        found[name] = Taken(frames, max(1, int((shared - 1) / max(frames - 1, 1))))
    return found


def written_view(sensor: str, of: Taken | None) -> str:
    """The modality of a view."""
    return sensor if of is None else f"dict(type=Clip, sensor={sensor}, frames={of.frames}, every={of.every})"


def written_network(network: str, model_name: str, of: Taken | None) -> str:
    """The network of a view; one whose residual branches can shift sees motion."""
    if of is None:
        return network
    join = "shift" if of.frames > 1 and _shifts(model_name, of.frames) else "mean"
    # a fresh block that gives zeros at first shifts nothing
    fresh = {"zero_init_last": False} if join == "shift" and isinstance(timm.create_model(model_name), ResNet) else {}
    inside = "".join([network.removesuffix(")"), *(f", {key}={value}" for key, value in fresh.items()), ")"])
    return f'dict(type=Frames, network={inside}, frames={of.frames}, join="{join}")'


def _shifts(model_name: str, frames: int) -> bool:
    network: Any = timm.create_model(model_name)
    try:
        Frames(network, frames, join="shift")
    except ValueError:  # it has no place to shift
        return False
    return True


def check_clips(clips: Mapping[str, Taken], pictured: bool, task: str, where: str) -> None:
    """`ValueError` for a task whose answers are places in a picture."""
    if clips and pictured:
        raise ValueError(
            f"{where}: rows hold clips of {sorted(clips)}, and a first config of {task} takes pictures: use --task classification or"
            " regression where rows have such labels, or single frames (Clip(sensor, frames=1)) in a config of your own"
        )
