"""Classification of whole images, with one label or several per image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelAccuracy,
)

from xkd.batch import Batch
from xkd.networks.logits import no_tensor
from xkd.tasks.measures import BalancedAccuracy, MeanAveragePrecision, MultilabelMacroF1


@dataclass(frozen=True)
class Classification:
    """Outputs are logits (B, K). Single label: softmax, target (B,) of class indices; multi-label: sigmoid, target (B, K) of 0/1."""

    classes: tuple[str, ...]
    multilabel: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < (1 if self.multilabel else 2):
            raise ValueError(f"classification needs at least two classes (multi-label: one), got {list(self.classes)}")
        twice = [name for name in self.classes if self.classes.count(name) > 1]
        if twice:
            raise ValueError(f"classification has class '{twice[0]}' twice in {list(self.classes)}")

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b k"]:
        output = model(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.shape[1:] != (len(self.classes),):
            raise ValueError(
                f"the network gives {tuple(output.shape)}, classification into {len(self.classes)} classes"
                f" {list(self.classes)} needs (batch, {len(self.classes)}): make it with num_classes={len(self.classes)}, or, if it knows"
                " other classes, give its branch class_map=ClassMap(own=..., to=...)"
            )
        return output

    def predict(self, output: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        return output.float().sigmoid() if self.multilabel else output.float().softmax(1)

    def metrics(self) -> MetricCollection:
        count = len(self.classes)
        if self.multilabel:
            return _ZeroOneMetrics(
                {
                    "macro_f1": MultilabelMacroF1(count),
                    "accuracy": MultilabelAccuracy(count, average="micro"),
                    "mean_average_precision": MeanAveragePrecision(),
                }
            )
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(count, average="micro"),
                "balanced_accuracy": BalancedAccuracy(count),
                "macro_f1": MulticlassF1Score(count, average="macro"),
            }
        )

    def example_target(self, rows: int, size: tuple[int, int]) -> Shaped[Tensor, "b ..."]:
        if self.multilabel:
            return torch.zeros(rows, len(self.classes))
        return torch.arange(rows) % len(self.classes)


class _ZeroOneMetrics(MetricCollection):
    """Takes a batch's 0/1 floats, which the metrics themselves refuse."""

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]  # torchmetrics' own subclasses narrow it too
        super().update(prediction, target.long())
