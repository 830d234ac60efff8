"""The evidence: metrics against literal code, paired and clustered intervals, the share of the gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from core_models import measures_of, metrics_of
from numpy.typing import NDArray

from xkd import statistics
from xkd.statistics import Comparison, Measures, mean_score
from xkd.statistics.cka import linear_cka
from xkd.tasks import Classification, Segmentation
from xkd.tasks.class_counts import ClassCounts

THREE = Classification(("a", "b", "c"))
METRICS = {measure.name: measure.statistic for measure in THREE.measures().main}
confusion, confidence_bins, fidelity = ClassCounts().confusion, ClassCounts().confidence_bins, ClassCounts().fidelity


def summarise(
    comparison: Comparison, metric: str, teacher: str, measures: Measures | None = None, has_pairs: bool = True
) -> statistics.Summary:
    return statistics.summarise(comparison, measures or THREE.measures(), metric, teacher, has_pairs)


def calibration_error(of: statistics.TestRun) -> float:
    (measure,) = measures_of(of).aside
    return measure.statistic(of)


def run(target: Any, predicted: Any, clusters: Any = None, classes: int = 3, **scores: Any) -> statistics.TestRun:
    target, predicted = np.asarray(target), np.asarray(predicted)
    probabilities = (np.eye(classes)[predicted] if target.ndim == 1 else predicted).astype(np.float32)
    names = np.array([str(name) for name in (range(len(target)) if clusters is None else clusters)])
    columns = {name: np.asarray(score, float) for name, score in scores.items()}
    return statistics.TestRun(np.arange(len(target)).astype(str), probabilities, target, names, columns)


def value(name: str, of: statistics.TestRun) -> float:
    return Comparison({"a": [of]}).estimate("a", metrics_of(of)[name]).mean


def f1(truth: NDArray[Any], answer: NDArray[Any]) -> float:
    hits, wrong = int((truth & answer).sum()), int((truth ^ answer).sum())
    return 2 * hits / (2 * hits + wrong)


def test_single_label_metrics() -> None:
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(3, size=50), rng.integers(3, size=50)
    one = run(target, predicted)
    assert value("accuracy", one) == pytest.approx(np.mean(target == predicted))
    assert value("balanced_accuracy", one) == pytest.approx(np.mean([np.mean(predicted[target == k] == k) for k in range(3)]))
    assert value("macro_f1", one) == pytest.approx(np.mean([f1(target == k, predicted == k) for k in range(3)]))


def test_a_class_that_neither_occurs_nor_is_predicted_counts_for_nothing() -> None:
    one = run([0, 0, 1, 1], [0, 1, 1, 1])
    assert value("balanced_accuracy", one) == pytest.approx(0.75)
    assert value("macro_f1", one) == pytest.approx((2 / 3 + 4 / 5) / 2)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_multi_label_metrics(classes: int) -> None:
    rng = np.random.default_rng(1)
    target, probabilities = rng.integers(2, size=(40, classes)), rng.random((40, classes))
    one, answer = run(target, probabilities), probabilities > 0.5
    truth = target.astype(bool)
    assert value("accuracy", one) == pytest.approx(np.mean(truth == answer))
    recalled, rejected = ([(answer[of[:, k], k] == yes).mean() for k in range(classes)] for of, yes in ((truth, True), (~truth, False)))
    assert value("balanced_accuracy", one) == pytest.approx((np.mean(recalled) + np.mean(rejected)) / 2)
    assert value("macro_f1", one) == pytest.approx(np.mean([f1(truth[:, k], answer[:, k]) for k in range(classes)]))


def test_who_says_yes_to_every_label_has_half_of_the_balanced_accuracy() -> None:
    target = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]])
    assert value("balanced_accuracy", run(target, np.ones((3, 3)))) == pytest.approx(0.5)
    assert value("balanced_accuracy", run(target, 1.0 * target)) == 1
    missed = np.where([False, False, True], 0.0, target)
    assert value("balanced_accuracy", run(target, missed)) == 1, "a label that every row has tells nothing"


def test_estimates_agree_with_torchmetrics() -> None:
    """torchmetrics' own, which count a class that no row has as 0; here all occur."""
    import torch
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    rng = np.random.default_rng(2)
    target, probabilities = rng.integers(3, size=60), rng.random((60, 3)).astype(np.float32)
    metrics = {
        "accuracy": MulticlassAccuracy(3, average="micro"),
        "balanced_accuracy": MulticlassAccuracy(3, average="macro"),
        "macro_f1": MulticlassF1Score(3, average="macro"),
    }
    one = statistics.TestRun(np.arange(60).astype(str), probabilities, target, np.arange(60).astype(str))
    for name, metric in metrics.items():
        expected = metric(torch.from_numpy(probabilities), torch.from_numpy(target))
        assert value(name, one) == pytest.approx(float(expected), abs=1e-6)


