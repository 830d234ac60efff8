"""Evaluation: a branch in eval mode, on its own view, over all rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from core_models import RGB_VIEW, TASK, make_batch, metrics_of, rgb_branch
from torchmetrics.functional.classification import multilabel_average_precision

from xkd import statistics
from xkd.evaluate import Predictions, measure, predict
from xkd.tasks import Classification, Segmentation, Task

ABC = ("a", "b", "c")


def test_every_row_is_predicted_in_order_without_dropout_or_gradients() -> None:
    branch = rgb_branch()
    batches = [make_batch(4, seed=0, views=(RGB_VIEW,)), make_batch(3, seed=1, views=(RGB_VIEW,))]
    seen: list[int] = []
    predictions = predict(branch, TASK, batches, seen.append)
    assert len(predictions) == 7
    assert seen == [4, 3]
    assert branch.training
    assert not predictions.values.requires_grad
    assert torch.equal(predictions.target, torch.cat([batch.target for batch in batches]))
    branch.eval()
    with torch.no_grad():
        expected = torch.cat([branch(batch, TASK)["output"].softmax(1) for batch in batches])
    torch.testing.assert_close(predictions.values, expected)


def test_only_labelled_rows_are_measured() -> None:
    probabilities = torch.eye(3)[[0, 1, 1, 2]]
    target, labelled = torch.tensor([0, 1, 2, -1]), torch.tensor([True, True, True, False])
    metrics = measure(TASK, Predictions(probabilities, target, labelled, ()))
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no row is labelled"):
        measure(TASK, Predictions(probabilities, target, torch.zeros(4, dtype=torch.bool), ()))


@pytest.mark.parametrize("confident", [True, False], ids=["though it is said", "and never said"])
@pytest.mark.parametrize(
    "task", [Classification(("a", "b", "c")), Classification(("a", "b", "c"), multilabel=True), Segmentation(("a", "b", "c"))]
)
def test_a_class_that_no_row_has_counts_as_in_a_comparison(task: Task, confident: bool) -> None:
    torch.manual_seed(0)
    shape = (20, 3, 4, 4) if isinstance(task, Segmentation) else (20, 3)
    probabilities = torch.rand(shape)
    if not confident:
        probabilities[:, 1] = 0.0
    target = torch.tensor([0, 2])[torch.randint(2, (20, *shape[2:]))]
    if not task.exclusive:
        target = (torch.rand(shape) < 0.4).float()
        target[:, 1] = 0.0
    metrics = measure(task, Predictions(probabilities, target, torch.ones(20, dtype=torch.bool), ()))
    rows = np.arange(20).astype(str)
    run = statistics.TestRun(rows, probabilities.numpy(), target.numpy().astype(np.int64), rows)
    compared = {name: statistic(run) for name, statistic in metrics_of(run).items() if name in metrics}
    assert len(compared) >= 2
    if "mean_average_precision" in metrics:
        there = multilabel_average_precision(probabilities[:, [0, 2]], target[:, [0, 2]].long(), num_labels=2)
        assert metrics["mean_average_precision"] == pytest.approx(float(there))
    assert {name: metrics[name] for name in compared} == pytest.approx(compared)


def test_what_cannot_be_seen_cannot_be_evaluated() -> None:
    batch = make_batch(2, views=(RGB_VIEW,))
    with pytest.raises(ValueError, match="the loader is empty"):
        predict(rgb_branch(), TASK, [])
    with pytest.raises(ValueError, match="some rows lack view 'rgb'"):
        predict(rgb_branch(), TASK, [replace(batch, present={"rgb": torch.tensor([True, False])})])


def test_rows_that_could_not_be_read_are_left_out_and_told() -> None:
    branch, batch = rgb_branch(), make_batch(4, views=(RGB_VIEW,))
    branch.bind(TASK)
    whole = predict(branch, TASK, [batch])
    there = torch.tensor([True, False, True, True])
    batch = replace(batch, present={"rgb": there}, broken=["row 'b': cut off"], meta=[{"id": name} for name in "abcd"])
    predictions = predict(branch, TASK, [batch])
    assert predictions.broken == ("row 'b': cut off",)
    torch.testing.assert_close(predictions.values, whole.values[there])
    assert torch.equal(predictions.target, whole.target[there])
    assert [of["id"] for of in predictions.meta] == ["a", "c", "d"]


def test_a_whole_batch_that_could_not_be_read_is_left_out_too() -> None:
    branch, batch = rgb_branch(), make_batch(30, views=(RGB_VIEW,))  # not bound, as xkd test has it
    lost = replace(make_batch(1, views=(RGB_VIEW,)), present={"rgb": torch.tensor([False])}, broken=["row 'b': cut off"])
    predictions = predict(branch, TASK, [batch, lost])
    assert len(predictions) == 30
    assert predictions.broken == ("row 'b': cut off",)
    with pytest.raises(ValueError, match=r"2 of 32 rows could not be read, more than 5%: row 'b': cut off; see xkd check-pairs"):
        predict(branch, TASK, [batch, lost, lost])
