"""From a detector's dense output to boxes that a person reads: scores, non-maximum suppression, the best of each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import batched_nms

from xkd.losses.boxes import parts_of


@dataclass(frozen=True)
class Selection:
    """Which places become boxes. The defaults are torchvision's for FCOS, with a lower score, since average precision wants all.

    Those with a `score` of that or more; of boxes of one class that overlap by more than `overlap` the best one; at most `most` in an
    image, chosen among the `candidates` best. A place's score of a class is sqrt(sigmoid(logit) * sigmoid(centre-ness)).
    """

    score: float = 0.05
    overlap: float = 0.6
    most: int = 100
    candidates: int = 1000

    def __post_init__(self) -> None:
        if not (0 <= self.score < 1 and 0 < self.overlap <= 1):
            raise ValueError(f"score and overlap are shares, 0..1; got {self.score} and {self.overlap}")
        if not 1 <= self.most <= self.candidates:
            raise ValueError(f"most and candidates are numbers of boxes, 1 <= most <= candidates; got {self.most} and {self.candidates}")


def detections(output: Float[Tensor, "b n parts"], selection: Selection) -> Float[Tensor, "b most 6"]:
    """x1 y1 x2 y2 within 0..1, score and class of each image's boxes by falling score; rows of class -1 and score 0 fill the rest."""
    dense = parts_of("Detection", output.float())
    scores = (dense.logits.sigmoid() * dense.centreness.sigmoid().unsqueeze(2)).sqrt()
    boxes = dense.boxes.clamp(0, 1)
    return torch.stack([_of_image(boxes[row], scores[row], selection) for row in range(len(output))])


def _of_image(boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n k"], selection: Selection) -> Float[Tensor, "most 6"]:
    sure, order = scores.flatten().sort(descending=True, stable=True)
    order = order[: selection.candidates][sure[: selection.candidates] >= selection.score]
    place, label = order // scores.shape[1], order % scores.shape[1]
    candidates = torch.cat([boxes[place], scores[place, label].unsqueeze(1), label.unsqueeze(1)], 1)
    candidates = candidates[((candidates[:, 2:4] - candidates[:, :2]) > 0).all(1)]
    kept = batched_nms(candidates[:, :4], candidates[:, 4], candidates[:, 5].long(), selection.overlap)[: selection.most]
    padded = F.pad(candidates[kept], (0, 0, 0, selection.most - len(kept)))
    padded[len(kept) :, 5] = -1
    return padded