def test_confusion_counts_rows_by_truth() -> None:
    assert confusion(run([0, 0, 2], [0, 1, 2])).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def resampled(rows: NDArray[np.float64], clusters: NDArray[Any], rng: np.random.Generator) -> tuple[float, float]:
    """Literal bootstrap of a mean over clusters."""
    names = np.unique(clusters)
    drawn = []
    for _ in range(2000):
        chosen = rng.choice(names, size=len(names))
        drawn.append(np.concatenate([rows[clusters == name] for name in chosen]).mean())
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


@pytest.fixture
def correlated() -> statistics.TestRun:
    """Twenty images with ten crops each, all right or all wrong."""
    images = np.repeat(np.arange(20), 10)
    return run(np.zeros(200, int), (images % 4 == 0).astype(int), images)


def test_intervals_are_the_bootstraps() -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(150, size=600)
    one = run(np.zeros(600, int), (rng.random(600) + 0.4 * (images % 3 == 0) > 0.7).astype(int), images)
    estimate = Comparison({"a": [one]}).estimate("a", METRICS["accuracy"])
    rows = (one.predictions.argmax(1) == 0).astype(float)
    low, high = resampled(rows, one.clusters, np.random.default_rng(3))
    assert estimate.mean == pytest.approx(rows.mean())
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.006)


def test_clusters_widen_the_interval(correlated: statistics.TestRun) -> None:
    by_row = replace(correlated, clusters=correlated.rows)
    clustered, naive = (Comparison({"a": [one]}).estimate("a", METRICS["accuracy"]) for one in (correlated, by_row))
    assert clustered.high - clustered.low > 2.5 * (naive.high - naive.low)


def noisy(accuracy: float, rows: int = 400, seed: int = 0) -> statistics.TestRun:
    """Right in this share of rows, those that are hardest wrong in every run: paired differences are small."""
    hardness = np.random.default_rng(9).permutation(rows) / rows
    target = np.arange(rows) % 3
    return run(target, np.where(hardness + 0.01 * seed < accuracy, target, (target + 1) % 3))


def test_differences_are_paired() -> None:
    comparison = Comparison({"a": [noisy(0.8)], "b": [noisy(0.75)]})
    difference = comparison.difference("a", "b", METRICS["accuracy"])
    a, b = (comparison.estimate(name, METRICS["accuracy"]) for name in "ab")
    assert difference.mean == pytest.approx(0.05, abs=0.003)
    assert 0 < difference.low < difference.mean < difference.high
    unpaired = np.hypot(a.high - a.low, b.high - b.low)
    assert difference.high - difference.low < 0.7 * unpaired


def test_seeds_are_averaged_and_spread() -> None:
    runs = [noisy(0.8, seed=seed) for seed in range(3)]
    estimate = Comparison({"a": runs}).estimate("a", METRICS["accuracy"])
    each = [value("accuracy", one) for one in runs]
    assert estimate.mean == pytest.approx(np.mean(each))
    assert estimate.std == pytest.approx(np.std(each, ddof=1))


