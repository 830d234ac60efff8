"""Explanations as readings: the Grad-CAM of a class, which a term compares with a mask or with another network's while both see the image.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017, arXiv:1610.02391,
equations 1 and 2: weights are the spatial means of the gradient of the class score *before* the softmax, the weighted sum of the channels
is cut off at zero. As something to learn by: with `MaskEnergy` in Rao et al., ICCV 2023, arXiv:2303.11932, whose class is the label; with
`AttentionCosine` in e2KD, Parchami-Araghi et al., ECCV 2024, arXiv:2402.03119, whose class is the teacher's likeliest, for both networks.
Both cut off at zero, and a map that learning has pushed below zero everywhere then has no gradient and stays empty; `signed` keeps the sum
as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.losses.precision import widen
from xkd.taps import Time, find_module, fold_time, num_prefix_tokens, to_nchw

TARGET = "batch.target"
Seen = list[tuple[Any, int]]  # what a module gave, and torch's count of writes to it then


@dataclass(frozen=True)
class GradCAM:
    """A reading (B, 1, H, W): where at the module `path`, or "stage:k", the score of a class comes from.

    `classes` says of which class: "batch.target", the row's label (a row without one has no explanation), or the output of a branch,
    such as "thermal.output", its likeliest class. The map is not negative, unless `signed`: then it is below zero where the image speaks
    against the class, and can be learned from even where it is so everywhere; it should be signed where `MaskEnergy` steers. A learning
    branch pays a second pass backwards from its output to `path`; a frozen one, which else keeps nothing for the way back, a pass
    backwards and its memory.
    """

    path: str
    classes: str
    signed: bool = False

    def __post_init__(self) -> None:
        branch, _, reading = self.classes.partition(".")
        if self.classes != TARGET and (not branch or branch == "batch" or reading != "output"):
            raise ValueError(f"GradCAM('{self.path}'): classes must be '{TARGET}' or a branch's output, 'rgb.output'; got '{self.classes}'")


@contextmanager
def watched(model: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, Seen]]:
    """What the modules at `paths` give while this lasts, by the same names."""
    seen: dict[str, Seen] = {name: [] for name in paths}
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen[name].append((output, output._version if isinstance(output, Tensor) else 0))

        handles.append(module.register_forward_hook(keep))

    try:
        for name, path in paths.items():
            watch(name, find_module(model, path))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def the_one(seen: Seen, path: str) -> Tensor:
    """The one map that a module gave; `ValueError` where it ran otherwise than once, or gave none, or was overwritten since."""
    if len(seen) != 1:
        raise ValueError(f"grad_cam: '{path}' ran {len(seen)} times in one forward pass: name a module that runs exactly once")
    output, version = seen[0]
    if not isinstance(output, Tensor) or output.ndim not in (3, 4, 5):  # of clips 5
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"grad_cam: '{path}' gives {got}, not a map: name an earlier module")
    if output._version != version:
        raise ValueError(f"grad_cam: '{path}' is overwritten in place by the module that follows: name that one")
    return output


def map_of_scores(
    model: nn.Module,
    features: Tensor,
    score: Float[Tensor, ""],
    images: torch.Size,
    path: str,
    learns: bool = False,
    check: bool = True,
    time: Time = "mean",
) -> Float[Tensor, "b steps y x"]:
    """Grad-CAM of `score` at `features`, what the module at `path` gave for images of this shape, before it is cut off at zero.

    Tokens are put on their grid, class and register tokens dropped. Of clips it is the mean over time, or one channel for each step of
    it; where a network joins the frames itself, as 3-D convolutions do, a channel's weight is the mean of its gradient over time too.
    `learns` keeps the map differentiable. `check` raises `ValueError` where no score depends on the module; on an accelerator it waits
    for it.
    """
    size = (images[2], images[3])
    gradient = torch.autograd.grad(score, features, allow_unused=True, create_graph=learns, retain_graph=True)[0]
    # not a Tap's reading: that is rearranged beside the network, so no score depends on it
    maps: Tensor = widen(to_nchw(model, features, size, path, path))
    slopes: Tensor = torch.zeros_like(maps) if gradient is None else widen(to_nchw(model, gradient, size, path, path))
    if gradient is None or (check and not slopes.any()):
        hint = f"; the class token alone reaches the output, read '{path}.norm1'" if num_prefix_tokens(model) else ""
        raise ValueError(f"grad_cam: no class score depends on '{path}'{hint}")
    weights, steps = slopes.mean((2, 3), keepdim=True), len(maps) // len(features)
    if steps > 1:
        weights = fold_time(weights, len(features), "mean").repeat_interleave(steps, 0)
    return fold_time((weights * maps).sum(1, keepdim=True), images[0], time)
