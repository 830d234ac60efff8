"""Whether a map shows what the answer depends on: insertion and deletion of pixels in the order of their attention.

Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018, arXiv:1806.07421, section 4.2:
the probability of a class while the pixels of most attention are taken away (deletion, lower is better), and while they are put into a
blurred image (insertion, higher is better), as the area under its curve over the share of pixels. Here in `STEPS` steps instead of one for
each row of pixels; pixels taken away become the sensor's mean; the blur, of 11 pixels at 224 in their code, goes with the image's size.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from xkd.attention.maps import single_view_batch
from xkd.graph.branch import Branch
from xkd.grid import resize
from xkd.tasks.task import Task

STEPS = 10
_BLUR, _SIGMA, _SIDE = 11, 5.0, 224  # their code: kernel and standard deviation in pixels, for images of this side


def insertion_deletion(
    branch: Branch, images: Shaped[Tensor, "b c h w"], task: Task, attention: Float[Tensor, "b 1 y x"], classes: Int[Tensor, " b"]
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Areas under both curves, 0..1, of the probability of `classes`; images are in the sensor's unit. For tasks of whole images."""
    whole = images.to(branch.mean.dtype)
    height, width = whole.shape[2:]
    order = resize(attention.float(), (height, width)).flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(height * width, device=order.device).expand_as(order))
    rank = rank.reshape(len(whole), 1, height, width)
    side = min(height, width)
    kernel = min(max(3, round(_BLUR * side / _SIDE) | 1), side - (side + 1) % 2)  # odd, and no larger than the image
    blurred = gaussian_blur(whole, [kernel, kernel], [max(_SIGMA * side / _SIDE, 0.5)] * 2)
    inserted, deleted = [], []
    for step in range(STEPS + 1):
        shown = rank < round(step / STEPS * height * width)
        inserted.append(_probability(branch, torch.where(shown, whole, blurred), task, classes))
        deleted.append(_probability(branch, torch.where(shown, branch.mean, whole), task, classes))
    return _area(inserted), _area(deleted)


def _area(curve: list[Tensor]) -> Tensor:
    return torch.trapezoid(torch.stack(curve), dx=1 / STEPS, dim=0)


def _probability(branch: Branch, images: Tensor, task: Task, classes: Tensor) -> Tensor:
    training = branch.training
    with torch.no_grad():
        probabilities = task.predict(branch.eval().run(images, single_view_batch(branch, images, task), task)["output"])
    branch.train(training)
    if probabilities.ndim != 2 or not task.of_classes:
        what = f"this task answers with {task.noun}, {tuple(probabilities.shape)}"
        raise ValueError(f"insertion and deletion follow the probability of an image's class; {what}")
    chosen: Tensor = probabilities.gather(1, classes[:, None])[:, 0]
    return chosen
