"""The Distiller as mmengine's model; a task's metrics, or the terms' values on held-out rows, as mmengine's metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.distiller import Distiller
from xkd.statistics import run_of
from xkd.tasks import Task

_LOSS: Final = "loss"
_TERM: Final = "term_"


class ToDevice(nn.Module):
    """mmengine's data preprocessor; all it does is move the batch (normalisation belongs to the branches)."""

    here: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("here", torch.zeros(()), persistent=False)

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Batch]:
        return {"batch": batch.to(self.here.device, non_blocking=True)}


class Judged(NamedTuple):
    """One row of validation: what the student predicts, and each term's value (the mean over its batch), NaN where it has none."""

    prediction: Tensor
    terms: Tensor


class DistillerModel(BaseModel):
    """`train_step` and `val_step` are mmengine's own; the loss is exactly the Distiller's.

    In validation the student sees its own view alone; `by_terms` lets every branch answer, and the terms say how far they are apart.
    """

    def __init__(self, distiller: Distiller, by_terms: bool = False) -> None:
        super().__init__(data_preprocessor=ToDevice())
        self.distiller, self.by_terms = distiller, by_terms

    def forward(self, batch: Batch, mode: str) -> dict[str, Tensor] | list[Judged]:
        if mode == "predict":
            return (
                self._judged_by_terms(batch) if self.by_terms else [Judged(row, row.new_empty(0)) for row in self.distiller.predict(batch)]
            )
        step = self.distiller(batch)
        return {_LOSS: step.loss, **{f"{_TERM}{name}": part for name, part in step.parts.items()}}

    def _judged_by_terms(self, batch: Batch) -> list[Judged]:
        distiller = self.distiller
        devices = [batch.index.device] if batch.index.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # a loss may draw: alike in every validation, and training goes on as it would
            torch.manual_seed(0)
            readings = distiller.read(batch)
            values = torch.stack([self._of_rows(name, distiller.part(name, readings, batch), len(batch)) for name in measurable(distiller)])
        predictions = distiller.task.predict(readings[f"{distiller.student_name}.output"])
        return [Judged(prediction, row) for prediction, row in zip(predictions, values.T, strict=True)]

    def _of_rows(self, name: str, part: Tensor, rows: int) -> Tensor:
        """A batch's mean once for each row that it is of."""
        # not a number says that there is none
        value = part.detach().float().nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).repeat(rows)
        value[self.distiller.terms[name].num_rows :] = torch.nan
        return value

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        # mmengine would add up every entry that has "loss" in its name; under DDP this is the only step that is ours
        return losses[_LOSS], {name: value.detach() for name, value in losses.items()}

    def init_weights(self) -> None:
        """Nothing: the branches' weights are named in the config and already loaded."""


class TaskMetric(BaseMetric):
    """The task's own metrics over the labelled rows; keys are "val/accuracy" and the like."""

    default_prefix = "val"

    def __init__(self, task: Task) -> None:
        super().__init__(collect_device="gpu")  # by messages; "cpu" means by files in the current folder
        self.task = task

    def process(self, data_batch: Batch, data_samples: Sequence[Judged]) -> None:
        # unlabelled rows too: mmengine puts the processes' results in order and drops the sampler's repeats by their number
        for row, labelled in enumerate(data_batch.labelled.tolist()):
            self.results.append((data_samples[row].prediction.float().cpu(), data_batch.target[row], labelled))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        labelled = [(prediction, target) for prediction, target, known in results if known]
        if not labelled:
            raise ValueError("the validation split has no labelled row, so there is nothing to choose a checkpoint by")
        predictions, targets = (torch.stack(column).numpy() for column in zip(*labelled, strict=True))
        return self.task.measures().of(run_of(predictions, targets))


class TermMetric(BaseMetric):
    """Means over held-out rows, lower is better: of each term, "val/term_NAME", and the sum of weight times mean, "val/loss"."""

    default_prefix = "val"

    def __init__(self, distiller: Distiller) -> None:
        super().__init__(collect_device="gpu")
        self.distiller = distiller

    def process(self, data_batch: Batch, data_samples: Sequence[Judged]) -> None:
        self.results.extend(sample.terms.cpu() for sample in data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        names = measurable(self.distiller)
        means = torch.stack(results).nanmean(0).tolist()
        if broken := [name for name, mean in zip(names, means, strict=True) if math.isinf(mean)]:
            raise ValueError(f"term '{broken[0]}' is not finite on val: look for bad pixels, or for weights that diverged")
        if empty := [name for name, mean in zip(names, means, strict=True) if mean != mean]:
            raise ValueError(
                f"no row of the validation split has what term '{empty[0]}' compares, so there is nothing to choose a checkpoint by"
            )
        loss = sum(self.distiller.terms[name].weight_at(self.distiller.epoch) * mean for name, mean in zip(names, means, strict=True))
        return {_LOSS: loss, **{f"{_TERM}{name}": mean for name, mean in zip(names, means, strict=True)}}


def measurable(distiller: Distiller) -> list[str]:
    """Terms that can be measured on rows that nobody has learned from: not those whose loss remembers rows by their number."""
    return [name for name, term in distiller.terms.items() if "index" not in term.extras]


def chosen_by_terms(save_best: str) -> bool:
    """Whether checkpoints are chosen by the terms' values on val, of which less is better, not by the task's metrics."""
    name = save_best.removeprefix(f"{TermMetric.default_prefix}/")
    return name != save_best and (name == _LOSS or name.startswith(_TERM))


def less_is_better(save_best: str, task: Task) -> bool:
    """Of the score that checkpoints are chosen by: a term's, or a measure of which the task says so."""
    name = save_best.removeprefix(f"{TaskMetric.default_prefix}/")
    return chosen_by_terms(save_best) or any(measure.name == name and not measure.higher for measure in task.measures().main)


def legal_scores(distiller: Distiller) -> list[str]:
    """What `save_best` may name."""
    names = [*(measure.name for measure in distiller.task.measures().main), _LOSS, *(f"{_TERM}{name}" for name in measurable(distiller))]
    return [f"{TermMetric.default_prefix}/{name}" for name in names]
