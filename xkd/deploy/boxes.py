"""From the dense output of an exported detector to boxes, with numpy alone: this file stands beside the ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def detections(
    output: NDArray[np.floating], score: float = 0.05, overlap: float = 0.6, most: int = 100, candidates: int = 1000
) -> list[Floats]:
    """Boxes (boxes, 6) of each image: x1 y1 x2 y2 as shares of its width and height, score, number of the class; by falling score.

    `output` is (images, places, 9 + classes). Places with a `score` of that or more count; of boxes of one class that overlap by more
    than `overlap` the best one stays; at most `most` in an image are chosen among the `candidates` best.
    """
    return [_of_image(one, score, overlap, most, candidates) for one in np.asarray(output, np.float32)]


def cells(places: NDArray[np.floating], frame: Sequence[int], of: Mapping[str, Any]) -> Iterator[list[str]]:
    """Of a table, for one image of `frame` (height, width, ...): corners in its pixels, class, score, as plan.json says in `of`."""
    for *edges, score, k in detections(places[None], **of["selection"])[0].tolist():
        if score >= of["shown"]:
            pixels = (edge * side for edge, side in zip(edges, (frame[1], frame[0]) * 2, strict=True))
            yield [*(f"{edge:.2f}" for edge in pixels), of["names"][int(k)], f"{score:.4f}"]


def _of_image(places: Floats, score: float, overlap: float, most: int, candidates: int) -> Floats:
    scores = np.sqrt(_sigmoid(places[:, 5:-4]) * _sigmoid(places[:, 4:5]))
    order = np.argsort(-scores.ravel(), kind="stable")[:candidates]
    order = order[scores.ravel()[order] >= score]
    place, label = np.divmod(order, scores.shape[1])
    boxes = places[place, :4].clip(0, 1)
    found = np.concatenate([boxes, scores[place, label][:, None], label[:, None].astype(np.float32)], 1)
    found = found[(found[:, 2:4] > found[:, :2]).all(1)]
    kept: list[Floats] = []
    for row in found:
        if len(kept) < most and all(row[5] != other[5] or _overlap(row, other) <= overlap for other in kept):
            kept.append(row)
    return np.array(kept, np.float32).reshape(-1, 6)


def _overlap(one: Floats, other: Floats) -> float:
    """Intersection over union."""
    shared = (np.minimum(one[2:4], other[2:4]) - np.maximum(one[:2], other[:2])).clip(0).prod()
    return float(shared / ((one[2:4] - one[:2]).prod() + (other[2:4] - other[:2]).prod() - shared))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-values)), np.float32)
