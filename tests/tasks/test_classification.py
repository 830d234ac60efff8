from __future__ import annotations

import pytest
import torch
from core_models import CLASSES, CNN, make_batch, unchecked
from torch import nn

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
    metrics = SINGLE.metrics()
    metrics.update(probabilities, torch.tensor([0, 0, 1, 1, 2, 2]))
    values = {name: float(value) for name, value in metrics.compute().items()}
    f1 = [2 * 2 / (2 + 3), 2 * 1 / (2 + 2), 2 * 1 / (2 + 1)]
    assert values == pytest.approx({"accuracy": 4 / 6, "balanced_accuracy": (1 + 0.5 + 0.5) / 3, "macro_f1": sum(f1) / 3})


def test_the_metrics_of_several_labels_by_hand_with_the_batchs_own_targets() -> None:
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    metrics = MULTI.metrics()
    metrics.update(torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.8, 0.3]]), target)
    values = {name: float(value) for name, value in metrics.compute().items()}
    assert values == pytest.approx({"accuracy": 5 / 6, "macro_f1": 2 / 3, "mean_average_precision": 1.0})


def test_metrics_are_fresh_each_time() -> None:
    SINGLE.metrics().update(torch.eye(3), torch.tensor([0, 1, 2]))
    metrics = SINGLE.metrics()
    metrics.update(torch.eye(3), torch.tensor([1, 2, 0]))
    assert float(metrics.compute()["accuracy"]) == 0


@pytest.mark.parametrize(("task", "shape", "dtype"), [(SINGLE, (4,), torch.int64), (MULTI, (4, 3), torch.float32)])
def test_an_example_target_is_legal(task: Classification, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    target = task.example_target(4, (8, 8))
    assert target.shape == shape
    assert target.dtype == dtype
