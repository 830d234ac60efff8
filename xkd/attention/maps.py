"""One way to ask any branch where it looks: a method's name becomes a map (B, 1, H, W) of non-negative attention."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from xkd.attention.grad_cam import grad_cam
from xkd.attention.library import RELATIVES, library_map
from xkd.batch import Batch
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.graph.timm_weights import inside
from xkd.taps import Tap, Taps, Time, num_frames, num_prefix_tokens
from xkd.tasks.task import Task

METHODS = ("tap:NAME", "attention:PATH", "rollout", "grad_cam", "grad_cam:PATH", *(f"{method}:PATH" for method in RELATIVES))


def attention_map(
    branch: Branch,
    images: Shaped[Tensor, "b c h w"],
    task: Task,
    method: str,
    classes: Int[Tensor, " b"] | None = None,
    time: Time = "mean",
) -> Float[Tensor, "b steps y x"]:
    """Where `branch` looks in `images` (in the sensor's unit), on the grid of the module that is read.

    "tap:NAME" is one of the branch's own taps of kind "attention", "attention:PATH" the same reading of any module ("stage:-1",
    "blocks.11"): the class token's attention of a transformer block, averaged over its heads, or the mean of squares over channels.
    "rollout" follows attention through all blocks of a transformer that attend between the same tokens.
    "grad_cam:PATH" explains `classes`, by default the predicted ones, which only it and its relatives read. "grad_cam" is that of the last
    stage, or of a transformer whose class token alone is its answer what that token reads there. The relatives, such as "layer_cam:PATH",
    come from the library grad-cam. Of clips a map is the mean over time, or with `time="all"` one for each frame, or for each step of
    the time that a network has pooled.
    The branch is read in eval mode and left as it was. `ValueError` or `KeyError` names the legal methods, taps or modules.
    """
    try:
        return _map_by(branch, images, task, method, classes, time)
    finally:
        branch.taps.forget()  # their hooks keep what they see in any pass, with its graph


def _map_by(
    branch: Branch, images: Shaped[Tensor, "b c h w"], task: Task, method: str, classes: Int[Tensor, " b"] | None, time: Time
) -> Float[Tensor, "b steps y x"]:
    kind, _, place = (method if method != "grad_cam" else f"grad_cam:{_last_stage(branch)}").partition(":")
    if kind == "grad_cam" and place:
        return grad_cam(branch, single_view_batch(branch, images, task), task, place, classes, time)
    if kind in RELATIVES and place:
        return library_map(branch, single_view_batch(branch, images, task), task, kind, place, classes)
    if method == "rollout":
        tap = Tap("", kind="rollout")
    elif kind in ("tap", "attention") and place:
        tap = _attention_tap(branch, place) if kind == "tap" else Tap(place, kind="attention")
    else:
        raise ValueError(f"unknown attention method '{method}'; legal are {', '.join(METHODS)}")
    extra = Taps(branch.model, {method: replace(tap, time=time)})
    training = branch.training
    try:
        with torch.no_grad():
            branch.eval().call(extra, images, single_view_batch(branch, images, task), task)
        maps = extra.read(images.shape)[method]
    finally:
        extra.close()
        branch.train(training)
    # of frames times heads, or of steps of time, never more than frames, without heads
    steps = 1 if time == "mean" else min(maps.shape[1], num_frames(branch.model))
    return maps.float().reshape(len(maps), steps, -1, *maps.shape[2:]).mean(2)


def _last_stage(branch: Branch) -> str:
    network = inside(branch.model)
    return "stage:-1.norm1" if num_prefix_tokens(network) and getattr(network, "global_pool", "") == "token" else "stage:-1"


def single_view_batch(branch: Branch, images: Shaped[Tensor, "b c h w"], task: Task) -> Batch:
    """The images as a batch that holds this branch's view alone, with made-up targets that nobody measures."""
    return replace(example_batch([branch.view], task, len(images), images.device), views={branch.view.name: images})


def _attention_tap(branch: Branch, name: str) -> Tap:
    legal = sorted(name for name, tap in branch.taps.taps.items() if tap.kind == "attention")
    if name not in legal:
        raise KeyError(f"no attention tap '{name}'; the branch on view '{branch.view.name}' has {legal or 'none: use attention:PATH'}")
    return branch.taps.taps[name]
