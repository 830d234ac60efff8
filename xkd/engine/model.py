"""The Distiller as mmengine's model, and a task's metrics as mmengine's metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.distiller import Distiller
from xkd.tasks import Task


class ToDevice(nn.Module):
    """mmengine's data preprocessor; all it does is move the batch (normalisation belongs to the branches)."""

    here: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("here", torch.zeros(()), persistent=False)

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Batch]:
        return {"batch": batch.to(self.here.device, non_blocking=True)}


class DistillerModel(BaseModel):
    """`train_step` and `val_step` are mmengine's own; the loss is exactly the Distiller's."""

    def __init__(self, distiller: Distiller) -> None:
        super().__init__(data_preprocessor=ToDevice())
        self.distiller = distiller

    def forward(self, batch: Batch, mode: str) -> dict[str, Tensor] | Tensor:
        if mode == "predict":
            return self.distiller.predict(batch)
        step = self.distiller(batch)
        return {"loss": step.loss, **{f"term_{name}": part for name, part in step.parts.items()}}

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        # mmengine would add up every entry that has "loss" in its name; under DDP this is the only step that is ours
        return losses["loss"], {name: value.detach() for name, value in losses.items()}

    def init_weights(self) -> None:
        """Nothing: the branches' weights are named in the config and already loaded."""


class TaskMetric(BaseMetric):
    """The task's own metrics over the labelled rows; keys are "val/accuracy" and the like."""

    default_prefix = "val"

    def __init__(self, task: Task) -> None:
        super().__init__(collect_device="gpu")  # by messages; "cpu" means by files in the current folder
        self.task = task

    def process(self, data_batch: Batch, data_samples: Sequence[Tensor]) -> None:
        # unlabelled rows too: mmengine puts the processes' results in order and drops the sampler's repeats by their number
        for row, labelled in enumerate(data_batch.labelled.tolist()):
            self.results.append((data_samples[row].float().cpu(), data_batch.target[row], labelled))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        labelled = [(prediction, target) for prediction, target, known in results if known]
        if not labelled:
            raise ValueError("the validation split has no labelled row, so there is nothing to choose a checkpoint by")
        predictions, targets = (torch.stack(column) for column in zip(*labelled, strict=True))
        metrics = self.task.metrics()
        for metric in metrics.values():
            # mmengine has gathered the rows and calls this in the first process alone; a metric that waits for the others would hang
            metric.distributed_available_fn = lambda: False
        metrics.update(predictions, targets)
        return {name: float(value) for name, value in metrics.compute().items()}
