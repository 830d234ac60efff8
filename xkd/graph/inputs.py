"""Input edges: where a branch's images come from: the whole of its view, boxes cut from it, or what another branch has made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torchvision.ops import roi_align

from xkd.batch import Batch, View
from xkd.tasks.task import Task


class Food(NamedTuple):
    """What a network sees of a batch: `images` (N, C, H, W) in the view's unit, one for each of `places` that has one, in their order.

    Places are the rows (B,), or M boxes in each of them (B, M). On the CPU.
    """

    images: Shaped[Tensor, "n c h w"]
    places: Bool[Tensor, "b *m"]


class Eaten(NamedTuple):
    """Another branch's reading (B, C, H, W), and the rows that have it, on the CPU."""

    reading: Tensor
    rows: Bool[Tensor, " b"]


@runtime_checkable
class Input(Protocol):
    """An edge that ends in a branch. `reading` is what must be there, beside the view or in its place, "" for nothing.

    `of_view` says whether the images are of the branch's view in the batch, `several` whether a row has several, so that readings are
    (B, M, ...), and `alone` whether a row's images depend on nothing but the row and its draw.
    """

    @property
    def reading(self) -> str: ...
    @property
    def of_view(self) -> bool: ...
    @property
    def several(self) -> bool: ...
    @property
    def alone(self) -> bool: ...

    def size_of(self, view: View) -> tuple[int, int]:
        """(height, width) of the images."""

    def food(self, view: View, batch: Batch, task: Task, eaten: Eaten | None) -> Food:
        """The images of a batch; `task` is the run's, `eaten` what `reading` names of another branch."""


@dataclass(frozen=True)
class Whole:
    """The branch's view, as the data bring it."""

    reading = ""
    of_view = True
    several = False
    alone = True

    def size_of(self, view: View) -> tuple[int, int]:
        return view.size

    def food(self, view: View, batch: Batch, task: Task, eaten: Eaten | None) -> Food:
        images, present = _seen(view, batch)
        return Food(those(images, present), present)


@dataclass(frozen=True)
class Crops:
    """The boxes of the run's target, each cut from the branch's view and resized to `size` (height, width).

    Readings are (B, M, ...) in the order of the target's M boxes, which have moved with the view under the augmentation; places without an
    object (padding, regions to ignore) and rows without labels are not shown to the network, and their readings are zeros. A window has
    the shape of `size` and the box in its middle, and is `context` times as long as the least that holds it: with a square `size` that
    many times the box's longer side, in pixels of the view. Where it is shrunk, pixels are averaged; beyond the image it holds the
    sensor's `outside`. `shuffled` is a control: each place gets the window of another box of the batch.
    """

    size: tuple[int, int]
    context: float = 1.15
    shuffled: bool = False
    reading = "batch.target"
    of_view = True
    several = True

    def __post_init__(self) -> None:
        sides = tuple(self.size) if isinstance(self.size, list | tuple) else ()
        if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
            raise ValueError(f"Crops: size must be (height, width) in whole pixels, got {self.size!r}")
        object.__setattr__(self, "size", sides)
        if not 0 < self.context < math.inf:
            raise ValueError(f"Crops: context is how many times the box a window is, above 0; got {self.context}")

    @property
    def alone(self) -> bool:
        return not self.shuffled

    def size_of(self, view: View) -> tuple[int, int]:
        return self.size

    def food(self, view: View, batch: Batch, task: Task, eaten: Eaten | None) -> Food:
        images, present = _seen(view, batch)
        boxes = task.boxes(batch.target)
        places = (boxes[..., 4] >= 0).cpu() & (present & batch.labelled).unsqueeze(1)
        if self.shuffled and places.sum() < 2:
            places = torch.zeros_like(places)  # there is no other box
        rows, at = places.nonzero().T.to(boxes.device)
        windows = torch.cat([rows.unsqueeze(1), self._windows(boxes[rows, at, :4], (images.shape[2], images.shape[3]))], 1)
        if self.shuffled:
            windows = windows.roll(len(windows) // 2, 0)
        beyond = torch.tensor([value for sensor in view.sensors for value in sensor.outside], device=images.device).reshape(1, -1, 1, 1)
        seen = (images if images.is_floating_point() else images.float()) - beyond  # outside of them roi_align finds zeros
        return Food(roi_align(seen, windows.to(seen.dtype), self.size, aligned=True) + beyond, places)

    def _windows(self, boxes: Float[Tensor, "n 4"], size: tuple[int, int]) -> Float[Tensor, "n 4"]:
        """x1 y1 x2 y2 in pixels."""
        low, high = (corner * corner.new_tensor(size[::-1]) for corner in (boxes[:, :2], boxes[:, 2:]))
        shape = boxes.new_tensor(self.size[::-1])
        half = ((high - low) / shape).amax(1, keepdim=True) * shape * (self.context / 2)
        middle = (low + high) / 2
        return torch.cat([middle - half, middle + half], 1)


@dataclass(frozen=True)
class Eats:
    """Images that another branch has made: its reading (B, C, H, W), in the unit and of the size of the branch's view.

    `gradient` is the factor that gradients get on their way back to the maker: 0 detaches it, 1 passes them on, through a frozen branch
    too, and -1 makes the two adversaries. The data need not have the view; a branch that is run by itself, as when it is measured, takes
    it from the batch.
    """

    reading: str
    gradient: float = 0.0
    of_view = False
    several = False
    alone = False

    def __post_init__(self) -> None:
        branch, _, name = self.reading.partition(".")
        if not name or branch in ("", "batch"):
            raise ValueError(f"Eats takes another branch's reading, 'maker.output', got '{self.reading}'")
        if not math.isfinite(self.gradient):
            raise ValueError(f"Eats: gradient is a finite factor, got {self.gradient}")

    def size_of(self, view: View) -> tuple[int, int]:
        return view.size

    def food(self, view: View, batch: Batch, task: Task, eaten: Eaten | None) -> Food:
        if eaten is None:
            return Whole().food(view, batch, task, None)
        if (shape := tuple(eaten.reading.shape[1:])) != (wanted := (view.modality.channels, *view.size)):
            raise ValueError(
                f"it eats '{self.reading}' {shape}, and images of its view '{view.name}' are {wanted}: let the maker make those, such as by"
                f" Generator(view) with view '{view.name}', or give this branch a view of another size"
            )
        return Food(those(scaled(eaten.reading, self.gradient), eaten.rows), eaten.rows)


WHOLE: Final[Input] = Whole()


def those(of: Tensor, places: Bool[Tensor, " b"]) -> Tensor:
    """The rows that are there."""
    return of if places.all() else of[places.nonzero().flatten().to(of.device)]


def placed(reading: Shaped[Tensor, "n ..."], places: Bool[Tensor, "b *m"]) -> Tensor:
    """A reading of each image at its place, zeros at the others."""
    at = places.flatten().nonzero().flatten().to(reading.device)
    spread = reading.new_zeros((places.numel(), *reading.shape[1:])).index_copy(0, at, reading)
    return spread.reshape(*places.shape, *reading.shape[1:])


def scaled(reading: Tensor, gradient: float) -> Tensor:
    """The same values, whose gradient is multiplied on its way back."""
    still = reading.detach()
    return still + gradient * (reading - still) if gradient else still


def _seen(view: View, batch: Batch) -> tuple[Tensor, Tensor]:
    if view.name not in batch.views:
        raise KeyError(f"no view '{view.name}' in the batch; it has {sorted(batch.views)}")
    return batch.views[view.name], batch.present[view.name]
