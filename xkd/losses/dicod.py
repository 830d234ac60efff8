"""DICOD: a classifier that saw the objects cut out teaches a detector's locations which class they show.

Guo, Alvarez, Salzmann, "Distilling Image Classifiers in Object Detectors", NeurIPS 2021, arXiv:2106.05209, the classification term
(section 3.1) for detectors with sigmoids, written from the paper: each location that stands for an object follows the teacher's
answer for that object, softened by tau, mean over these locations of all images, times tau^2. Their localisation term, which needs the
teacher's features of predicted boxes, is left out.

Variants. For such detectors theirs reads the teacher by sigmoids too, which it has learned beside a softmax (`scores="sigmoid"`); one that
learned a softmax alone is read as such, which is ours. Their code divides the sum over the classes by their number, ours does not. Their
weight of 0.4 at tau 2 is that of an SSD, whose scores are a softmax. Where the teacher knows a background, what it gives it no class gets.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.boxes import Places, assigned, check_boxes, example_boxes, example_output, parts_of
from xkd.losses.precision import in_float32


class DICOD(nn.Module):
    """tau^2 * sum over classes of KL(teacher || student) of (p, 1 - p), mean over the locations that stand for an object, 0 without one.

    Of a `DenseDetector`'s output (B, N, 9 + K) and a classifier's logits (B, M, K) of the objects in `target` (B, M, 5), in its order;
    those of padding are not read. With `scores` "softmax" the teacher's p is its softmax at tau, and there may be K + 1 classes, of which
    the first is the background; with "sigmoid" it is sigmoid(logit / tau), as the student's is.
    """

    def __init__(self, tau: float = 2.0, scores: Literal["softmax", "sigmoid"] = "softmax") -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if scores not in ("softmax", "sigmoid"):
            raise ValueError(f"scores is 'softmax' or 'sigmoid', what the teacher learned; got '{scores}'")
        self.tau, self.scores = tau, scores

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        teacher = torch.randn((4, 3, 3), generator=generator, dtype=torch.float64)
        return [example_output(generator), teacher, example_boxes(generator)]

    @in_float32
    def forward(
        self, student: Float[Tensor, "b n parts"], teacher: Float[Tensor, "b m c"], target: Float[Tensor, "b m 5"]
    ) -> Float[Tensor, ""]:
        check_boxes("DICOD", target, len(student))
        dense = parts_of("DICOD", student)
        classes = dense.logits.shape[2]
        legal = (classes,) if self.scores == "sigmoid" else (classes, classes + 1)
        if teacher.shape[:2] != target.shape[:2] or teacher.shape[2] not in legal:
            raise ValueError(
                f"DICOD needs a classifier's logits {tuple(target.shape[:2])} + ({' or '.join(map(str, legal))},) of the target's objects,"
                f" got {tuple(teacher.shape)}"
            )
        if not target.shape[1]:
            return student.sum() * 0
        which = assigned(dense, target.to(student.dtype))
        softened = teacher.to(student.dtype) / self.tau
        return _followed(dense, self._shares(softened, classes), which, self.tau)

    def _shares(self, softened: Float[Tensor, "b m c"], classes: int) -> Float[Tensor, "b m k"]:
        return softened.sigmoid() if self.scores == "sigmoid" else softened.softmax(2)[..., -classes:]


class SmoothedBoxes(nn.Module):
    """`DICOD` without a teacher, its control: smoothed labels take the place of the classifier's answers.

    The share of the box's own class is 1 - `smoothing` + `smoothing` / K, of each other `smoothing` / K (Szegedy et al., CVPR 2016,
    arXiv:1512.00567, section 7). Of a `DenseDetector`'s output (B, N, 9 + K) and targets (B, M, 5); tau is the student's alone.
    """

    def __init__(self, tau: float = 2.0, smoothing: float = 0.1) -> None:
        super().__init__()
        if tau <= 0 or not 0 <= smoothing < 1:
            raise ValueError(f"tau must be positive and smoothing a share, 0 up to 1; got {tau} and {smoothing}")
        self.tau, self.smoothing = tau, smoothing

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [example_output(generator), example_boxes(generator)]

    @in_float32
    def forward(self, student: Float[Tensor, "b n parts"], target: Float[Tensor, "b m 5"]) -> Float[Tensor, ""]:
        check_boxes("SmoothedBoxes", target, len(student))
        dense, target = parts_of("SmoothedBoxes", student), target.to(student.dtype)
        if not target.shape[1]:
            return student.sum() * 0
        classes = dense.logits.shape[2]
        hot = (target[..., 4:] == torch.arange(classes, device=target.device)).to(student.dtype)
        return _followed(dense, hot * (1 - self.smoothing) + self.smoothing / classes, assigned(dense, target), self.tau)


def _followed(dense: Places, shares: Float[Tensor, "b m k"], which: Int[Tensor, "b n"], tau: float) -> Float[Tensor, ""]:
    """tau^2 * KL of each location's classes from the shares of the object that it stands for, mean over such locations."""
    positive = (which >= 0).unsqueeze(2)
    answers = shares.gather(1, which.clamp(min=0).unsqueeze(2).expand(-1, -1, shares.shape[2]))
    # cross-entropy less the teacher's own entropy; xlogy knows 0 log 0
    entropy = torch.xlogy(answers, answers) + torch.xlogy(1 - answers, 1 - answers)
    divergence = F.binary_cross_entropy_with_logits(dense.logits / tau, answers, reduction="none") + entropy
    return (divergence * positive).sum() / positive.sum().clamp(min=1) * tau**2
