"""A network without classes as a folder that timm and Hugging Face read: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from timm.models import save_for_hf
from torch import nn

from xkd.files import write_atomically
from xkd.graph.branch import Branch


def write_backbone(branch: Branch, folder: Path, card: str, licence: str = "not stated") -> bool:
    """Weights, architecture and statistics below `folder`, `card` as its README.md; False for a network that is changed, or none of timm's.

    `mean` and `std` are shares of the sensor's range, as timm counts an image's 0..255; `licence` is that of the data.
    """
    network: Any = branch.model
    if branch.changes or not getattr(network, "pretrained_cfg", None):
        return False
    network = copy.deepcopy(network).to(memory_format=torch.contiguous_format)  # the branch keeps its classifier and its order of memory
    mean, std = shares_of_range(branch)
    channels, (height, width) = branch.view.modality.channels, branch.view.size
    stated = {"mean": mean, "std": std, "input_size": (channels, height, width), "tag": "pairs", "license": licence}
    without_classifier(network)
    save_for_hf(network, str(folder), model_config={"pretrained_cfg": stated}, model_args={"in_chans": channels}, safe_serialization=True)
    write_atomically(folder / "README.md", card.encode())
    return True


def without_classifier(network: nn.Module) -> None:
    """timm's own way to take it off."""
    reset: Any = getattr(network, "reset_classifier", None)
    if reset is not None and getattr(network, "num_classes", None):
        reset(0)


def shares_of_range(branch: Branch) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The branch's mean and std, which are in each sensor's unit, as shares of the sensor's range."""
    spans = [sensor.range for sensor in branch.view.sensors for _ in range(sensor.channels)]
    values = zip(spans, branch.mean.flatten().tolist(), branch.std.flatten().tolist(), strict=True)
    # rounded: float32 knows no more digits
    both = [(round((mean - low) / (high - low), 6), round(std / (high - low), 6)) for (low, high), mean, std in values]
    return tuple(mean for mean, _ in both), tuple(std for _, std in both)
