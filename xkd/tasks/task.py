"""What every task offers: how to call the model, what its output predicts, how that is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torchmetrics import MetricCollection

from xkd.batch import Batch


@runtime_checkable
class Task(Protocol):
    """Outputs are raw (logits); predictions are what a person reads (probabilities)."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    def call(self, model: Callable[[Tensor], Any], images: Tensor, batch: Batch) -> Tensor:
        """The model's output for normalised images (B, C, H, W)."""

    def predict(self, output: Tensor) -> Tensor:
        """Probabilities from the output."""

    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with (prediction, target) of labelled rows; scalars, higher is better."""

    def example_target(self, rows: int, size: tuple[int, int]) -> Tensor:
        """A legal target for a dry run; `size` is the grid of the masks."""