def three(alone: float, distilled: float, teacher: float) -> Comparison:
    return Comparison({"teacher": [noisy(teacher)], "alone": [noisy(alone)], "distilled": [noisy(distilled)], "shuffled": [noisy(alone)]})


def test_share_of_the_gap() -> None:
    summary = summarise(three(0.6, 0.75, 0.9), "accuracy", "teacher")
    assert summary.share.defined
    assert summary.share.mean == pytest.approx(0.5, abs=0.01)
    assert summary.share.low < 0.5 < summary.share.high
    assert "better than the student alone by +15.0 points" in summary.finding
    assert "50 % of the gap" in summary.finding
    assert summary.finding.endswith("(One seed: suggestive, not conclusive.)")
    assert summary.control is not None
    assert summary.control.mean == 0
    assert list(summary.beyond) == ["shuffled"]


def test_arms_are_compared_on_the_rows_that_all_have() -> None:
    camera, thermal = run([0, 1, 2, 0], [0, 1, 2, 2], clusters="aabb"), run([0, 1, 2, 0], [0, 0, 2, 0], epg=[0.1, 0.2, 0.3, 0.4])
    # the thermal camera lacks row 1, and its rows come in another order
    there = np.array([3, 2, 0])
    thermal = thermal.at(there)
    common = statistics.on_common_rows({"alone": [camera], "teacher": [thermal]})
    assert [arm[0].rows.tolist() for arm in common.values()] == [["0", "2", "3"]] * 2
    assert value("accuracy", common["alone"][0]) == pytest.approx(2 / 3)
    assert value("accuracy", common["teacher"][0]) == 1
    assert common["teacher"][0].scores["epg"].tolist() == [0.1, 0.3, 0.4]
    assert common["alone"][0].clusters.tolist() == ["a", "b", "b"]
    strange = replace(thermal.at(there[2:]), rows=np.array(["x"]))
    with pytest.raises(ValueError, match=r"no labelled test row has the sensors of all arms \['alone', 'teacher'\]"):
        statistics.on_common_rows({"alone": [camera], "teacher": [strange]})


def test_controls_take_a_finding_back() -> None:
    arms = {**three(0.6, 0.75, 0.9).arms, "masks": [noisy(0.76)], "shuffled": [noisy(0.72)]}
    finding = summarise(Comparison(arms), "accuracy", "teacher").finding
    assert "But shuffled pairs gain too, +12.0 points" in finding
    assert "But beyond what masks alone bring it is -1.0 points" in finding
    arms.update(masks=[noisy(0.65)], shuffled=[noisy(0.5)])
    assert "But" not in summarise(Comparison(arms), "accuracy", "teacher").finding
    del arms["shuffled"]
    assert summarise(Comparison(arms), "accuracy", "teacher").finding.endswith(
        "(One seed and no shuffled pairs: suggestive, not conclusive.)"
    )
    one_sensor = summarise(Comparison(arms), "accuracy", "teacher", has_pairs=False).finding
    assert one_sensor.endswith("(One seed: suggestive, not conclusive.)"), "nobody can shuffle what is no pair"
    twice = {name: [*runs, *runs] for name, runs in three(0.6, 0.75, 0.9).arms.items()}
    assert "a sign" not in summarise(Comparison(twice), "accuracy", "teacher").finding
    halves = np.where(np.arange(len(twice["alone"][0].rows)) % 2, "left", "right")
    two = {name: [replace(run, clusters=halves) for run in runs] for name, runs in twice.items()}
    finding = summarise(Comparison(two), "accuracy", "teacher", has_pairs=False).finding
    assert finding.endswith("(Only 2 groups of test rows: suggestive, not conclusive.)"), "a bootstrap draws the same two again and again"


def test_what_the_teacher_adds_to_the_masks() -> None:
    arms = {**three(0.6, 0.75, 0.9).arms, "masks": [noisy(0.7)]}
    beyond = summarise(Comparison(arms), "accuracy", "teacher").beyond
    assert list(beyond) == ["shuffled", "masks"]
    assert beyond["masks"].mean == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize("teacher", [0.6, 0.602, 0.5], ids=["no gap", "a gap within the noise", "a worse teacher"])
