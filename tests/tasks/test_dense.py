"""Dense regression: numbers of pixels in their units, some of them unknown, measured as the definitions say."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from core_models import RGB_VIEW, TASK, PixelCNN, make_batch
from PIL import Image

from xkd import statistics
from xkd.batch import Annotation, Number
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, L1, PixelL1, ScaleInvariantLog
from xkd.statistics import Comparison, run_of, summarise
from xkd.statistics.measures import SHARE
from xkd.tasks import Dense, Task, task_of

DISTANCE, NDVI = Number("range", "m", (2, 80)), Number("ndvi", "", (-1, 1))
DEPTH, INDEX, TWO = Dense((DISTANCE,), ratios=True), Dense((NDVI,)), Dense((DISTANCE, NDVI))


def run(task: Dense = DEPTH, seed: int = 0, noise: float = 0.2, rows: int = 12) -> statistics.TestRun:
    """Targets are unknown in half of the pixels, in all of the second row."""
    rng, shape = np.random.default_rng(9), (rows, len(task.quantities), 6, 7)
    low, high = (np.array(ends).reshape(-1, 1, 1) for ends in zip(*(number.range for number in task.quantities), strict=True))
    target = low + (high - low) * rng.uniform(0.1, 0.9, shape)
    ours = target + noise * (high - low) * np.random.default_rng(seed).normal(size=shape)
    target[rng.random(shape) < 0.5] = np.nan
    target[1] = np.nan
    return run_of(ours.astype(np.float32), target.astype(np.float32))


def by_hand(one: statistics.TestRun, of: Any) -> float:
    """The mean over images of `of` their known pixels."""
    values = []
    for ours, truth in zip(one.predictions.astype(float), one.target.astype(float), strict=True):
        known = ~np.isnan(truth)
        if known.any():
            values.append(of(ours[known], truth[known]))
    return float(np.mean(values))


def test_it_keeps_the_protocol() -> None:
    assert isinstance(DEPTH, Task)
    assert (DEPTH.names, DEPTH.noun, DEPTH.described) == (("range",), "quantities", ("range (2 to 80 m)",))
    assert DEPTH.grid
    assert DEPTH.pictured
    assert not DEPTH.of_classes
    assert not DEPTH.one_class
    assert task_of(DEPTH.annotation) is None, "no linear layer on a whole image's features answers for its pixels"
    with pytest.raises(ValueError, match="one quantity or several of different names"):
        Dense((NDVI, NDVI))
    with pytest.raises(ValueError, match=r"ratios=True needs ranges above 0, got ndvi \(-1 to 1\): give the sensor a range from above 0"):
        Dense((DISTANCE, NDVI), ratios=True)


def test_a_networks_outputs_are_counted_from_the_middle_of_the_range() -> None:
    batch, images = make_batch(2), torch.zeros(2, 3, 16, 16)
    raw = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1).expand(2, 2, 4, 4)
    output = TWO.call(lambda _: raw, images, batch)
    assert output.shape == (2, 2, 16, 16), "the grid of the masks"
    assert output[0, :, 3, 3].tolist() == [41, 1]
    assert TWO.predict(output.half()).dtype == torch.float32
    assert TWO.call(lambda _: raw.half(), images, batch).dtype == torch.float32, "half precision has too few digits for units"
    with pytest.raises(ValueError, match=r"gives \(2, 2, 4, 4\), dense regression of 1 quantities \['range'\] needs \(batch, 1, height"):
        DEPTH.call(lambda _: raw, images, batch)


def test_shares_of_the_logarithm_stay_inside_the_range() -> None:
    batch, images = make_batch(3), torch.zeros(3, 3, 16, 16)
    raw = torch.tensor([0.0, -50.0, 50.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    output = DEPTH.call(lambda _: raw, images, batch)[:, 0, 0, 0]
    torch.testing.assert_close(output, torch.tensor([160**0.5, 2, 80], dtype=torch.float64))
    near = DEPTH.call(lambda _: raw + 1e-4, images, batch)[0, 0, 0, 0]
    assert ((near / output[0]).log() / np.log(80 / 2)).item() == pytest.approx(1e-4 / 2, rel=1e-4), "as shares of half of the range"


def test_ratios_are_measured_as_eigen_did() -> None:
    one = run()
    values = DEPTH.measures().of(one)
    assert list(values) == ["abs_rel", "rmse", "delta"]
    assert values["abs_rel"] == pytest.approx(by_hand(one, lambda ours, truth: np.mean(np.abs(ours - truth) / truth)))
    assert values["rmse"] == pytest.approx(by_hand(one, lambda ours, truth: np.sqrt(np.mean((ours - truth) ** 2))))
    with np.errstate(divide="ignore"):
        close = by_hand(one, lambda ours, truth: np.mean(np.where(ours > 0, np.maximum(ours / truth, truth / ours), 9.0) < 1.25))
    assert values["delta"] == pytest.approx(close)
    assert [(measure.heading, measure.higher) for measure in DEPTH.measures().main] == [
        ("AbsRel", False),
        ("RMSE, m", False),
        ("delta < 1.25", True),
    ]


def test_differences_are_measured_over_known_pixels() -> None:
    one = run(INDEX)
    values = INDEX.measures().of(one)
    assert values["mae"] == pytest.approx(by_hand(one, lambda ours, truth: np.mean(np.abs(ours - truth))))
    assert values["rmse"] == pytest.approx(by_hand(one, lambda ours, truth: np.sqrt(np.mean((ours - truth) ** 2))))
    known = ~np.isnan(one.target)
    truth, ours = one.target[known].astype(float), one.predictions[known].astype(float)
    assert values["r2"] == pytest.approx(1 - np.sum((ours - truth) ** 2) / np.sum((truth - truth.mean()) ** 2)), "over all pixels at once"


@pytest.mark.parametrize("task", [DEPTH, INDEX, TWO], ids=["ratios", "differences", "shares"])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_an_answer_that_is_not_a_number_is_no_unknown_pixel(task: Dense, broken: float) -> None:
    """It would be left out of the mean, and a network that diverges on hard images be the better for it."""
    one = run(task)
    row, quantity, y, x = np.argwhere(~np.isnan(one.target))[0]
    one.predictions[row, quantity, y, x] = broken
    measures = task.measures()
    values = measures.of(one)
    assert all(np.isnan(value) for name, value in values.items() if name not in ("delta", "r2"))
    assert not np.isfinite(values.get("r2", np.nan))
    assert values.get("delta", 0) < DEPTH.measures().of(run(DEPTH, noise=0.0))["delta"]
    weights = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=5).astype(float)
    assert np.isnan(measures.main[0].statistic.drawn(one, weights, np.arange(12))).all()
    assert measures.each is None or [np.isnan(measures.each.measure(k).statistic(one)) for k in range(2)] == [True, False]


def test_unlike_units_are_measured_as_shares_of_the_ranges() -> None:
    one = run(TWO)
    first, second = (
        by_hand(run_of(one.predictions[:, [k]], one.target[:, [k]]), lambda ours, truth: np.mean(np.abs(ours - truth))) for k in range(2)
    )
    assert TWO.measures().main[0].unit == SHARE
    each = TWO.measures().each
    assert each is not None
    assert [each.measure(k).statistic(one) for k in range(2)] == pytest.approx([first, second])
    assert [each.measure(k).unit for k in range(2)] == ["m", ""]
    assert TWO.measures().of(one)["mae"] == pytest.approx((first / 78 + second / 2) / 2)


@pytest.mark.parametrize("task", [DEPTH, INDEX], ids=["ratios", "differences"])
def test_measures_of_a_resample_are_those_of_the_repeated_images(task: Dense) -> None:
    one = run(task)
    weights = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), size=5).astype(float)
    for measure in task.measures().main:
        drawn = measure.statistic.drawn(one, weights, np.arange(12))
        for value, counts in zip(drawn, weights.astype(int), strict=True):
            rows = np.repeat(np.arange(12), counts)
            assert value == pytest.approx(measure.statistic(run_of(one.predictions[rows], one.target[rows]))), measure.name


def test_arms_with_the_same_unknown_pixels_are_compared() -> None:
    arms = {"alone": [run(noise=0.3)], "distilled": [run(noise=0.1)], "shuffled": [run(noise=0.3, seed=2)]}
    summary = summarise(Comparison(arms), DEPTH.measures(), "abs_rel", "")
    assert summary.gain.high < 0
    assert "is better than the student alone: -" in summary.finding
    assert "points of AbsRel" in summary.finding
    other = run()
    other.target[0, 0, 0, 0] = 3.0 if np.isnan(other.target[0, 0, 0, 0]) else np.nan
    with pytest.raises(ValueError, match="arm 'distilled' was tested on other rows than 'alone'"):
        Comparison({"alone": [run()], "distilled": [other]})


def test_chance_is_told_from_knowledge() -> None:
    chance = DEPTH.measures().chance
    assert chance is not None
    known = run(noise=0.1)
    assert chance(known) < 0.05
    blind = np.full_like(known.predictions, 40.0)
    assert chance(run_of(blind, known.target)) == 1, "one number for all"
    assert chance(run_of(np.roll(known.predictions, 5, 0), known.target)) > 0.05


def test_rows_without_a_measured_pixel_have_no_error_and_distances_are_over_all_pixels() -> None:
    measures, one = INDEX.measures(), run(INDEX)
    assert measures.rows is not None
    assert measures.near is not None
    errors = measures.rows.of(one)
    assert np.isnan(errors[1])
    assert (errors[[0, *range(2, 12)]] < 0).all()
    other = run(INDEX, seed=3)
    distance = measures.near.of(one, other)["distance"]
    assert distance == pytest.approx(np.abs(one.predictions.astype(float) - other.predictions).mean((1, 2, 3)))
    assert (measures.rows.show(-0.25), measures.rows.change(0.25)) == ("0.25", "\N{MINUS SIGN}0.25"), "an error that shrank"
    ratios = DEPTH.measures().rows
    assert ratios is not None
    assert ratios.show(-0.25) == "25.0 %"


def test_what_it_says_of_an_image() -> None:
    prediction = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    target = torch.tensor([[[12.0, torch.nan], [torch.nan, 40.0]]])
    answer = DEPTH.answer(prediction, target)
    assert (answer.said, answer.caption, answer.verdict) == ("mean 25 m", "off by 1 m", "")
    assert (answer.values, answer.cells) == ({"range": 25.0}, ("25", "10", "40"))
    assert DEPTH.columns == ("mean range [m]", "lowest range [m]", "highest range [m]")
    torch.testing.assert_close(answer.levels["range (2 to 80 m), logarithmic"], (prediction[0] / 2).log() / np.log(40))
    torch.testing.assert_close(TWO.answer(prediction.repeat(2, 1, 1)).levels["range (2 to 80 m)"], (prediction[0] - 2) / 78)
    truth = DEPTH.truth(target)
    assert truth.said == "mean 26 m in 50% of the pixels"
    assert truth.levels["range (2 to 80 m), logarithmic"].isnan().sum() == 2
    nothing = torch.full_like(target, torch.nan)
    assert DEPTH.truth(nothing).said == "nothing measured"
    assert DEPTH.answer(prediction, nothing).caption == ""
    assert TWO.truth(torch.ones(2, 2, 2)).said == "mean range 1 m, ndvi 1 in 100% of the pixels"
    assert DEPTH.outputs["quantities"].format(height=4, width=6) == "(batch, 1, 4, 6) float32: range (2 to 80 m)"
    assert DEPTH.tolerance == pytest.approx(78e-4)


def test_its_file_has_the_numbers_themselves_a_page_for_each_quantity() -> None:
    prediction = torch.randn(2, 4, 5)
    assert TWO.suffix == ".tif"
    with Image.open(io.BytesIO(TWO.pixel_file(prediction))) as tiff:
        for page in range(2):
            tiff.seek(page)
            assert np.array_equal(np.asarray(tiff), prediction[page].numpy())
    with pytest.raises(ValueError, match="Classification has no answer for each pixel"):
        TASK.pixel_file(torch.ones(3))


def test_other_targets_are_refused_and_the_range_is_the_tasks_own() -> None:
    where = "the train data's manifest x"
    assert DEPTH.misfit(Annotation("quantities", ("range",), (Number("range", "m", (0, 120)),)), where) == ""
    other = Annotation("quantities", ("range", "height"), (DISTANCE, Number("height", "m", (-2, 2))))
    assert DEPTH.misfit(other, where).endswith(
        r"of the train data's manifest x: ['range (2 to 80 m)', 'height (-2 to 2 m)'], in names, units and order"
    )
    assert "in names, units and order" in DEPTH.misfit(Annotation("quantities", ("range",), (Number("range", "cm", (2, 80)),)), where)
    assert DEPTH.misfit(TASK.annotation, where) == f"{where} has one label per row; Dense learns from target='view:NAME'"
    assert TASK.misfit(DEPTH.annotation, where) == f"{where} has target='view:NAME'; Classification learns from one label per row"


def test_a_distiller_learns_from_the_known_pixels() -> None:
    torch.manual_seed(0)
    batch = make_batch(6)
    level = batch.views["rgb"].mean(1, keepdim=True)
    target = 20 + 10 * (level - level.mean()) / level.std()
    batch.target = torch.where(torch.rand_like(target) < 0.8, torch.nan, target.clamp(3, 70))
    branch = Branch(PixelCNN(), RGB_VIEW, Random())
    distiller = Distiller({"rgb": branch}, {"labels": Term(ScaleInvariantLog(), "rgb.output", "batch.target")}, "rgb", DEPTH)
    distiller.bind()
    optimizer, losses = torch.optim.AdamW(distiller.parameters(), 1e-2), []
    for _ in range(15):
        step = distiller(batch)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(step.loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert distiller.student(batch, DEPTH)["output"].shape == (6, 1, 16, 16)


def test_a_loss_that_takes_no_unknown_pixel_is_told_of_one_that_does() -> None:
    batch = make_batch()
    batch.target = torch.full((6, 1, 16, 16), 20.0)
    batch.target[0, 0, 0, 0] = torch.nan
    distiller = Distiller(
        {"rgb": Branch(PixelCNN(), RGB_VIEW, Random())}, {"labels": Term(L1(), "rgb.output", "batch.target")}, "rgb", DEPTH
    )
    distiller.bind()
    with pytest.raises(
        ValueError, match=r"'batch.target' .* is not finite: .*NaN, which needs a loss with takes_unknown = True, such as P"
    ):
        distiller(batch)


def test_what_makes_probabilities_of_scores_is_refused_and_classes_are_not_explained() -> None:
    terms = {"labels": Term(PixelL1(), "rgb.output", "batch.target"), "bad": Term(KD(), "rgb.output", "rgb.output")}
    with pytest.raises(ValueError, match="by KD, which is of scores of classes, and this task's outputs are quantities"):
        Distiller({"rgb": Branch(PixelCNN(), RGB_VIEW, Random())}, terms, "rgb", DEPTH).bind()
    with pytest.raises(ValueError, match="a whole image has none that could be explained"):
        DEPTH.choose(torch.ones(1, 1, 2, 2))
    with pytest.raises(ValueError, match="one score per class"):
        DEPTH.score(torch.ones(1, 1, 2, 2), torch.zeros(1, dtype=torch.long))
    assert TWO.score(torch.full((1, 2, 1, 1), 39.0)).item() == pytest.approx(39 / 78 + 39 / 2)
    target = DEPTH.example_target(3, (4, 5))
    assert target.shape == (3, 1, 4, 5)
    assert ((target > 2) & (target < 80)).all()
    assert DEPTH.loss(target, target).item() == 0
