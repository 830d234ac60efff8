"""A task that knows no classes."""

from __future__ import annotations

import pytest
import torch
from core_models import CNN, make_batch
from torch import nn

from xkd.evaluate import Predictions, measure
from xkd.tasks import Features, Task


def test_it_keeps_the_protocol() -> None:
    assert isinstance(Features(), Task)
    assert Features().names == ()
    assert not Features().measures().main


def test_outputs_of_any_width_are_features() -> None:
    output = Features().call(CNN(num_classes=5), torch.zeros(2, 3, 16, 16), make_batch(2))
    assert output.shape == (2, 5)
    assert Features().predict(output.half()).dtype == torch.float32


def test_an_output_that_is_no_tensor() -> None:
    class Several(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return images, images

    with pytest.raises(ValueError, match="the network gives tuple"):
        Features().call(Several(), torch.zeros(2, 3, 16, 16), make_batch(2))


def test_there_is_nothing_to_measure() -> None:
    rows = Predictions(torch.zeros(2, 5), torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.bool), ({}, {}))
    with pytest.raises(ValueError, match="Features measures nothing: train a network with a task on top of it"):
        measure(Features(), rows)
