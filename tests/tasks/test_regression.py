"""Regression: numbers in their units, measured as scikit-learn and SciPy do, with a variance where the network gives one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from core_models import CNN, RGB_VIEW, TASK, make_batch, rgb_branch
from scipy.stats import spearmanr

from xkd import statistics
from xkd.batch import Annotation, Number
from xkd.graph.branch import Branch
from xkd.graph.class_map import ClassMap
from xkd.graph.distiller import Distiller
from xkd.graph.gates import Confident
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, L1, CrossEntropy
from xkd.statistics import Comparison, run_of, summarise
from xkd.tasks import Regression, Task, task_of

SEVERITY, SHARE = Number("severity", "grade", (0, 4)), Number("share", "%", (0, 50))
ONE, TWO = Regression((SEVERITY,)), Regression((SEVERITY, SHARE))


def run(numbers: int = 1, seed: int = 0, noise: float = 0.5) -> statistics.TestRun:
    rng = np.random.default_rng(seed)
    target = np.random.default_rng(9).integers(0, 5, (60, numbers)).astype(np.float32)
    return run_of((target + noise * rng.normal(size=target.shape)).astype(np.float32).round(1), target)


def one_number() -> Branch:
    return Branch(CNN(num_classes=1), RGB_VIEW, Random())


def test_it_keeps_the_protocol() -> None:
    assert isinstance(ONE, Task)
    assert (ONE.names, ONE.noun, ONE.described) == (("severity",), "numbers", ("severity (0 to 4 grade)",))
    assert not ONE.of_classes
    assert not ONE.one_class
    assert task_of(Annotation("numbers", ("severity",), (SEVERITY,))) == ONE
    with pytest.raises(ValueError, match="one number or several of different names"):
        Regression((SEVERITY, SEVERITY))


def test_a_networks_outputs_are_counted_from_the_middle_of_the_range() -> None:
    batch, images = make_batch(2), torch.zeros(2, 3, 16, 16)
    output = TWO.call(lambda _: torch.tensor([[0.0, 1.0], [-1.0, 0.5]]), images, batch)
    assert output.tolist() == [[2.0, 50.0], [0.0, 37.5]]
    unsure = TWO.call(lambda _: torch.tensor([[0.0, 1.0, 0.0, -2.0]]), images[:1], batch)
    torch.testing.assert_close(unsure, torch.tensor([[2.0, 50.0, np.log(2.0**2), np.log(25.0**2) - 2]], dtype=torch.float32))
    assert TWO.predict(unsure.half()).tolist() == [[2.0, 50.0]]
    with pytest.raises(ValueError, match=r"gives \(2, 3\), regression of 2 numbers .* needs \(batch, 2\), or \(batch, 4\) with the log"):
        TWO.call(CNN(num_classes=3), images, batch)
    target = TWO.example_target(4, (8, 8))
    assert target.shape == (4, 2)
    assert all((low <= target[:, k]).all() and (target[:, k] <= high).all() for k, (low, high) in enumerate(((0, 4), (0, 50))))


@pytest.mark.parametrize("numbers", [1, 2])
def test_measures_are_those_of_scipy(numbers: int) -> None:
    task = Regression(tuple(Number(f"n{k}", "grade", (0, 4)) for k in range(numbers)))
    one, values = run(numbers), task.measures().of(run(numbers))
    error = one.predictions.astype(float) - one.target
    assert values["mae"] == pytest.approx(np.abs(error).mean())
    assert values["rmse"] == pytest.approx(np.sqrt(np.square(error).mean()))
    r2 = [1 - np.square(error[:, k]).sum() / np.square(one.target[:, k] - one.target[:, k].mean()).sum() for k in range(numbers)]
    assert values["r2"] == pytest.approx(np.mean(r2))
    rho = [spearmanr(one.predictions[:, k], one.target[:, k]).statistic for k in range(numbers)]
    assert values["spearman"] == pytest.approx(np.mean(rho))


def test_measures_of_a_resample_are_those_of_the_repeated_rows() -> None:
    one = run()
    weights = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=5).astype(float)
    for measure in ONE.measures().main:
        drawn = measure.statistic.drawn(one, weights, np.arange(60))
        for value, counts in zip(drawn, weights.astype(int), strict=True):
            rows = np.repeat(np.arange(60), counts)
            assert value == pytest.approx(measure.statistic(run_of(one.predictions[rows], one.target[rows]))), measure.name


def test_what_does_not_vary_has_no_share_explained_and_no_ranks() -> None:
    with np.errstate(invalid="ignore"):
        values = ONE.measures().of(run_of(np.ones((5, 1), np.float32), np.full((5, 1), 2, np.float32)))
    assert values["mae"] == 1
    assert np.isnan(values["r2"])
    assert np.isnan(values["spearman"])


def test_unlike_units_are_measured_as_shares_of_the_ranges() -> None:
    one = run_of(np.array([[1, 10], [2, 10]], np.float32), np.array([[0, 0], [2, 5]], np.float32))
    assert TWO.measures().main[0].unit == statistics.SHARE
    assert TWO.measures().of(one)["mae"] == pytest.approx(np.mean([1 / 4, 10 / 50, 0, 5 / 50]))
    each = TWO.measures().each
    assert each is not None
    assert [(each.measure(k).statistic(one), each.measure(k).unit) for k in range(2)] == [(0.5, "grade"), (7.5, "%")]


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_labels_in_percent_are_in_percent(count: int) -> None:
    task = Regression(tuple(Number(f"share {k}", "%", (0, 30)) for k in range(count)))
    target = np.linspace(0, 25, 10 * count, dtype=np.float32).reshape(10, count)
    summary = summarise(
        Comparison({"alone": [run_of(target + 3, target)], "distilled": [run_of(target + 2, target)]}), task.measures(), "mae", ""
    )
    assert summary.arms["alone"]["mae"].mean == pytest.approx(3)
    assert ": -1 % of MAE" in summary.finding
    each = task.measures().each
    assert (summary.measure.style, [each.measure(0).style] if each else []) == ("number", ["number"] * (count > 1))


def test_half_precision_rounds_deviations_from_the_middle_not_temperatures() -> None:
    task, raw = Regression((Number("temperature", "K", (273, 323)),)), torch.tensor([[0.013], [-0.021]])
    output = task.call(lambda _: raw.bfloat16(), torch.zeros(2, 3, 16, 16), make_batch(2))
    torch.testing.assert_close(output, 298 + 25 * raw, atol=0.01, rtol=0)  # bfloat16 has steps of 2 K there


def test_what_is_no_number_in_some_seed_is_no_gain() -> None:
    flat = replace(run(), predictions=np.ones((60, 1), np.float32))
    for alone, shuffled in (([flat, flat], [run(), run(seed=1)]), ([flat, run()], [flat, run()])):
        arms = {"alone": alone, "distilled": [run(noise=0.1), run(seed=1, noise=0.1)], "shuffled": shuffled}
        summary = summarise(Comparison(arms), ONE.measures(), "spearman", "")
        assert not summary.gain.defined
        assert summary.finding.startswith("No evidence of a gain: Spearman's rho of the student alone or of the distilled one is not a")
        assert not summary.arms["alone"]["spearman"].defined


def test_a_control_that_is_no_number_is_none() -> None:
    flat, better = replace(run(), predictions=np.ones((60, 1), np.float32)), [run(noise=0.1), run(seed=1, noise=0.1)]
    arms = {"alone": [run(noise=1.0), run(seed=1, noise=1.0)], "distilled": better, "shuffled": [flat, flat]}
    finding = summarise(Comparison(arms), ONE.measures(), "spearman", "").finding
    assert "But beyond shuffled pairs it is not a number in some seed: not shown to be the pairing's" in finding
    assert "No shuffled pairs" in finding


def test_less_is_better_and_the_sentence_has_the_unit() -> None:
    arms = {"teacher": [run(noise=0.1)], "alone": [run(noise=1.0)], "distilled": [run(noise=0.5)], "shuffled": [run(noise=1.1)]}
    summary = summarise(Comparison(arms), ONE.measures(), "mae", "teacher")
    assert summary.gain.high < 0
    assert "is better than the student alone: -0." in summary.finding
    assert " grade of MAE [-" in summary.finding
    assert 0 < summary.share.mean < 1, "of the gap, though both differences are below zero"
    assert "of the gap to the teacher recovered" in summary.finding
    assert "point" not in summary.finding
    worse = summarise(Comparison({**arms, "distilled": arms["shuffled"]}), ONE.measures(), "mae", "teacher")
    assert "is worse than" in worse.finding or "No evidence" in worse.finding
    control = summarise(Comparison({**arms, "shuffled": [run(noise=0.5, seed=3)]}), ONE.measures(), "mae", "teacher")
    assert "But shuffled pairs gain too, -0." in control.finding


def test_chance_is_told_from_knowledge() -> None:
    chance = ONE.measures().chance
    assert chance is not None
    known, target = run(noise=1.0), run().target
    assert chance(known) < 0.05
    assert chance(run_of(np.full((60, 1), target.mean(), np.float32), target)) == 1, "one number for all rows"
    assert chance(run_of(np.random.default_rng(3).permutation(known.predictions), target)) > 0.05


def test_what_it_says_of_an_image() -> None:
    answer = ONE.answer(torch.tensor([2.125]), torch.tensor([3.0]))
    assert (answer.said, answer.caption, answer.verdict, answer.chosen) == ("2.12 grade", "2.12 grade, off by 0.875", "", ())
    assert (answer.values, answer.cells, ONE.columns) == ({"severity": 2.125}, ("2.125",), ("severity [grade]",))
    both = TWO.answer(torch.tensor([1.0, 20.0]))
    assert both.said == both.caption == "severity 1 grade, share 20 %"
    assert TWO.truth(torch.tensor([1.0, 20.0])).said == both.said
    assert ONE.outputs == {"numbers": "(batch, 1) float32: severity (0 to 4 grade)"}
    assert ONE.tolerance == pytest.approx(4e-4)


def test_rows_are_ordered_by_how_much_nearer_they_came() -> None:
    score = ONE.measures().rows
    assert score is not None
    assert score.of(run_of(np.array([[1], [4]], np.float32), np.array([[2], [2]], np.float32))).tolist() == [-1, -2]
    assert (score.show(-0.25), score.change(0.25)) == ("0.25 grade", "\N{MINUS SIGN}0.25 grade"), "an error that shrank"


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Annotation("label", ("a", "b")), r"has one label per row; Regression learns from labels = \"number\""),
        (Annotation("numbers", ("severity",), (Number("severity", "grade", (0, 5)),)), r"\['severity \(0 to 4 grade\)'\] are not those of"),
    ],
)
def test_other_labels_are_refused(annotation: Annotation, message: str) -> None:
    import re

    assert re.search(message, ONE.misfit(annotation, "the train data's manifest x"))
    assert ONE.misfit(ONE.annotation, "x") == ""
    assert "learns from one label per row" in TASK.misfit(ONE.annotation, "the manifest x")


@pytest.mark.parametrize("loss", [KD(), CrossEntropy()], ids=lambda loss: type(loss).__name__)
def test_what_makes_probabilities_of_scores_is_refused(loss: torch.nn.Module) -> None:
    branch = one_number()
    with pytest.raises(
        ValueError, match=rf"term 'bad' reads \['rgb.output'.*\] by {type(loss).__name__}, which is of scores of classes, and"
    ):
        Distiller({"rgb": branch}, {"bad": Term(loss, "rgb.output", "batch.target")}, "rgb", ONE).bind()


def test_a_gate_and_a_class_map_are_refused_too() -> None:
    terms = {"labels": Term(L1(), "rgb.output", "batch.target", gate=Confident("rgb.output", 0.9))}
    with pytest.raises(ValueError, match=r"by Confident, which is of scores of classes, and this task's outputs are numbers"):
        Distiller({"rgb": one_number()}, terms, "rgb", ONE).bind()
    branch = one_number()
    branch.class_map = ClassMap(("x", "y"))
    with pytest.raises(ValueError, match="branch 'rgb' has a class_map, and this task's outputs are numbers"):
        Distiller({"rgb": branch}, {"labels": Term(L1(), "rgb.output", "batch.target")}, "rgb", ONE).bind()


def test_an_unknown_kind_of_task_is_refused_with_what_it_lacks() -> None:
    class Mine:
        classes = ("a",)

    stranger: Any = Mine()
    with pytest.raises(TypeError, match=r"it lacks \['alike', 'among', 'annotation', .*'measures'.*Inherit from xkd.tasks.Task"):
        Distiller({"rgb": rgb_branch()}, {"ce": Term(CrossEntropy(), "rgb.output", "batch.target")}, "rgb", stranger)
