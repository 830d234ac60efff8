"""What losses of detectors share: the parts of a dense output, and which of its locations stands for which object."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORED: Final = -2  # class of a region within which nothing is known; -1 pads
_FIXED: Final = 9  # numbers of a location that are no logits
_RADIUS: Final = 1.5  # cells about an object's centre whose locations may stand for it
_FINER: Final = 4.0  # cells that an object reaches from a location of its level, at least
_COARSER: Final = 8.0  # and at most
_SAME_LEVEL: Final = 1.25  # cells of unlike levels differ by more


class Places(NamedTuple):
    """The parts of a `DenseDetector`'s output, boxes and places as shares of the image."""

    boxes: Float[Tensor, "b n 4"]
    centreness: Float[Tensor, "b n"]
    logits: Float[Tensor, "b n k"]
    centres: Float[Tensor, "b n 2"]
    cells: Float[Tensor, "b n 2"]  # width and height


def parts_of(loss: str, output: Float[Tensor, "b n parts"]) -> Places:
    """`ValueError` where it cannot be such an output."""
    if output.ndim != 3 or output.shape[2] <= _FIXED:
        raise ValueError(f"{loss} needs a DenseDetector's output (batch, locations, {_FIXED} + classes), got {tuple(output.shape)}")
    return Places(output[..., :4], output[..., 4], output[..., 5:-4], output[..., -4:-2], output[..., -2:])


def check_boxes(loss: str, target: Tensor, rows: int) -> None:
    if target.ndim != 3 or target.shape[2] != 5 or len(target) != rows:
        raise ValueError(f"{loss} needs targets ({rows}, objects, 5), x1 y1 x2 y2 and class, got {tuple(target.shape)}: target='boxes'")


def assigned(dense: Places, target: Float[Tensor, "b m 5"]) -> Int[Tensor, "b n"]:
    """The object that each location stands for, -1 for none, as torchvision's FCOS assigns them.

    A location stands for an object whose box it is in, whose centre is less than 1.5 cells away, and which reaches 4 to 8 cells away from
    it at the farthest (on the finest level less too, on the coarsest more too); of several for the one with the smallest area.
    """
    if not target.shape[1]:
        return target.new_full(dense.centreness.shape, -1, dtype=torch.long)
    centres, cells = dense.centres.detach().unsqueeze(2), dense.cells.detach().unsqueeze(2)  # (B, N, 1, 2)
    low, high = target[:, None, :, :2], target[:, None, :, 2:4]  # (B, 1, M, 2)
    near = ((centres - (low + high) / 2).abs() / cells).amax(3) < _RADIUS
    reach = torch.cat([centres - low, high - centres], 3) / torch.cat([cells, cells], 3)
    farthest = reach.amax(3)
    width = cells[..., 0]
    finest, coarsest = width < _SAME_LEVEL * width.amin(), width * _SAME_LEVEL > width.amax()
    fits = ((farthest > _FINER) | finest) & ((farthest < _COARSER) | coarsest)
    match = near & (reach.amin(3) > 0) & fits & (target[:, None, :, 4] >= 0)
    area = (high - low).prod(3).expand_as(match)
    smallest, which = area.where(match, torch.inf).min(2)
    return which.where(smallest.isfinite(), -1)


def unknown(dense: Places, target: Float[Tensor, "b m 5"]) -> Bool[Tensor, "b n"]:
    """Locations within a region to ignore."""
    centres = dense.centres.detach().unsqueeze(2)
    inside = ((centres >= target[:, None, :, :2]) & (centres <= target[:, None, :, 2:4])).all(3)
    return (inside & (target[:, None, :, 4] == IGNORED)).any(2)


def example_output(generator: torch.Generator, classes: int = 3) -> Float[Tensor, "4 20 parts"]:
    """Four rows of two levels, 4 x 4 and 2 x 2 cells, in float64."""
    places = []
    for side in (4, 2):
        middles = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        places += [torch.stack([x, y, *[torch.tensor(1 / side, dtype=torch.float64)] * 2]) for y in middles for x in middles]
    place = torch.stack(places).expand(4, -1, -1)
    distance = torch.rand((4, 20, 4), generator=generator, dtype=torch.float64) + 0.2
    boxes = torch.cat([place[..., :2] - distance[..., :2] * place[..., 2:], place[..., :2] + distance[..., 2:] * place[..., 2:]], 2)
    scores = torch.randn((4, 20, 1 + classes), generator=generator, dtype=torch.float64)
    return torch.cat([boxes, scores, place], 2)


def example_boxes(generator: torch.Generator, classes: int = 3) -> Float[Tensor, "4 3 5"]:
    """An object or two in each of four rows, padded, in float64."""
    corner = 0.45 * torch.rand((4, 3, 2), generator=generator, dtype=torch.float64)
    size = 0.3 + 0.2 * torch.rand((4, 3, 2), generator=generator, dtype=torch.float64)
    label = torch.arange(12, dtype=torch.float64).reshape(4, 3, 1) % classes
    label[:, 2], label[::2, 1] = -1, -1
    return torch.cat([corner, corner + size, label], 2)
