"""Features: what a network learns from pairs before anybody has labelled a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xkd.batch import Batch
from xkd.networks.logits import no_tensor
from xkd.statistics.measures import Measures
from xkd.tasks.task import Reply, Task

_NOTHING: Final = "features mean nothing by themselves: train a network with a task on top of them, weights=Checkpoint(path)"


@dataclass(frozen=True)
class Features(Task):
    """No labels, no classes, no metric: outputs are whatever the network gives, such as (B, D) of a timm model with `num_classes=0`.

    A run is chosen by its terms' values on held-out rows, `save_best="val/loss"`.
    """

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    @property
    def noun(self) -> str:
        return "features"

    @property
    def annotation(self) -> None:
        return None

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b *features"]:
        output = model(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        return output

    def predict(self, output: Float[Tensor, "b *features"]) -> Float[Tensor, "b *features"]:
        return output.float()

    def choose(self, output: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        return output.argmax(1)

    def score(self, output: Float[Tensor, "b d"], chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        """Of the strongest feature of each row."""
        if output.ndim != 2:
            raise ValueError(f"grad_cam explains one score per feature, (batch, features); this network's output is {tuple(output.shape)}")
        return output.gather(1, (self.choose(output) if chosen is None else chosen)[:, None]).sum()

    def loss(self, output: Tensor, target: Tensor) -> Float[Tensor, ""]:
        raise ValueError(_NOTHING)

    def example_target(self, rows: int, size: tuple[int, int]) -> Int[Tensor, " b"]:
        return torch.zeros(rows, dtype=torch.long)

    def measures(self) -> Measures:
        return Measures()

    def answer(self, prediction: Tensor, target: Tensor | None = None) -> Reply:
        return Reply()

    def truth(self, target: Tensor) -> Reply:
        return Reply()

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    @property
    def outputs(self) -> Mapping[str, str]:
        return {}
