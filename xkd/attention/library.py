"""Grad-CAM's relatives, by the library `grad-cam`, on any branch.

It is installed by hand, `pip install --no-deps grad-cam ttach` and `pip install scikit-learn`: its own dependencies would put a second
OpenCV over the first.

Their maps are those of the library: cut off at zero, scaled to 0..1 for each image, at the size of the image.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.branch import Branch
from xkd.taps import find_module, num_frames, to_nchw
from xkd.tasks.task import Task

INSTALL: Final = "pip install --no-deps grad-cam ttach && pip install scikit-learn"
# method -> class of the library
RELATIVES: Final = {
    "grad_cam++": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "xgrad_cam": "XGradCAM",
    "eigen_cam": "EigenCAM",
    "score_cam": "ScoreCAM",
    "ablation_cam": "AblationCAM",
}


class _Answers(nn.Module):
    """Images in the sensor's unit to scores, as the library wants a network."""

    def __init__(self, branch: Branch, batch: Batch, task: Task) -> None:
        super().__init__()
        self.model, self.branch, self.batch, self.task = branch.model, [branch], batch, task

    def forward(self, images: Tensor) -> Tensor:
        return self.branch[0].call(self.model, images, self.batch, self.task)


def library_map(
    branch: Branch, batch: Batch, task: Task, method: str, path: str, classes: Int[Tensor, " b"] | None = None
) -> Float[Tensor, "b 1 h w"]:
    """The map of each row's class (by default the predicted one) at the module `path`, by one of `RELATIVES`.

    `ValueError` where the library is not installed, where the task's output is not (B, K), or for clips. Gradients and modes are left as
    they were.
    """
    if num_frames(branch.model) > 1:
        raise ValueError(f"{method} explains images, and view '{branch.view.name}' has clips: read 'grad_cam:{path}'")
    try:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise ValueError(f"'{method}' needs the library grad-cam: {INSTALL}") from error
    images = batch.views[branch.view.name].detach().to(branch.mean.dtype, copy=True)
    module = find_module(branch.model, path)

    def to_maps(output: Tensor) -> Tensor:
        return to_nchw(branch.model, output, (images.shape[2], images.shape[3]), path, path)

    training, gradients = branch.training, {parameter: parameter.grad for parameter in branch.parameters()}
    with torch.inference_mode(False), torch.enable_grad():
        answers = _Answers(branch.eval(), batch, task)
        output = answers(images)
        if output.ndim != 2:
            branch.train(training)
            raise ValueError(f"{method} explains one score per class, (batch, classes); this task's output is {tuple(output.shape)}")
        targets = [ClassifierOutputTarget(k) for k in (task.choose(output) if classes is None else classes).tolist()]
        cam: Any = getattr(pytorch_grad_cam, RELATIVES[method])(answers, [module], to_maps)
        cam.compute_input_gradient = True  # frozen parameters carry no graph
        try:
            maps = cam(images, targets)
        finally:
            cam.activations_and_grads.release()
            branch.train(training)
            for parameter, gradient in gradients.items():
                parameter.grad = gradient
    return torch.from_numpy(maps)[:, None].to(images.device)
