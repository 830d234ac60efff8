from __future__ import annotations

import pytest

from xkd.graph.schedules import Cosine, Ramp, StopAt


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0.0), (2, 0.0), (3, 0.5), (4, 1.0), (6, 2.0), (9, 2.0)])
def test_a_ramp_grows_linearly_and_then_stays(epoch: float, weight: float) -> None:
    assert Ramp(2.0, 2, 6)(epoch) == pytest.approx(weight)


@pytest.mark.parametrize(("epoch", "weight"), [(2.9, 0.0), (3, 0.0), (3.001, 5.0)])
def test_a_ramp_of_no_length_is_a_switch(epoch: float, weight: float) -> None:
    assert Ramp(5.0, 3, 3)(epoch) == pytest.approx(weight)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 4.0), (10, 4.0), (15, 4 - 3 * 0.1464466), (20, 2.5), (30, 1.0), (99, 1.0)])
def test_a_cosine_falls_slowly_at_both_ends(epoch: float, weight: float) -> None:
    assert Cosine(4.0, 10, 30, final=1.0)(epoch) == pytest.approx(weight)


def test_a_term_may_stop() -> None:
    assert [StopAt(0.5, 3)(epoch) for epoch in (0, 2.99, 3, 7)] == [0.5, 0.5, 0, 0]
    assert [StopAt(Ramp(2.0, 0, 4), 3)(epoch) for epoch in (1, 2, 3)] == [0.5, 1.0, 0]


@pytest.mark.parametrize("schedule", [Ramp, Cosine])
def test_none_ends_before_it_starts(schedule: type[Ramp] | type[Cosine]) -> None:
    with pytest.raises(ValueError, match=r"(ramp|cosine)'s end must not lie before its start, got start=5, end=2"):
        schedule(1.0, 5, 2)
