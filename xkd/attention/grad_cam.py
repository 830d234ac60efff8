"""Grad-CAM: the channels of a layer, weighted by how much the class score depends on them.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
arXiv:1610.02391, equations 1 and 2: weights are the spatial means of the gradient of the class score *before* the softmax,
the weighted sum of the channels is cut off at zero. Tokens are put on their grid first (class and register tokens dropped).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.branch import Branch
from xkd.taps import find_module, num_prefix_tokens, to_nchw
from xkd.tasks.task import Task


def grad_cam(branch: Branch, batch: Batch, task: Task, path: str, classes: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b 1 y x"]:
    """The map of each row's class (by default the predicted one) at the module `path`, on that module's grid.

    Works on frozen branches and under `no_grad`; leaves no gradient, no hook and no other mode behind. Raises `ValueError` where
    the task's output is not (B, K), where the module cannot be read, or where no class score depends on it.
    """
    seen: list[tuple[Any, int]] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append((output, output._version if isinstance(output, Tensor) else 0))

    handle = find_module(branch.model, path).register_forward_hook(keep)
    training = branch.training
    try:
        with torch.inference_mode(False), torch.enable_grad():
            # the images carry the graph, so that frozen parameters need no gradient
            images = batch.views[branch.view.name].detach().to(branch.mean.dtype, copy=True).requires_grad_()
            output = branch.eval().run(images, batch, task)["output"]
            features = _the_one(seen, path)
            gradient = torch.autograd.grad(_score(output, classes), features, allow_unused=True)[0]
    finally:
        handle.remove()
        branch.train(training)
    size = (images.shape[2], images.shape[3])
    # a Tap's reading would not do: it is rearranged beside the network, so no score depends on it
    maps = to_nchw(branch.model, features.detach(), size, path)
    slopes = torch.zeros_like(maps) if gradient is None else to_nchw(branch.model, gradient, size, path)
    if not slopes.any():
        hint = f"; the class token alone reaches the output, read '{path}.norm1'" if num_prefix_tokens(branch.model) else ""
        raise ValueError(f"grad_cam: no class score depends on '{path}'{hint}")
    weights = slopes.mean((2, 3), keepdim=True)
    return (weights * maps).sum(1, keepdim=True).clamp(min=0).float()


def _score(output: Tensor, classes: Tensor | None) -> Tensor:
    if output.ndim == 4 and classes is None:
        # of pixels: the scores of the predicted classes, added up (Seg-Grad-CAM, Vinogradova et al., AAAI 2020, eq. 2 with all pixels)
        return output.amax(1).sum()
    if output.ndim != 2:
        raise ValueError(f"grad_cam explains one score per class, (batch, classes); this task's output is {tuple(output.shape)}")
    chosen = output.argmax(1) if classes is None else classes.to(output.device)
    if chosen.shape != output.shape[:1] or chosen.min() < 0 or chosen.max() >= output.shape[1]:
        raise ValueError(f"grad_cam needs one class in 0..{output.shape[1] - 1} for each of {len(output)} rows, got {chosen.tolist()}")
    return output.gather(1, chosen[:, None]).sum()


def _the_one(seen: list[tuple[Any, int]], path: str) -> Tensor:
    if len(seen) != 1:
        raise ValueError(f"grad_cam: '{path}' ran {len(seen)} times in one forward pass: name a module that runs exactly once")
    output, version = seen[0]
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"grad_cam: '{path}' gives {got}, not a map: name an earlier module")
    if output._version != version:
        raise ValueError(f"grad_cam: '{path}' is overwritten in place by the module that follows: name that one")
    return output
