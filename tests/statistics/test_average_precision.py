from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xkd.statistics.average_precision import IGNORED, average_precision, match

Floats = NDArray[np.float64]
CLASSES = 3
SIDE = 200.0  # pixels of the made images: COCO's units do not matter, but for what its code rounds


def made(images: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Detections (N, 12, 6) and targets (N, 6, 5): found objects, shifted ones, wrong classes, inventions, and regions to ignore."""
    rng = np.random.default_rng(seed)
    detections, targets = np.full((images, 12, 6), -1.0), np.full((images, 6, 5), -1.0)
    for row in range(images):
        count = rng.integers(0, 6)
        corner = rng.uniform(0, 120, (count, 2))
        truth = np.concatenate([corner, corner + rng.uniform(10, 80, (count, 2)), rng.integers(CLASSES, size=(count, 1))], 1)
        if rng.random() < 0.3 and count:
            truth[0, 4] = IGNORED
        targets[row, :count] = truth
        shifted = truth[rng.random(count) < 0.8]
        shifted = shifted[:, :4] + rng.normal(0, 4, (len(shifted), 4)), shifted[:, 4]
        labels = np.where((rng.random(len(shifted[1])) < 0.15) | (shifted[1] < 0), rng.integers(CLASSES, size=len(shifted[1])), shifted[1])
        made_up = rng.uniform(0, 120, (rng.integers(0, 6), 2))
        boxes = np.concatenate([shifted[0], np.concatenate([made_up, made_up + rng.uniform(5, 80, made_up.shape)], 1)])
        labels = np.concatenate([labels, rng.integers(CLASSES, size=len(made_up))])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
        # few scores, so that many are equal
        scores = rng.integers(1, 20, len(boxes)) / 20
        detections[row, : len(boxes)] = np.concatenate([boxes, scores[:, None], labels[:, None]], 1)
    return detections, targets


def ours(detections: Floats, targets: Floats, weights: Floats | None = None) -> Floats:
    """(K, R, 10)"""
    weights = np.ones((1, len(targets))) if weights is None else weights
    return np.stack([average_precision(one, weights) for one in match(detections, targets, CLASSES)])


def theirs(detections: Floats, targets: Floats) -> Floats:
    """(K, 10) by pycocotools, a region to ignore as a crowd of every class."""
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    annotations: list[dict[str, Any]] = []
    for row, truth in enumerate(targets):
        for x1, y1, x2, y2, label in truth[truth[:, 4] != -1].tolist():
            for k in range(CLASSES) if label == IGNORED else [int(label)]:
                entry = {"image_id": row, "category_id": k + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
                annotations.append({"id": len(annotations) + 1, "iscrowd": int(label == IGNORED), **entry})
    results = [
        {"image_id": row, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for row, found in enumerate(detections)
        for x1, y1, x2, y2, score, label in found[found[:, 5] >= 0].tolist()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": row} for row in range(len(targets))],
            "annotations": annotations,
            "categories": [{"id": k + 1} for k in range(CLASSES)],
        }
        truth.createIndex()
        judge = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][..., 0, 2]  # (10, 101, K) of all areas, at most 100 detections
    value: Floats = np.where(precision.min(1) < 0, np.nan, precision.mean(1)).T
    return value


def test_it_is_that_of_pycocotools_on_200_images() -> None:
    detections, targets = made(200)
    np.testing.assert_allclose(ours(detections, targets)[:, 0], theirs(detections, targets), atol=1e-12)


def test_it_is_that_of_torchmetrics() -> None:
    pytest.importorskip("faster_coco_eval")
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    detections, targets = made(60, seed=1)
    targets[targets[..., 4] == IGNORED] = -1  # it has crowds of one class alone
    detections[..., 4] += np.random.default_rng(0).uniform(0, 0.01, detections.shape[:2])  # equal ones come in an order of its own
    metric = MeanAveragePrecision(backend="faster_coco_eval", class_metrics=True)
    for found, truth in zip(torch.from_numpy(detections), torch.from_numpy(targets), strict=True):
        found, truth = found[found[:, 5] >= 0], truth[truth[:, 4] >= 0]
        metric.update(
            [{"boxes": found[:, :4], "scores": found[:, 4], "labels": found[:, 5].long()}],
            [{"boxes": truth[:, :4], "labels": truth[:, 4].long()}],
        )
    reference = metric.compute()
    values = ours(detections, targets)[:, 0]
    # its 101 recalls are rounded to float32, so what reaches one exactly may miss it
    np.testing.assert_allclose(values.mean(1), reference["map_per_class"].numpy(), atol=1e-3)
    for place, name in ((slice(None), "map"), (0, "map_50"), (5, "map_75")):
        assert values[:, place].mean() == pytest.approx(float(reference[name]), abs=1e-3)


def test_weights_are_how_often_an_image_is_there() -> None:
    detections, targets = made(12, seed=2)
    counts = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), size=20).astype(float)
    weighted = ours(detections, targets, counts)
    for number, count in enumerate(counts.astype(int)):
        drawn = np.repeat(np.arange(12), count)
        np.testing.assert_allclose(weighted[:, number], ours(detections[drawn], targets[drawn])[:, 0], atol=1e-12)
    assert np.ptp(weighted[0, :, 0]) > 0


def test_by_hand_two_objects_of_which_one_is_found_second() -> None:
    targets = np.array([[[0, 0, 10, 10, 0], [20, 20, 30, 30, 0]]], float)
    found = np.array([[[50, 50, 60, 60, 0.9, 0], [0, 0, 10, 8, 0.8, 0], [-1] * 6]], float)
    value = average_precision(match(found, targets, 1)[0], np.ones((1, 1)))[0]
    # an overlap of 0.8, so right at the thresholds up to it: 51 of 101 recalls have precision 1/2
    np.testing.assert_allclose(value, [0.5 * 51 / 101] * 7 + [0.0] * 3)


def test_a_class_without_objects_is_undefined_and_one_that_nothing_found_is_zero() -> None:
    targets = np.array([[[0, 0, 10, 10, 0], [0, 0, 10, 10, -1]]], float)
    found = np.array([[[0, 0, 10, 10, 0.9, 1]]], float)
    first, second = match(found, targets, 2)
    assert (average_precision(first, np.ones((1, 1))) == 0).all()
    assert np.isnan(average_precision(second, np.ones((1, 1)))).all()
    assert np.isnan(average_precision(first, np.zeros((1, 1)))).all(), "a resample without its image"


def test_what_is_found_within_a_region_to_ignore_is_neither_right_nor_wrong() -> None:
    targets = np.array([[[0, 0, 10, 10, 0], [40, 40, 90, 90, IGNORED]]], float)
    found = np.array([[[50, 50, 60, 60, 0.9, 0], [0, 0, 10, 10, 0.8, 0]]], float)
    [matched] = match(found, targets, 1)
    np.testing.assert_allclose(average_precision(matched, np.ones((1, 1))), 1.0)
    targets[0, 1, 4] = -1
    [matched] = match(found, targets, 1)
    np.testing.assert_allclose(average_precision(matched, np.ones((1, 1))), 0.5)
