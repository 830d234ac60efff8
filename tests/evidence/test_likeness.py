"""Which readings of student and teacher are compared for their likeness."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs

from xkd.evidence.likeness import tap_pairs


def test_outputs_and_taps_that_a_term_compares(tmp_path: Path) -> None:
    text = runs.STUDENT.replace("weights=dict(type=Random))", 'weights=dict(type=Random), taps=dict(deep=dict(type=Tap, path="deep")))', 1)
    text = text.replace("frozen=True", 'frozen=True, taps=dict(deep=dict(type=Tap, path="deep"))', 1).replace(
        "terms=dict(",
        'terms=dict(deep=dict(type=Term, loss=dict(type=KD), student="rgb.deep", teacher="thermal.deep"),'
        ' again=dict(type=Term, loss=dict(type=KD), student="rgb.deep", teacher="thermal.deep"),'
        ' both=dict(type=Term, loss=dict(type=KD), student=("rgb.deep", "rgb.output"), teacher=("thermal.deep", "thermal.output")), ',
        1,
    )
    config = runs.load_config(runs.write(tmp_path, student=text))
    assert [tuple(map(str, pair)) for pair in tap_pairs(config, "rgb", {"thermal"})] == [
        ("rgb.deep", "thermal.deep"),
        ("rgb.output", "thermal.output"),
    ]
    assert tap_pairs(config, "rgb", set()) == []
