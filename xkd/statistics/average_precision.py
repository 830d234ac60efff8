"""Average precision of boxes as COCO measures it, in a form that a resample of the images costs a matrix product.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, arXiv:1405.0312, and the code of its evaluation: 101 recalls, overlaps
0.5, 0.55, ..., 0.95, detections matched by falling score, at most 100 of a class in an image. Torchmetrics gives the numbers of one test
split; an interval needs those of thousands of resamples, which are the same numbers with weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

OVERLAPS: Final = np.linspace(0.5, 0.95, 10)
MOST: Final = 100  # detections of a class in an image
IGNORED: Final = -2  # class of a region within which nothing is right or wrong
_RECALLS: Final = np.linspace(0.0, 1.0, 101)
_SMALLEST: Final = np.spacing(1)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matched:
    """The detections of one class in all images, by falling score, and whether each is right at each of `OVERLAPS`."""

    image: NDArray[np.int64]  # (D,) which image each is in
    right: NDArray[np.bool_]  # (10, D)
    wrong: NDArray[np.bool_]  # (10, D); what is neither is ignored
    objects: Floats  # (N,) objects of the class in each image


def match(detections: Floats, targets: Floats, num_classes: int) -> list[Matched]:
    """By class, of detections (N, ..., 6): x1 y1 x2 y2 score class, and targets (N, ..., 5): x1 y1 x2 y2 class; class -1 pads.

    Within a target of class -2 detections are neither right nor wrong. Coordinates are in any unit, the same for both.
    """
    matched = []
    for k in range(num_classes):
        images, scores, judged, objects = [], [], [], np.zeros(len(targets))
        for number, (found, truth) in enumerate(zip(detections, targets, strict=True)):
            own = found[found[:, 5] == k]
            own = own[np.argsort(-own[:, 4], kind="stable")][:MOST]
            objects[number] = (truth[:, 4] == k).sum()
            images.append(np.full(len(own), number))
            scores.append(own[:, 4])
            judged.append(verdicts(own, truth, k))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        verdict = np.concatenate(judged, axis=1)[:, order]
        matched.append(Matched(np.concatenate(images)[order], verdict == 1, verdict == 0, objects))
    return matched


def average_precision(matched: Matched, weights: Floats) -> Floats:
    """(R, 10) at each of `OVERLAPS`, where image n counts `weights` (R, N) times; not a number where no object of the class is left."""
    total = weights @ matched.objects
    values = [_average_precision(matched, place, weights, total) for place in range(len(OVERLAPS))]
    return np.stack(values, axis=1)


def _average_precision(matched: Matched, place: int, weights: Floats, total: Floats) -> Floats:
    right = np.flatnonzero(matched.right[place])
    # precision falls between two right detections, so it is needed at these alone: what is wrong before each, by image
    before = np.zeros((len(matched.objects), len(right)))
    false = np.flatnonzero(matched.wrong[place])
    later = np.searchsorted(right, false)  # the first right detection that comes after
    inside = later < len(right)
    np.add.at(before, (matched.image[false][inside], later[inside]), 1)
    wrong = weights @ before.cumsum(1)
    hits = weights[:, matched.image[right]].cumsum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / total[:, None]
    precision = hits / (hits + wrong + _SMALLEST)
    ceiling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(_RECALLS, recall, side="right")
    steps = np.diff(reached, axis=1, prepend=0)
    area: Floats = (ceiling * steps).sum(1) / len(_RECALLS)
    return np.where(total > 0, area, np.nan)


def verdicts(found: Floats, truth: Floats, k: int) -> NDArray[np.int8]:
    """(10, D) of one image's detections of class `k` by falling score: 1 right, 0 wrong, -1 within a region to ignore."""
    boxes, regions = truth[truth[:, 4] == k, :4], truth[truth[:, 4] == IGNORED, :4]
    verdict = np.zeros((len(OVERLAPS), len(found)), np.int8)
    free = np.ones((len(OVERLAPS), len(boxes)), bool)
    shared = _shared(found, boxes)
    whole = _area(found)[:, None] + _area(boxes)[None] - shared
    overlaps = shared / np.maximum(whole, _SMALLEST)
    inside = (_shared(found, regions) / np.maximum(_area(found), _SMALLEST)[:, None]).max(1, initial=0.0)
    for place in range(len(found)):
        candidates = np.where(free & (overlaps[place] >= OVERLAPS[:, None]), overlaps[place], -1.0)
        if len(boxes):
            # of equal ones the last, as in COCO's code
            best = len(boxes) - 1 - candidates[:, ::-1].argmax(1)
            hit = candidates[np.arange(len(OVERLAPS)), best] >= 0
            free[np.flatnonzero(hit), best[hit]] = False
            verdict[hit, place] = 1
        verdict[(verdict[:, place] == 0) & (inside[place] >= OVERLAPS), place] = -1
    return verdict


def _shared(one: Floats, other: Floats) -> Floats:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:4], other[None, :, 2:4])
    shared: Floats = (high - low).clip(0).prod(2)
    return shared


def _area(boxes: Floats) -> Floats:
    area: Floats = (boxes[:, 2:4] - boxes[:, :2]).prod(1)
    return area
