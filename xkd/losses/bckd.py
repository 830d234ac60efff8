"""Binary classification distillation of dense detectors: each class at each place is a question of yes or no, each box an overlap.

Yang et al., "Bridging Cross-task Protocol Inconsistency for Distillation in Dense Object Detection", ICCV 2023, arXiv:2308.14286, as in
the authors' code: cross-entropy times |teacher's score - student's|, through which the gradient flows too; 1 - IoU of the boxes times
the largest such difference over the classes, which is detached there. The paper weighs the boxes four times as much. Theirs is divided by
the number of positives, which needs labels; ours by the sum of the teacher's best score of each place, so pairs without a label teach.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.boxes import example_output, parts_of
from xkd.losses.precision import in_float32

_EMPTY = 1e-12  # square shares of an image; a box may have no area


class BCKD(nn.Module):
    """Soft class scores and boxes of two `DenseDetector`s (B, N, 9 + K) at the same places and of the same classes. Zero if equal.

    `boxes` weighs the boxes' part, 4 in the paper. Places whose best score of the teacher's is below `sure` are left out; 0 keeps all.
    Both parts are sums, divided by the sum over the batch's places of the teacher's best scores, at least 1.
    """

    contract_exempt = ("gradcheck",)  # the weights of the boxes are detached

    def __init__(self, boxes: float = 4.0, sure: float = 0.0) -> None:
        super().__init__()
        if boxes < 0 or not 0 <= sure < 1:
            raise ValueError(f"boxes is a weight, 0 or more, and sure a score, 0 up to 1; got {boxes} and {sure}")
        self.boxes, self.sure = boxes, sure

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [example_output(generator), example_output(generator)]

    @in_float32
    def forward(self, student: Float[Tensor, "b n parts"], teacher: Float[Tensor, "b n parts"]) -> Float[Tensor, ""]:
        if student.shape != teacher.shape:
            raise ValueError(
                f"BCKD compares detectors of the same levels and classes, got {tuple(student.shape)} and {tuple(teacher.shape)}:"
                " the same size of the views and strides of the backbones, or features on pyramid levels instead"
            )
        pupil, guide = parts_of("BCKD", student), parts_of("BCKD", teacher)
        scores = guide.logits.sigmoid()
        best = scores.amax(2)
        sure = best >= self.sure
        unlike = (scores - pupil.logits.sigmoid()).abs()
        classes = (F.binary_cross_entropy_with_logits(pupil.logits, scores, reduction="none") * unlike).sum(2)
        apart = (1 - _overlap(pupil.boxes, guide.boxes)) * unlike.detach().amax(2)
        return ((classes + self.boxes * apart) * sure).sum() / (best * sure).sum().clamp(min=1)


def _overlap(one: Float[Tensor, "b n 4"], other: Float[Tensor, "b n 4"]) -> Float[Tensor, "b n"]:
    """Intersection over union of boxes at the same place."""
    sides = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])
    shared = sides.clamp(min=0).prod(2)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(2) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=_EMPTY)
