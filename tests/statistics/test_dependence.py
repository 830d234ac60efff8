"""Dependence beyond the class: found where it is, not found where only the class is shared, with p-values that are even under the null."""

from __future__ import annotations

import numpy as np
import pytest

from xkd.statistics.dependence import dependence_within


def readings(shared: float, rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two readings with strong class means, and `shared` of one hidden number within the classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(rows) % 3
    hidden = rng.normal(size=(rows, 1))
    one, other = (rng.normal(size=(rows, 4)) + 5 * np.eye(4)[classes] for _ in range(2))
    one[:, :1] += shared * hidden
    other[:, 2:3] += shared * hidden
    return one, other, classes


def test_what_is_shared_beyond_the_class_is_found() -> None:
    dependence = dependence_within(*readings(2.0))
    assert dependence.p == pytest.approx(0.001)
    assert dependence.cka > 3 * dependence.chance


def test_the_class_alone_is_no_dependence() -> None:
    ps = [dependence_within(*readings(0.0, seed=seed)).p for seed in range(30)]
    assert np.mean(np.array(ps) < 0.05) < 0.2
    assert 0.3 < np.mean(ps) < 0.7
    one, other, classes = readings(0.0)
    assert dependence_within(one, other, np.zeros_like(classes)).p < 0.01, "without the condition the class would count"


def test_nothing_within_the_classes_is_undefined() -> None:
    one, _, classes = readings(0.0)
    assert np.isnan(dependence_within(one, np.eye(3)[classes], classes).p)
    with pytest.raises(ValueError, match="the same rows; got 120, 119 and 120 classes"):
        dependence_within(one, one[1:], classes)
