"""Frames of two clocks: partners are each other's nearest, and an offset is found or refused."""

from __future__ import annotations

import numpy as np
import pytest

from xkd.data.prepare.offset import estimate_offset, match

PLANTED = 0.37


def uneven(seed: int, count: int = 200) -> np.ndarray:
    """Frames about ten times a second, with intervals that differ by a third."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.05, 0.15, count))


def test_partners_are_each_others_nearest_within_the_tolerance() -> None:
    anchor, other = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.9, 1.2, 2.04, 9.0])
    assert match(anchor, other, 0.15) == [(1, 0), (2, 2)]
    assert match(anchor, other, 0.05) == [(2, 2)]
    assert match(anchor, np.array([]), 0.5) == []
    assert match(anchor, np.array([2.9]), 0.5) == [(3, 0)]


@pytest.mark.parametrize("seed", range(20))
def test_no_frame_is_used_twice_and_no_nearer_partner_was_free(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchor, other = np.sort(rng.uniform(0, 10, 80)), np.sort(rng.uniform(0, 10, 130))
    pairs = match(anchor, other, 0.1)
    assert len({one for one, _ in pairs}) == len({two for _, two in pairs}) == len(pairs) > 20
    distance = np.abs(anchor[:, None] - other)
    for one, two in pairs:
        assert distance[one, two] == distance[one].min() == distance[:, two].min() <= 0.1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dropped", [0.0, 0.3])
def test_a_planted_offset_is_found_in_spite_of_jitter_and_dropped_frames(seed: int, dropped: float) -> None:
    rng = np.random.default_rng(seed)
    anchor = uneven(seed)
    other = anchor - PLANTED + rng.normal(0, 0.004, len(anchor))
    other = np.sort(other[rng.random(len(other)) >= dropped])
    best, second = estimate_offset(anchor, other, 0.03, 0.0, 2.0)
    assert best.shift == pytest.approx(PLANTED, abs=0.002)
    assert best.matches > 0.95 * len(other)
    assert best.residual < 0.005
    assert second.matches < best.matches
    assert abs(second.shift - best.shift) > 0.02


def test_a_search_begins_where_it_is_told() -> None:
    anchor = uneven(0) + 1.7e9
    best, _ = estimate_offset(anchor, uneven(0) - PLANTED, 0.03, 1.7e9, 2.0)
    assert best.shift - 1.7e9 == pytest.approx(PLANTED, abs=1e-3)


@pytest.mark.parametrize("tolerance", [0.02, 0.2])
def test_an_even_frame_rate_is_ambiguous(tolerance: float) -> None:
    anchor = np.arange(300) / 10 + np.random.default_rng(0).normal(0, 0.002, 300)
    other = anchor - PLANTED + np.random.default_rng(1).normal(0, 0.002, 300)
    with pytest.raises(ValueError, match=r"the offset is ambiguous: \+0\.\d+ s \(\d+ matches, median residual .* ms\), but also"):
        estimate_offset(anchor, other, tolerance, 0.0, 2.0)


@pytest.mark.parametrize(
    ("shift", "reach", "message"),
    [(9.0, 1e-2, "no offset within 0.01 s of 0 s gives 5 matches"), (0.5, 0.49, "lies at the end of the search"), (0, 1e6, "is too long")],
)
def test_a_search_that_cannot_answer_says_so(shift: float, reach: float, message: str) -> None:
    anchor = uneven(0)
    other = anchor[:6] - shift if message.startswith("no") else anchor - shift
    if message.startswith("no"):
        other = anchor[-1:] + 5.0 + np.arange(3.0)
    with pytest.raises(ValueError, match=message):
        estimate_offset(anchor, other, 0.03, 0.0, reach)


def test_unrelated_clocks_have_no_offset() -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        estimate_offset(uneven(0), uneven(1), 0.03, 0.0, 2.0)
