"""What flows from data to networks: a sensor (Modality), a sensor at one size (View), a batch of paired samples (Batch)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from xkd.modality import Modality, Stack

MOST_PIXELS: Final = 2**26  # of what a network sees; an image on the disk may have more


@dataclass(frozen=True)
class View:
    """A sensor, or a stack of them, at one size: what one branch takes. Two branches of one sensor may have views of different sizes."""

    name: str
    modality: Modality | Stack
    size: tuple[int, int]  # (height, width) in pixels

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"view '{self.name}': size must be (height, width) in pixels, got {self.size}")
        if self.size[0] * self.size[1] > MOST_PIXELS:
            raise ValueError(f"view '{self.name}': size (height, width) is {self.size}, more than {MOST_PIXELS / 1e6:.0f} million pixels")

    @property
    def sensors(self) -> tuple[Modality, ...]:
        return self.modality.sensors if isinstance(self.modality, Stack) else (self.modality,)


@dataclass(frozen=True)
class Number:
    """A number that a row is labelled with: its name, its unit ("" for none), the lowest and the highest that there can be."""

    name: str
    unit: str
    range: tuple[float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "range", tuple(map(float, self.range)))
        if not self.name.strip():
            raise ValueError(f"a number needs a name, got '{self.name}'")
        if len(self.range) != 2 or not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise ValueError(f"number '{self.name}': range must be (lowest, highest), both finite, got {self.range}")

    @property
    def described(self) -> str:
        """For a person: "severity (0 to 4 grade)"."""
        low, high = self.range
        return f"{self.name} ({low:g} to {high:g}{' ' if self.unit else ''}{self.unit})"


@dataclass(frozen=True)
class Annotation:
    """What a row's target says of `names`, by its kind.

    Which one it is ("label"), which of them are there ("labels"), a number of each ("numbers"), where each of them is ("boxes"), which
    one each pixel shows ("pixels"), or a number of each for every pixel ("quantities"). Of "nothing" there are no names.
    """

    kind: str
    names: tuple[str, ...]
    numbers: tuple[Number, ...] = ()


@dataclass
class Batch:
    """Paired samples. Where a row lacks a view its pixels are zeros and `present` is false; where it lacks a label `labelled` is.

    The boolean fields and `meta` stay on the CPU whatever the device, so that choosing rows never waits for an accelerator.
    """

    views: dict[str, Shaped[Tensor, "b _ _ _"]]  # (B, C, H, W), each view of its own size
    present: dict[str, Bool[Tensor, " b"]]
    target: Shaped[Tensor, "b ..."]  # (B,) index, -1 unlabelled; (B, K) 0/1, numbers; (B, H, W) or (B, C, H, W) of pixels; (B, M, 5) boxes
    labelled: Bool[Tensor, " b"]
    mask: Float[Tensor, "b 1 _ _"]  # share of each pixel inside the region of interest, 0..1
    masked: Bool[Tensor, " b"]  # the row has a mask
    index: Int[Tensor, " b"]  # row in the dataset
    draw: Int[Tensor, " b"]  # which draw of the augmentation; -1 is none
    boxes: list[Float[Tensor, "_ 4"]] = field(default_factory=list)  # x1 y1 x2 y2, relative to the view, 0..1
    cached: dict[str, Tensor] = field(default_factory=dict)  # readings "branch.name" of branches that then need not run
    meta: list[dict[str, str]] = field(default_factory=list)  # the manifest's other columns
    groups: dict[str, list[str]] = field(default_factory=dict)  # the manifest's group of the row that each view shows, a name per row
    broken: list[str] = field(default_factory=list)  # why some rows could not be read, which then have no view, label or mask

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        return replace(
            self,
            views=_each(self.views, move),
            cached=_each(self.cached, move),
            target=move(self.target),
            mask=move(self.mask),
            index=move(self.index),
            draw=move(self.draw),
        )

    def pin_memory(self) -> Batch:
        """Called by `DataLoader(pin_memory=True)`."""
        return replace(
            self,
            views=_each(self.views, Tensor.pin_memory),
            cached=_each(self.cached, Tensor.pin_memory),
            target=self.target.pin_memory(),
            mask=self.mask.pin_memory(),
            index=self.index.pin_memory(),
            draw=self.draw.pin_memory(),
        )


def _each(tensors: Mapping[str, Tensor], change: Any) -> dict[str, Tensor]:
    return {name: change(tensor) for name, tensor in tensors.items()}
