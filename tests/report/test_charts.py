from __future__ import annotations

import pytest

from xkd.report.charts import Chart, Tick, draw_lines, draw_spans, ink, ticks
from xkd.statistics import Estimate


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.31, 0.78), [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
        ((0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
        ((-0.04, 0.06), [-0.04, -0.02, 0.0, 0.02, 0.04, 0.06]),
        ((1.0, 30.0), [0.0, 10.0, 20.0, 30.0]),
    ],
)
def test_ticks_are_round_and_enclose(ends: tuple[float, float], expected: list[float]) -> None:
    assert ticks(*ends) == pytest.approx(expected)


def test_lines_fill_the_area_and_skip_what_is_not_finite() -> None:
    drawn = draw_lines(Chart("", "", "", {"a": [(0, 0.0), (5, float("inf")), (10, 1.0)], "b": [(5, 0.5)], "c": []}))
    assert drawn.lines == {"a": "0.00,100.00 100.00,0.00", "b": "50.00,50.00 50.00,50.00"}
    assert drawn.y_ticks[0] == Tick(100.0, "0")
    assert drawn.x_ticks[-1] == Tick(100.0, "10")


def test_a_chart_without_points_or_with_one() -> None:
    assert draw_lines(Chart("", "", "", {"a": [(1, float("nan"))]})).lines == {}
    assert draw_lines(Chart("", "", "", {"a": [(1, 3.0)]})).lines == {"a": "50.00,50.00 50.00,50.00"}


def test_spans_share_an_axis() -> None:
    undefined = Estimate(0.9, 0.0, 0.1, 5.0, defined=False)
    spans, axis = draw_spans([Estimate(0.5, 0.0, 0.25, 0.75), undefined, Estimate(0.9, 0.0, 0.0, 1.0)], scale=100)
    assert [tick.text for tick in axis] == ["0", "20", "40", "60", "80", "100"]
    assert spans[1] is None
    assert spans[0] is not None
    assert (spans[0].left, spans[0].width, spans[0].mean) == pytest.approx((25, 50, 50))
    assert draw_spans([undefined]) == ([None], [])


def test_eighteen_lines_and_a_guide_can_be_told_apart() -> None:
    chart = Chart("", "", "", {}, guide="diagonal")
    inks = [ink(str(place), chart, place) for place in range(18)]
    assert inks[:2] == ["c0 d0", "c1 d0"]
    assert len({*inks, ink("diagonal", chart, 3)}) == 19


def test_a_mark_has_its_name_beside_it_where_a_line_passes() -> None:
    chart = Chart("", "", "", {"front": [(0, 0.0), (10, 1.0)]}, marks={"best": (10, 1.0), "beaten": (5, 0.5), "broken": (1, float("nan"))})
    assert draw_lines(chart).marks == {"best": (100.0, 0.0, True), "beaten": (50.0, 50.0, False)}
