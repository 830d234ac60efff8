"""The tables of the page: what stands beside a number, and what is shown where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from xkd import statistics
from xkd.evidence.page import write as page
from xkd.evidence.page.tables import LIFT_CHANGE, TIMES_ALONE, flat_maps, tables
from xkd.tasks import Classification

CLASSES = ("blank", "disc", "bar")


def answered(right: int, seed: int, **scores: float) -> statistics.TestRun:
    """Sixty rows, so many of them right."""
    rows = np.arange(60).astype(str)
    answers = np.where(np.random.default_rng(seed).permutation(60) < right, np.arange(60) % 3, (np.arange(60) + 1) % 3)
    columns = {name: np.full(60, score) for name, score in scores.items()}
    return statistics.TestRun(rows, np.eye(3, dtype=np.float32)[answers], np.arange(60) % 3, rows, columns)


def summary_of(shuffled: tuple[int, int, int] = (20, 21, 22), **scores: float) -> statistics.Summary:
    right = {"teacher": (58, 57, 58), "alone": (30, 31, 30), "distilled": (51, 50, 51), "shuffled": shuffled}
    arms = {name: [answered(number, seed, **scores) for seed, number in enumerate(of)] for name, of in right.items()}
    return statistics.summarise(statistics.Comparison(arms), Classification(CLASSES).measures(), "accuracy", "teacher")


def test_the_change_against_the_student_alone_is_a_column() -> None:
    overall = tables(summary_of(), "rows", "teacher")[0]
    assert [metric.heading for metric in overall.metrics][:2] == ["accuracy, %", "accuracy minus student alone, points"]
    assert "paired t-test" in overall.note


def test_a_check_that_has_no_answer_is_shown_and_one_that_was_not_asked_is_not() -> None:
    nan = float("nan")
    summary = summary_of(epg=0.5, epg_lift=2.0, iou=nan, randomised=nan, insertion=nan)
    made = {table.title: table for table in tables(summary, "rows", "teacher")}
    assert [metric.key for metric in made["Whether the maps can be trusted"].metrics] == ["randomised"]
    assert [metric.key for metric in made["Where it looks"].metrics] == ["epg", "epg_lift", TIMES_ALONE, LIFT_CHANGE, "iou"]
    unmasked = tables(summary_of(epg=nan, iou=nan, randomised=0.1), "rows", "teacher")
    assert "Where it looks" not in {table.title for table in unmasked}
    plain = {table.title for table in tables(summary_of(), "rows", "teacher")}
    assert not plain & {"Whether the maps can be trusted", "Where it looks"}


def test_how_many_maps_are_flat() -> None:
    undefined = {"epg": 0.2, "iou": 0.4, "insertion": 0.5, "randomised": 0.75}
    assert flat_maps(undefined) == {"iou": "25 % undefined (flat)", "randomised": "50 % undefined (flat)"}
    assert flat_maps({**undefined, "iou": 0.2, "randomised": 0.5}) == {}
    assert flat_maps({}) == {}


@pytest.mark.parametrize(("shuffled", "verdict"), [((20, 21, 22), "gain"), ((45, 46, 44), "none")], ids=["no gain", "a gain too"])
def test_a_control_takes_the_colour_away(shuffled: tuple[int, int, int], verdict: str) -> None:
    assert page.headline(summary_of(shuffled)).verdict == verdict


@pytest.mark.parametrize(
    ("lifts", "right", "verdict"),
    [
        ((2.0, 6.0, 3.0), 30, "gain"),
        ((2.0, 6.0, 6.0), 30, "none"),
        ((2.0, 2.0, 2.0), 30, "none"),
        ((6.0, 2.0, 2.0), 30, "loss"),
        ((2.0, 6.0, 3.0), 5, "loss"),
    ],
    ids=["more", "no more than by masks of other rows", "no more", "less", "more, and worse answers"],
)
def test_the_colour_of_a_run_that_steers(lifts: tuple[float, float, float], right: int, verdict: str) -> None:
    named = dict(zip(("alone", "distilled", "shuffled_masks"), zip((30, right, 30), lifts, strict=True), strict=True))
    arms = {name: [answered(number, seed, epg_lift=lift) for seed in (0, 1)] for name, (number, lift) in named.items()}
    measures = statistics.Measures(main=Classification(CLASSES).measures().main[:1])
    purpose = statistics.Purpose("attention", "steered")
    summary = statistics.summarise(statistics.Comparison(arms), measures, measures.main[0].name, "", has_pairs=False, purpose=purpose)
    headline = page.headline(summary, taught=False)
    assert headline.verdict == verdict
    assert {control.note.split(" against")[0] for control in headline.controls} == {"steered"}
