"""Grad-CAM of any module; the one a student learns by is `xkd.graph.explanation.GradCAM`, computed in the same way."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xkd.batch import Batch
from xkd.graph.branch import Branch
from xkd.graph.explanation import map_of_scores, the_one, watched
from xkd.taps import Time
from xkd.tasks.task import Task


def grad_cam(
    branch: Branch, batch: Batch, task: Task, path: str, classes: Int[Tensor, " b"] | None = None, time: Time = "mean"
) -> Float[Tensor, "b steps y x"]:
    """The map of each row's class (by default the predicted one) at the module `path`, on that module's grid.

    Of a clip it is the mean over time, or with `time="all"` a map for each step of it.
    Works on frozen branches and under `no_grad`; leaves no gradient, no hook and no other mode behind. Raises `ValueError` where
    the task's output is not (B, K), where the module cannot be read, or where no class score depends on it.
    """
    training = branch.training
    try:
        with torch.inference_mode(False), torch.enable_grad(), watched(branch.model, {path: path}) as seen:
            # the images carry the graph, so that frozen parameters need no gradient
            images = batch.views[branch.view.name].detach().to(branch.mean.dtype, copy=True).requires_grad_()
            output = branch.eval().call(branch.model, images, batch, task)  # not by its taps: a first pass of theirs is several
            score = task.score(output, _checked(classes, output))
            maps = map_of_scores(branch.model, the_one(seen[path], path), score, images.shape, path, time=time)
    finally:
        branch.train(training)
    return maps.detach().float().clamp(min=0)


def _checked(classes: Tensor | None, output: Tensor) -> Tensor | None:
    if classes is None:
        return None
    if classes.shape != output.shape[:1] or classes.min() < 0 or classes.max() >= output.shape[1]:
        raise ValueError(f"grad_cam needs one class in 0..{output.shape[1] - 1} for each of {len(output)} rows, got {classes.tolist()}")
    return classes.to(output.device)
