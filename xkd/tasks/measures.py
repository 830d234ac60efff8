"""Measures that leave out classes of which the rows say nothing, as the tables of a comparison do; torchmetrics counts them as 0."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix, MultilabelAveragePrecision, MultilabelConfusionMatrix
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


class MeanAveragePrecision(MultilabelAveragePrecision):
    """Mean over the labels that occur of the area under precision and recall."""

    def compute(self) -> Float[Tensor, ""]:  # type: ignore[override]  # torchmetrics' own subclass narrows it too
        scores, target = dim_zero_cat(self.preds), dim_zero_cat(self.target)
        there = (target.sum(0) > 0).nonzero().flatten().tolist()
        values = [binary_average_precision(scores[:, label], target[:, label]) for label in there]
        return torch.stack(values).mean() if values else scores.new_zeros(())


def _mean_defined(part: Float[Tensor, " k"], whole: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    defined = whole > 0
    return (part[defined] / whole[defined]).sum() / defined.sum().clamp(min=1)
