"""MixUp and CutMix of paired samples: one partner, one share and one rectangle for all views of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xkd.data.sample import NO_DRAW, Sample
from xkd.modality import check_finite

_Edges = tuple[float, float, float, float]  # x1 y1 x2 y2 of a rectangle, 0..1


@dataclass(frozen=True)
class Mix:
    """Mix each sample of a batch with its right-hand neighbour: MixUp (Zhang et al., ICLR 2018) or CutMix (Yun et al., ICCV 2019).

    A batch is mixed with probability `probability`; then by CutMix with probability `cutmix_share`, else by MixUp. The share
    of the sample itself is drawn from Beta(`alpha`, `alpha`), for each row on its own. All views, the mask and the boxes of a
    row get the same partner, share and rectangle, so a teacher sees the same mixture as the student and its answer needs no
    mixing. Targets become class probabilities (B, K), which `CrossEntropy` takes as well.

    A row keeps its own if its partner has other views, is labelled where it is not, or has a mask where it has none:
    half a label is no label. Under MixUp a box of either stays; under CutMix one whose centre can still be seen.
    `num_classes` is that of the task. Multi-label targets are mixed as they are.

    The draw is a function of (seed, rows and draws of the batch), whatever worker makes it. Samples without a draw
    (evaluation) are not mixed.
    """

    num_classes: int
    probability: float = 1.0
    cutmix_share: float = 0.5
    alpha: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_finite(self, "mix")
        if self.num_classes < 1 or not 0 <= self.probability <= 1 or not 0 <= self.cutmix_share <= 1 or self.alpha <= 0:
            raise ValueError(f"probability and cutmix_share are 0..1, alpha is above 0, num_classes 1 or more; got {self}")

    def __call__(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples with soft targets, mixed or not, so that every batch of a run has targets of one kind."""
        soft = [replace(sample, target=self._soft(sample), groups={}) for sample in samples]  # of two groups, where it is mixed
        rng = np.random.default_rng([self.seed, *(number for sample in samples for number in (sample.index, sample.draw + 1))])
        if samples[0].draw == NO_DRAW or rng.random() >= self.probability:
            return soft
        cut = rng.random() < self.cutmix_share
        mixed = []
        for sample, partner in zip(soft, soft[1:] + soft[:1], strict=True):
            share, x, y = float(rng.beta(self.alpha, self.alpha)), rng.random(), rng.random()
            if not _alike(sample, partner):
                mixed.append(sample)
            else:
                mixed.append(_cut(sample, partner, share, x, y) if cut else _blend(sample, partner, share))
        return mixed

    def _soft(self, sample: Sample) -> Tensor:
        if sample.target.is_floating_point():
            return sample.target
        if not sample.labelled:
            return torch.zeros(self.num_classes)
        if int(sample.target) >= self.num_classes:
            raise ValueError(
                f"row '{sample.meta.get('id', sample.index)}' has class {int(sample.target)}, Mix has num_classes={self.num_classes}"
            )
        return F.one_hot(sample.target, self.num_classes).float()


def _alike(sample: Sample, partner: Sample) -> bool:
    return (sample.present, sample.labelled, sample.masked) == (partner.present, partner.labelled, partner.masked)


def _blend(sample: Sample, partner: Sample, share: float) -> Sample:
    def mean(one: Tensor, other: Tensor) -> Tensor:
        value = share * one.float() + (1 - share) * other.float()
        return value if one.is_floating_point() else value.round().to(one.dtype)

    return replace(
        sample,
        views={name: mean(view, partner.views[name]) for name, view in sample.views.items()},
        mask=mean(sample.mask, partner.mask),
        target=mean(sample.target, partner.target) if sample.labelled else sample.target,
        boxes=torch.cat([sample.boxes, partner.boxes]),
    )


def _cut(sample: Sample, partner: Sample, share: float, x: float, y: float) -> Sample:
    """The partner's pixels in a rectangle of 1 - share of the area, on whole pixels of the coarsest view, so that all views agree."""
    maps = [*sample.views.values(), sample.mask]
    rows, columns = min(part.shape[1] for part in maps), min(part.shape[2] for part in maps)
    height, width = (round((1 - share) ** 0.5 * side) for side in (rows, columns))
    top, left = round(y * (rows - height)), round(x * (columns - width))
    edges = (left / columns, top / rows, (left + width) / columns, (top + height) / rows)
    pasted = (width * height) / (rows * columns)
    return replace(
        sample,
        views={name: _paste(view, partner.views[name], edges) for name, view in sample.views.items()},
        mask=_paste(sample.mask, partner.mask, edges),
        target=(1 - pasted) * sample.target + pasted * partner.target if sample.labelled else sample.target,
        boxes=torch.cat([sample.boxes[~_inside(sample.boxes, edges)], partner.boxes[_inside(partner.boxes, edges)]]),
    )


def _paste(into: Tensor, source: Tensor, edges: _Edges) -> Tensor:
    _, height, width = into.shape
    rows = slice(round(edges[1] * height), round(edges[3] * height))
    columns = slice(round(edges[0] * width), round(edges[2] * width))
    pasted = into.clone()
    pasted[:, rows, columns] = source[:, rows, columns]
    return pasted


def _inside(boxes: Tensor, edges: _Edges) -> Tensor:
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return (x >= edges[0]) & (x < edges[2]) & (y >= edges[1]) & (y < edges[3])