def test_the_share_of_no_gap_is_undefined(teacher: float) -> None:
    summary = summarise(three(0.6, 0.7, teacher), "accuracy", "teacher")
    assert not summary.share.defined
    assert str(summary.share) == "undefined"
    assert "of the gap" not in summary.finding


def test_more_than_the_gap_is_no_share_of_it() -> None:
    finding = summarise(three(0.6, 0.9, 0.7), "accuracy", "teacher").finding
    assert "more than the gap to the teacher." in finding
    assert "% of the gap" not in finding


def test_no_gain_is_called_none() -> None:
    assert summarise(three(0.6, 0.6, 0.9), "accuracy", "teacher").finding.startswith("No evidence of a gain")
    assert "is worse than the student alone by -10.0 points" in summarise(three(0.6, 0.5, 0.9), "accuracy", "teacher").finding


def pixels(target: NDArray[np.int64], answer: NDArray[np.int64]) -> statistics.TestRun:
    probabilities = np.moveaxis(np.eye(3, dtype=np.float32)[answer], -1, 1)
    names = np.arange(len(target)).astype(str)
    return statistics.TestRun(names, probabilities, target, names)


def test_pixels_are_judged_by_mean_iou() -> None:
    """A network that finds less of the plants is right about more pixels, most of which are soil."""
    rng = np.random.default_rng(5)
    target = (rng.random((20, 8, 8)) < 0.05).astype(np.int64)
    finds = np.where(target == 1, 1, (rng.random(target.shape) < 0.08).astype(np.int64))
    nothing = np.zeros_like(target)
    arms = {"teacher": [pixels(target, target)], "alone": [pixels(target, finds)], "distilled": [pixels(target, nothing)]}
    comparison = Comparison(arms)
    assert comparison.difference("distilled", "alone", metrics_of(arms["alone"][0])["accuracy"]).mean > 0
    headline = next(iter(metrics_of(arms["alone"][0])))
    assert "worse than the student alone by" in summarise(comparison, headline, "teacher", Segmentation(("a", "b", "c")).measures()).finding


def test_what_changes_for_each_class() -> None:
    target = np.arange(60) % 3
    alone, distilled = np.where(target == 1, 0, target), np.where((target == 2) & (np.arange(60) < 30), 0, target)
    arms = {"teacher": [run(target, target)], "alone": [run(target, alone)], "distilled": [run(target, distilled)]}
    gains = summarise(Comparison(arms), "accuracy", "teacher").each_gain
    assert [gain.mean for gain in gains] == pytest.approx([0, 1, -0.5])
    assert gains[2].high < 0


def test_a_class_that_no_test_row_has_is_undefined() -> None:
    two = {name: [run(np.arange(40) % 2, np.arange(40) % 2)] for name in ("teacher", "alone", "distilled")}
    summary = summarise(Comparison(two), "accuracy", "teacher")
    assert [estimate.defined for estimate in summary.each["alone"]] == [True, True, False]


def test_a_score_is_the_mean_of_rows_that_have_one() -> None:
    energy = [0.2, 0.4, np.nan, np.nan]
    comparison = Comparison({"a": [run([0, 1, 2, 0], [0, 1, 2, 0], epg=energy)], "b": [run([0, 1, 2, 0], [0, 1, 2, 0])]})
    estimate = comparison.estimate("a", mean_score("epg"))
    assert estimate.mean == pytest.approx(0.3)
    # a resample without any of the masked rows says nothing; it does not say zero
    assert estimate.low == pytest.approx(0.2)
    assert estimate.high == pytest.approx(0.4)
    assert not comparison.estimate("b", mean_score("epg")).defined
    of_class = comparison.estimate("a", mean_score("epg", np.array([False, True, False, False])))
    assert (of_class.mean, of_class.low, of_class.high) == pytest.approx((0.4, 0.4, 0.4))
    assert not comparison.estimate("a", mean_score("epg", np.array([False, False, True, False]))).defined


