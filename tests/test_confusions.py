"""tools/confusions.py: classes whose probabilities rise together are one group."""

from __future__ import annotations

import numpy as np
import pytest

from tools.confusions import groups_of


def answers(groups: list[list[int]], rows: int = 400) -> np.ndarray:
    """Each row is of one group, and its probability is spread over that group by chance."""
    rng, said = np.random.default_rng(0), []
    for row in range(rows):
        group = groups[row % len(groups)]
        shares = np.full(sum(map(len, groups)), 0.01)
        shares[group] += rng.dirichlet(np.ones(len(group))) if len(group) > 1 else 1.0
        said.append(shares / shares.sum())
    return np.array(said)


def test_groups_are_found_whatever_their_order() -> None:
    probabilities = answers([[0, 3], [1], [2, 5, 4]])
    assert groups_of(probabilities, tuple("abcdef"), 3) == [("a", "d"), ("c", "e", "f")]  # b is of no group
    order = [5, 0, 2, 4, 1, 3]
    assert groups_of(probabilities[:, order], tuple("facebd"), 3) == [("a", "d"), ("f", "c", "e")]


def test_a_class_that_is_never_said_is_like_no_other() -> None:
    probabilities = np.insert(answers([[0, 1], [2]]), 3, 0.0, axis=1)
    assert groups_of(probabilities, tuple("abcd"), 3) == [("a", "b")]


def test_bad_questions_name_what_is_legal() -> None:
    with pytest.raises(ValueError, match=r"--groups is at least 1 and below the number of classes, 3, got 3"):
        groups_of(answers([[0, 1], [2]]), tuple("abc"), 3)
    with pytest.raises(ValueError, match=r"one per row: 3 of them, got \(400, 3, 2, 2\)"):
        groups_of(np.zeros((400, 3, 2, 2)), tuple("abc"), 2)
