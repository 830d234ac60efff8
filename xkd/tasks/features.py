"""Features: what a network learns from pairs before anybody has labelled a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import MetricCollection

from xkd.batch import Batch
from xkd.networks.logits import no_tensor

NO_CLASSES: Final[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Features:
    """No labels, no classes, no metric: outputs are whatever the network gives, such as (B, D) of a timm model with `num_classes=0`.

    A run is chosen by its terms' values on held-out rows, `save_best="val/loss"`.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        return NO_CLASSES

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b *features"]:
        output = model(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        return output

    def predict(self, output: Float[Tensor, "b *features"]) -> Float[Tensor, "b *features"]:
        return output.float()

    def metrics(self) -> MetricCollection:
        return MetricCollection({})

    def example_target(self, rows: int, size: tuple[int, int]) -> Int[Tensor, " b"]:
        return torch.zeros(rows, dtype=torch.long)