def test_calibration_error_is_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    rng = np.random.default_rng(6)
    probabilities = rng.dirichlet(np.full(3, 0.7), size=300).astype(np.float32)
    target = np.array([rng.choice(3, p=row.astype(float) / row.astype(float).sum()) for row in probabilities])
    names = np.arange(300).astype(str)
    one = statistics.TestRun(names, probabilities, target, names)
    expected = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(target), 3, n_bins=15)
    assert calibration_error(one) == pytest.approx(float(expected), abs=1e-6)
    assert confidence_bins(one).sum((0, 1))[0] == 300
    estimate = Comparison({"a": [one]}).estimate("a", measures_of(one).aside[0].statistic)
    assert estimate.low < estimate.mean < estimate.high or estimate.mean == pytest.approx(estimate.low, abs=0.05)
    sure = run([0, 1, 0, 1], [0, 1, 1, 0], classes=2)
    assert calibration_error(sure) == pytest.approx(0.5)


def test_calibration_of_labels_and_pixels_counts_each_decision() -> None:
    labels = run(np.array([[1, 0]]), np.array([[0.8, 0.4]]), classes=2)
    assert calibration_error(labels) == pytest.approx((0.2 + 0.4) / 2, abs=1e-6)
    answer = np.zeros((1, 2, 2), np.int64)
    assert calibration_error(pixels(np.array([[[0, 1], [0, -1]]]), answer)) == pytest.approx(1 / 3)


def test_fidelity_to_the_teacher() -> None:
    teacher = replace(
        run([0, 1, 2], [0, 1, 2]), target=np.array([0, 1, 2]), predictions=np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    )
    student = replace(teacher, predictions=np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]]))
    shares = fidelity(student, teacher)
    assert shares["agreement"].tolist() == [1, 0, 1]
    assert shares["kl"][0] == pytest.approx(0)
    assert shares["kl"][1] == pytest.approx(0.1 * np.log(0.1 / 0.5) + 0.8 * np.log(0.8 / 0.4))
    summary = summarise(Comparison({**three(0.6, 0.7, 0.8).arms}), "accuracy", "teacher")
    assert not summary.scores["distilled"]
    with pytest.raises(ValueError, match="the same rows in the same order, of one shape"):
        fidelity(student, teacher.at(np.array([1, 0, 2])))


def test_cka_knows_rotations_and_scales() -> None:
    rng = np.random.default_rng(7)
    one = rng.normal(size=(40, 6))
    turned = 3 * one @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 5
    assert linear_cka(one, turned) == pytest.approx(1)
    assert linear_cka(one, rng.normal(size=(40, 3, 2))) < 0.5
    assert np.isnan(linear_cka(one, np.ones((40, 2))))
    with pytest.raises(ValueError, match=r"the same rows, two or more; got readings \(40, 6\) and \(39, 6\)"):
        linear_cka(one, one[1:])


def test_a_paired_test_over_seeds() -> None:
    from scipy.stats import ttest_rel

    a, b = [noisy(0.8, seed=seed) for seed in (0, 1, 4)], [noisy(0.75, seed=seed) for seed in (0, 2, 3)]
    accuracies = [[value("accuracy", one) for one in of] for of in (a, b)]
    comparison = Comparison({"a": a, "b": b})
    assert comparison.paired_test("a", "b", METRICS["accuracy"]) == pytest.approx(ttest_rel(*accuracies).pvalue)
    assert np.isnan(comparison.paired_test("a", "a", METRICS["accuracy"])), "no difference to test"
    assert np.isnan(Comparison({"a": a[:1], "b": b[:1]}).paired_test("a", "b", METRICS["accuracy"]))
    third, nearly = ([run([0, 0, 0], answer) for answer in of] for of in (([0, 1, 1], [0, 0, 1]), ([0, 0, 1], [0, 0, 0])))
    assert np.isnan(Comparison({"a": third, "b": nearly}).paired_test("a", "b", METRICS["accuracy"])), "rounding is no difference"
    arms = {"teacher": [noisy(0.9)] * 3, "alone": b, "distilled": a, "shuffled": [noisy(0.5)] * 3}
    summary = summarise(Comparison(arms), "accuracy", "teacher")
    assert list(summary.minus_alone_p) == ["teacher", "distilled", "shuffled"]
    assert summary.gain_p == summary.minus_alone_p["distilled"] == pytest.approx(ttest_rel(*accuracies).pvalue)
    assert summary.minus_alone_p["shuffled"] < 0.05


