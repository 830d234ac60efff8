"""Which stages' features still fit place by place, by how far the pairs are apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from shape_pairs import check, make_set

from xkd.data.check.residual import Residual, Spread
from xkd.data.check.strides import least_cell, stride_findings


def residual(p95: float, measurable: int = 40) -> Residual:
    return Residual("rgb", "thermal", "rgb", 3.5, Spread(48, measurable, p95 / 2, p95, p95 / 2), Spread(47, 2, 20, 30, 20), (0, 0), ())


@pytest.mark.parametrize(
    ("p95", "severity", "words"),
    [
        (3.0, "note", "stages of stride 8, 16, 32 of frames at their own size, not 4"),
        (6.0, "note", "16, 32 of"),
        (10.0, "warning", "32 of"),
        (40.0, "warning", "no stage"),
    ],
)
def test_the_stages_that_fit_are_named(p95: float, severity: str, words: str) -> None:
    (finding,) = stride_findings(residual(p95))
    assert (finding.severity, finding.subject) == (severity, "registration")
    assert words in finding.text
    assert f"{p95:.1f} pixels of rgb apart" in finding.text


def test_an_edge_is_off_by_half_a_position_at_most() -> None:
    assert least_cell(residual(3.0)) == 6.0


def test_nothing_is_said_where_all_fit_or_nothing_was_measured() -> None:
    assert not stride_findings(residual(1.9))
    assert not stride_findings(residual(10.0, measurable=9))


def test_a_planted_shift_is_told_with_what_it_costs(tmp_path: Path) -> None:
    result = check(make_set(tmp_path / "shapes", (2.0, -3.0)))
    (text,) = [finding.text for finding in result.findings if "features fit place by place" in finding.text]
    assert "stages of stride 8, 16, 32" in text
