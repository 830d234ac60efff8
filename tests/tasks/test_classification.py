from __future__ import annotations

import numpy as np
import pytest
import torch
from core_models import CLASSES, CNN, make_batch, unchecked
from torch import nn
from torchmetrics.functional.classification import multilabel_average_precision

from xkd.statistics import run_of
from xkd.tasks import Classification, Task

SINGLE = Classification(CLASSES)
MULTI = Classification(CLASSES, multilabel=True)


def test_it_keeps_the_protocol() -> None:
    assert isinstance(SINGLE, Task)


def test_classes_of_a_config_may_be_a_list() -> None:
    with unchecked():
        task = Classification(["a", "b"])
    assert task.classes == ("a", "b")


@pytest.mark.parametrize(("classes", "multilabel"), [((), False), (("only",), False), ((), True)])
def test_too_few_classes(classes: tuple[str, ...], multilabel: bool) -> None:
    with pytest.raises(ValueError, match=r"classification needs at least"):
        Classification(classes, multilabel)


def test_two_classes_of_one_name() -> None:
    with pytest.raises(ValueError, match=r"'rust' twice"):
        Classification(("rust", "blight", "rust"))


def test_an_output_of_another_width_names_the_model_and_the_classes() -> None:
    with pytest.raises(ValueError, match=r"the network gives \(2, 5\), classification into 3 classes .*'blight'.* needs \(batch, 3\)"):
        SINGLE.call(CNN(num_classes=5), torch.zeros(2, 3, 16, 16), make_batch(2))


def test_an_output_that_is_no_tensor() -> None:
    class Dict(nn.Module):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": images}

    with pytest.raises(ValueError, match=r"the network gives dict with the tensors \['out'\]: .* xkd.Logits\(network, key='out'\)"):
        SINGLE.call(Dict(), torch.zeros(2, 3, 16, 16), make_batch(2))


def test_predictions_are_probabilities_in_float32() -> None:
    logits = torch.tensor([[2.0, 0.0, -2.0]], dtype=torch.float16)
    exponentials = torch.tensor([2.0, 0.0, -2.0]).exp()
    torch.testing.assert_close(SINGLE.predict(logits), (exponentials / exponentials.sum())[None])
    torch.testing.assert_close(MULTI.predict(logits), 1 / (1 + torch.tensor([[-2.0, 0.0, 2.0]]).exp()))


def test_the_metrics_of_one_label_by_hand() -> None:
    probabilities = nn.functional.one_hot(torch.tensor([0, 0, 0, 1, 1, 2]), 3).float()
    values = SINGLE.measures().of(run_of(probabilities.numpy(), np.array([0, 0, 1, 1, 2, 2])))
    f1 = [2 * 2 / (2 + 3), 2 * 1 / (2 + 2), 2 * 1 / (2 + 1)]
    assert values == pytest.approx({"accuracy": 4 / 6, "balanced_accuracy": (1 + 0.5 + 0.5) / 3, "macro_f1": sum(f1) / 3})


def test_the_metrics_of_several_labels_by_hand_with_the_batchs_own_targets() -> None:
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    values = MULTI.measures().of(run_of(np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.3]], np.float32), target.numpy()))
    expected = {"accuracy": 5 / 6, "balanced_accuracy": 2.5 / 3, "macro_f1": 2 / 3, "mean_average_precision": 1.0}
    assert values == pytest.approx(expected)


def test_what_no_label_defines_is_undefined_and_not_zero() -> None:
    of_all = run_of(np.array([[0.9, 0.2, 0.4], [0.1, 0.8, 0.3]], np.float32), np.ones((2, 3), np.float32))
    assert np.isnan(MULTI.measures().of(of_all)["balanced_accuracy"]), "no row lacks a label, so none tells how often a no is right"


def test_average_precision_of_a_resample_is_that_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    run = run_of(rng.integers(0, 6, (30, 3)).astype(np.float32) / 5, rng.integers(0, 2, (30, 3)).astype(np.float32))  # with ties
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=4).astype(float)
    (measure,) = [of for of in MULTI.measures().main if of.name == "mean_average_precision"]
    drawn = measure.statistic.drawn(run, weights, np.arange(30))
    for value, counts in zip(drawn, weights.astype(int), strict=True):
        rows = np.repeat(np.arange(30), counts)
        given = torch.from_numpy(run.predictions[rows]), torch.from_numpy(run.target[rows]).long()
        assert value == pytest.approx(float(multilabel_average_precision(*given, num_labels=3)), abs=1e-6)


def test_what_it_says_of_an_image() -> None:
    answer = SINGLE.answer(torch.tensor([0.1, 0.7, 0.2]), torch.tensor(1))
    assert (answer.said, answer.caption, answer.verdict, answer.chosen) == ("rust", "rust 0.70", "right", ("rust",))
    assert answer.cells == ("rust", "0.1000", "0.7000", "0.2000")
    assert SINGLE.columns == ("prediction", *CLASSES)
    assert SINGLE.answer(torch.tensor([0.1, 0.7, 0.2])).verdict == ""
    several = MULTI.answer(torch.tensor([0.9, 0.2, 0.8]), torch.tensor([1.0, 0.0, 0.0]))
    assert (several.said, several.verdict, several.cells[0]) == ("healthy, blight", "wrong", "healthy;blight")
    assert MULTI.answer(torch.zeros(3)).said == MULTI.truth(torch.zeros(3)).said == "none"


@pytest.mark.parametrize(("task", "shape", "dtype"), [(SINGLE, (4,), torch.int64), (MULTI, (4, 3), torch.float32)])
def test_an_example_target_is_legal(task: Classification, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    target = task.example_target(4, (8, 8))
    assert target.shape == shape
    assert target.dtype == dtype
