"""Measures that leave out classes of which the rows say nothing, as the tables of a comparison do; torchmetrics counts them as 0."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix, MultilabelConfusionMatrix
from torchmetrics.functional.classification import binary_average_precision
from torchmetrics.utilities import dim_zero_cat


class BalancedAccuracy(MulticlassConfusionMatrix):
    """Mean recall over the classes that occur, as scikit-learn's `balanced_accuracy_score`."""

    def compute(self) -> Float[Tensor, ""]:
        confusion = super().compute().double()
        return _mean_defined(confusion.diagonal(), confusion.sum(1))


class MultilabelMacroF1(MultilabelConfusionMatrix):
    """Mean over labels of 2 TP / (2 TP + FP + FN), over those that occur or are predicted."""

    def compute(self) -> Float[Tensor, ""]:
        confusion = super().compute().double()  # (K, 2, 2), no and yes: true by predicted
        hits = 2 * confusion[:, 1, 1]
        return _mean_defined(hits, hits + confusion[:, 0, 1] + confusion[:, 1, 0])


class MeanAveragePrecision(Metric):
    """Mean over the labels that occur of the area under precision and recall."""

    scores: list[Tensor]
    target: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], "cat")
        self.add_state("target", [], "cat")

    def update(self, scores: Float[Tensor, "n k"], target: Int[Tensor, "n k"]) -> None:
        self.scores.append(scores)
        self.target.append(target)

    def compute(self) -> Float[Tensor, ""]:
        scores, target = dim_zero_cat(self.scores), dim_zero_cat(self.target)
        there = (target.sum(0) > 0).nonzero().flatten().tolist()
        values = [binary_average_precision(scores[:, label], target[:, label]) for label in there]
        return torch.stack(values).mean() if values else scores.new_zeros(())


def _mean_defined(part: Float[Tensor, " k"], whole: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    defined = whole > 0
    return (part[defined] / whole[defined]).sum() / defined.sum().clamp(min=1)