@pytest.mark.parametrize("control", ["same_sensor", "self_taught", "shuffled", "smoothed"])
def test_every_control_can_take_a_finding_back(control: str) -> None:
    better = {**three(0.6, 0.75, 0.9).arms, "shuffled": [noisy(0.5)], control: [noisy(0.76)]}
    summary = summarise(Comparison(better), "accuracy", "teacher")
    assert f"But {statistics.BEYOND[control].split('{}')[0]}-1.0 points" in summary.finding
    worse = {**better, control: [noisy(0.55)]}
    assert "But" not in summarise(Comparison(worse), "accuracy", "teacher").finding


def test_a_gain_that_seeds_do_not_agree_on_is_no_proof() -> None:
    """So few seeds drawn again and again give too narrow an interval, so the paired test has a say."""
    alone = [noisy(0.6, seed=seed) for seed in range(3)]
    distilled = [noisy(accuracy) for accuracy in (0.61, 0.64, 0.85)]
    arms = {"teacher": [noisy(0.9)] * 3, "alone": alone, "distilled": distilled, "shuffled": [noisy(0.5)] * 3}
    summary = summarise(Comparison(arms), "accuracy", "teacher")
    assert summary.gain.low > 0
    assert summary.gain_p > 0.05
    assert summary.finding.endswith("over the seeds: suggestive, not conclusive.)")


def test_shuffled_pairs_are_held_against_smoothed_labels_where_those_were_trained() -> None:
    arms = {**three(0.6, 0.75, 0.9).arms, "shuffled": [noisy(0.65)], "smoothed": [noisy(0.66)]}
    summary = summarise(Comparison(arms), "accuracy", "teacher")
    assert summary.control_smoothed is not None
    assert summary.control_smoothed.mean == pytest.approx(-0.01, abs=0.003)
    assert summary.control is not None
    assert summary.control.mean == pytest.approx(0.05, abs=0.003)
    assert "shuffled pairs gain too" in summary.finding
    assert "over smoothed labels" not in summary.finding
    arms.update(shuffled=[noisy(0.6)], smoothed=[noisy(0.5)])
    summary = summarise(Comparison(arms), "accuracy", "teacher")
    (against,) = summary.objections
    assert against.startswith("shuffled pairs gain over smoothed labels too, +10.0 points [")
    assert f"But {against}." in summary.finding


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "metric": (
        lambda: summarise(three(0.6, 0.7, 0.8), "f1", "teacher"),
        r"unknown metric 'f1'; there are \['accuracy', 'balanced_accuracy'",
    ),
    "seeds": (lambda: Comparison({"a": [noisy(0.5)], "b": []}), "every arm needs the same seeds"),
    "rows": (lambda: Comparison({"a": [noisy(0.5)], "b": [noisy(0.5, rows=100)]}), "arm 'b' was tested on other rows than 'a'"),
    "clusters": (lambda: Comparison({"a": [run([0, 1], [0, 1])], "b": [run([0, 1], [0, 1], [5, 5])]}), "tested on other rows"),
    "columns": (lambda: statistics.TestRun(np.zeros(2), np.zeros((2, 3)), np.zeros(3), np.array(["a"] * 2)), "unlike lengths"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_what_cannot_be_compared_is_an_error(mistake: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        mistake()
