"""The finding on where the student looks: ratio and difference with their intervals and p, and which sentence comes first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from xkd import statistics
from xkd.statistics import LIFT, Comparison, Measures, Purpose, mean_score, summarise
from xkd.tasks import Classification

ACCURACY = Measures(main=(Classification(("a", "b", "c")).measures().named("accuracy"),))
STEERED = Purpose("attention", "steered")
ROWS = 60


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.statistics.bootstrap.NUM_RESAMPLES", 200)


def answered(right: float, lift: float | None, seed: int) -> statistics.TestRun:
    """Rows of which a share is right, hardest ones last; two thirds have a mask, and attention on it, over chance, about `lift`."""
    rng = np.random.default_rng(seed)
    hardness = np.random.default_rng(9).permutation(ROWS) / ROWS
    target, rows = np.arange(ROWS) % 3, np.arange(ROWS).astype(str)
    answers = np.where(hardness < right + 0.02 * (seed % 10 % 2), target, (target + 1) % 3)
    scores = {}
    if lift is not None:
        spread = np.random.default_rng(7).uniform(0.5, 1.5, ROWS) * rng.uniform(0.95, 1.05)
        scores[LIFT] = np.where(np.arange(ROWS) % 3 > 0, lift * spread, np.nan)
    return statistics.TestRun(rows, np.eye(3, dtype=np.float32)[answers], target, rows, scores)


def compared(seeds: int = 3, **arms: tuple[float, float | None]) -> Comparison:
    """What share is right, and attention over chance, by arm."""
    made = {}
    for place, (name, (right, lift)) in enumerate(arms.items()):
        made[name] = [answered(right, lift, seed + 10 * place) for seed in range(seeds)]
    return Comparison(made)


def found(comparison: Comparison, purpose: Purpose = STEERED, teacher: str = "") -> statistics.Summary:
    return summarise(comparison, ACCURACY, "accuracy", teacher, has_pairs=False, purpose=purpose)


def test_the_ratio_is_that_of_the_means_and_its_test_is_of_logarithms() -> None:
    comparison = compared(alone=(0.6, 2.0), distilled=(0.6, 6.0))
    per_seed = {arm: [np.nanmean(run.scores[LIFT]) for run in runs] for arm, runs in comparison.arms.items()}
    summary = found(comparison)
    assert summary.attention is not None
    moved = summary.attention.moved
    assert moved.ratio.mean == pytest.approx(np.mean(per_seed["distilled"]) / np.mean(per_seed["alone"]))
    assert moved.ratio.low < moved.ratio.mean < moved.ratio.high
    assert moved.difference.mean == pytest.approx(moved.value.mean - summary.attention.alone.mean)
    assert moved.ratio_p == pytest.approx(ttest_rel(*(np.log(per_seed[arm]) for arm in ("distilled", "alone"))).pvalue)
    assert moved.difference_p == pytest.approx(ttest_rel(per_seed["distilled"], per_seed["alone"]).pvalue)
    assert np.isnan(compared(1, alone=(0.6, 2.0), distilled=(0.6, 6.0)).ratio_test("distilled", "alone", mean_score(LIFT))), "one seed"


def test_a_ratio_to_what_may_be_nothing_has_no_end() -> None:
    lift = mean_score(LIFT)
    comparison = compared(alone=(0.6, 0.0), distilled=(0.6, 6.0))
    assert not comparison.ratio("distilled", "alone", lift).defined
    assert np.isnan(comparison.ratio_test("distilled", "alone", lift))
    assert comparison.ratio("alone", "distilled", lift).mean == 0
    text = found(comparison).finding
    assert text.startswith("Attention on the masked region changes by +")
    assert "no ratio, since the student alone may have none there" in text


CASES: dict[str, tuple[dict[str, tuple[float, float | None]], list[str], list[str]]] = {
    "more": (
        {"alone": (0.6, 2.0), "distilled": (0.6, 6.0)},
        [
            "Attention falls on the masked region 3.",
            "as often as the student alone's (over chance 2.",
            ", p = ",
            "), and accuracy changes by +0.0",
        ],
        ["No evidence", "suggestive", "But", "gain"],
    ),
    "more, and better": (
        {"alone": (0.4, 2.0), "distilled": (0.8, 6.0), "smoothed": (0.9, 2.0)},
        ["), and accuracy is better: +", "But beyond smoothed labels it is "],
        ["No evidence"],
    ),
    "more, but worse": ({"alone": (0.8, 2.0), "distilled": (0.4, 6.0)}, ["), but accuracy is worse: -"], ["better"]),
    "less": (
        {"alone": (0.6, 6.0), "distilled": (0.6, 2.0), "shuffled_masks": (0.6, 2.0)},
        ["Attention falls less on the masked region: 0.3"],
        ["No evidence", "But"],
    ),
    "no more": (
        {"alone": (0.6, 2.0), "distilled": (0.6, 2.01)},
        ["No evidence that attention moves to the masked region: it falls there 1.0"],
        [],
    ),
    "other masks do as much": (
        {"alone": (0.6, 2.0), "distilled": (0.6, 6.0), "shuffled_masks": (0.6, 6.5)},
        ["But beyond masks of other rows attention is 0.9", ": not shown to be what the masks show."],
        [],
    ),
    "nobody asked": (
        {"alone": (0.6, None), "distilled": (0.6, None)},
        ["Where the student looks was not measured", "No evidence of a gain: steered against"],
        [],
    ),
    "no row has a mask": ({"alone": (0.6, np.nan), "distilled": (0.6, np.nan)}, ["Where the student looks was not measured"], ["nan"]),
}


@pytest.mark.parametrize(("arms", "said", "unsaid"), CASES.values(), ids=list(CASES))
def test_a_run_that_steers_says_first_where_the_student_looks(arms: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    text = found(compared(**arms)).finding
    assert not [part for part in said if part not in text], text
    assert not [part for part in unsaid if part in text], text


def test_few_seeds_make_a_sign_and_no_proof() -> None:
    text = found(compared(1, alone=(0.6, 2.0), distilled=(0.6, 6.0))).finding
    assert text.endswith("(One seed: suggestive, not conclusive.)")


def test_any_other_run_keeps_its_sentence_and_says_where_the_student_looks_in_a_second_one() -> None:
    arms = {"teacher": (0.9, 2.0), "alone": (0.5, 2.0), "distilled": (0.75, 6.0), "masks": (0.5, 8.0)}
    text = found(compared(3, **arms), Purpose(), "teacher").finding
    first, second, third = text.split(". ")
    assert first.startswith("The distilled student is better than the student alone by +")
    assert second.startswith("Attention falls on the masked region 3.")
    assert "accuracy" not in second
    assert third.startswith("But beyond masks alone attention is 0.7")
    unmeasured = {name: (right, None) for name, (right, _) in arms.items()}
    assert "ttention" not in found(compared(3, **unmeasured), Purpose(), "teacher").finding


@pytest.mark.parametrize(("teacher", "how"), [(0.5, "not clearly better"), (0.2, "worse")])
def test_a_teacher_that_is_no_better_has_no_gap_and_what_is_left_is_said(teacher: float, how: str) -> None:
    arms = {"teacher": (teacher, None), "alone": (0.5, None), "distilled": (0.75, None), "shuffled": (0.5, None)}
    text = found(compared(3, **arms), Purpose(), "teacher").finding
    assert text.startswith("The distilled student is better than the student alone by +")
    assert f"The teacher is {how} than the student alone (" in text
    assert "so there is no gap to share; what is left to go by is the gain, and distilled minus shuffled pairs, +" in text
    alone = {**arms, "distilled": (0.5, None)}
    assert "there is no gap to share" in found(compared(3, **alone), Purpose(), "teacher").finding, "without a gain too"
    arms.pop("shuffled")
    assert found(compared(3, **arms), Purpose(), "teacher").finding.endswith("what is left to go by is the gain.")
    better = {**arms, "teacher": (0.9, None)}
    assert "no gap" not in found(compared(3, **better), Purpose(), "teacher").finding
