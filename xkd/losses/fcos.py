"""FCOS: a detector learns boxes, how central its locations are, and classes.

Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, arXiv:1904.01355, section 3, in torchvision's variant
(centre sampling, GIoU, centre-ness not weighting the boxes' part, all three divided by the number of locations that stand for an
object), of torchvision's own `sigmoid_focal_loss` and `generalized_box_iou_loss`. Added: nothing is learned within a region to ignore.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from xkd.losses.boxes import Places, assigned, check_boxes, example_boxes, example_output, parts_of, unknown
from xkd.losses.precision import in_float32

_EMPTY = 1e-12  # square shares of an image: torchvision's own guard, 1e-7 square pixels, for coordinates within 0 and 1


class FCOS(nn.Module):
    """Focal loss of the classes + GIoU loss of the boxes + cross-entropy of the centre-ness, of a `DenseDetector`'s output (B, N, 9 + K).

    Targets (B, M, 5) are x1 y1 x2 y2 as shares of the image, and the class: -1 pads, -2 is a region within which nothing is known. Each
    part is a sum, divided by the number of locations of all rows that stand for an object, at least 1. Where several processes train, their
    values are averaged by rows, not by such locations. `alpha` and `gamma` are the focal loss's (Lin et al., ICCV 2017, arXiv:1708.02002).
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        if not 0 <= alpha <= 1 or gamma < 0:
            raise ValueError(f"alpha is a share, 0..1, and gamma 0 or more; got {alpha} and {gamma}")
        self.alpha, self.gamma = alpha, gamma

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [example_output(generator), example_boxes(generator)]

    @in_float32
    def forward(self, student: Float[Tensor, "b n parts"], target: Float[Tensor, "b m 5"]) -> Float[Tensor, ""]:
        check_boxes("FCOS", target, len(student))
        dense, target = parts_of("FCOS", student), target.to(student.dtype)
        target = F.pad(target, (0, 0, 0, 1), value=-1.0)  # so that there is one to point at
        which = assigned(dense, target)
        positive = which >= 0
        known = positive | ~unknown(dense, target)
        objects = target.gather(1, which.clamp(min=0).unsqueeze(2).expand(-1, -1, 5))
        hot = positive.unsqueeze(2) & (objects[..., 4:] == torch.arange(dense.logits.shape[2], device=target.device))
        classes = sigmoid_focal_loss(dense.logits, hot.to(student.dtype), self.alpha, self.gamma)
        boxes = generalized_box_iou_loss(dense.boxes, objects[..., :4], eps=_EMPTY)
        central = F.binary_cross_entropy_with_logits(dense.centreness, _centreness(dense, objects, positive), reduction="none")
        total: Tensor = (classes * known.unsqueeze(2)).sum() + ((boxes + central) * positive).sum()
        return total / positive.sum().clamp(min=1)


def _centreness(dense: Places, objects: Float[Tensor, "b n 5"], positive: Tensor) -> Float[Tensor, "b n"]:
    """sqrt(nearer / farther edge across * nearer / farther edge down), 1 at the centre, 0 at an edge; 0 where there is no object."""
    before, after = dense.centres - objects[..., :2], objects[..., 2:4] - dense.centres
    inside = positive.unsqueeze(2)
    nearer, farther = torch.minimum(before, after).where(inside, 0.0), torch.maximum(before, after).where(inside, 1.0)
    share = (nearer / farther).prod(2)
    return share.where(positive, 1.0).sqrt().where(positive, 0.0)  # the root has no slope at 0
