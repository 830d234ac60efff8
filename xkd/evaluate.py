"""Evaluation of one branch on its own view alone: probabilities for each row, and the task's metrics over the labelled ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import compress

import torch
from torch import Tensor

from xkd.batch import Batch
from xkd.graph.branch import Branch
from xkd.tasks import Task

MOST_BROKEN = 0.05  # share of the rows; beyond it the data are at fault, or the disk, and not some files


@dataclass(frozen=True)
class Predictions:
    """One row per sample, in the loader's order."""

    probabilities: Tensor  # (N, K), of pixels (N, K, H, W)
    target: Tensor  # (N,), (N, K) or (N, H, W), as in Batch
    labelled: Tensor  # (N,) bool
    meta: tuple[dict[str, str], ...]
    broken: tuple[str, ...] = ()  # why some rows could not be read; they are none of the above

    def __len__(self) -> int:
        return len(self.probabilities)


def predict(branch: Branch, task: Task, batches: Iterable[Batch], seen: Callable[[int], None] = lambda rows: None) -> Predictions:
    """Run the branch over all batches in eval mode; `seen` hears of the rows done.

    Rows that could not be read are left out and told in `broken`; `ValueError` where they are many, and for others that lack the
    branch's view.
    """
    device = branch.mean.device
    training = branch.training
    branch.eval()
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    meta: list[dict[str, str]] = []
    broken: list[str] = []
    rows = 0
    with torch.no_grad():
        for batch in batches:
            there = batch.present[branch.view.name]
            if int((~there).sum()) != len(batch.broken):
                raise ValueError(f"some rows lack view '{branch.view.name}', which is what this network sees")
            broken.extend(batch.broken)
            rows += len(batch)
            if not there.any():
                continue
            output = branch(batch.to(device), task)["output"]
            parts.append((task.predict(output).cpu()[there], batch.target[there], batch.labelled[there]))
            meta.extend(compress(batch.meta, there.tolist()))
            seen(len(batch))
    branch.train(training)
    if len(broken) > max(1, MOST_BROKEN * rows):
        raise ValueError(f"{len(broken)} of {rows} rows could not be read, more than {MOST_BROKEN:.0%}: {broken[0]}; see xkd check-pairs")
    if not parts:
        raise ValueError("there is nothing to evaluate: the loader is empty")
    probabilities, target, labelled = (torch.cat(column) for column in zip(*parts, strict=True))
    return Predictions(probabilities, target, labelled, tuple(meta), tuple(broken))


def measure(task: Task, predictions: Predictions) -> dict[str, float]:
    """The task's metrics over labelled rows; `ValueError` where no row is labelled, and for a task that has none."""
    metrics = task.metrics()
    if not metrics:
        raise ValueError(f"{type(task).__name__} measures nothing: train a network with a task on top of it, weights=Checkpoint(path)")
    if not predictions.labelled.any():
        raise ValueError("no row is labelled, so nothing can be measured")
    metrics.update(predictions.probabilities[predictions.labelled], predictions.target[predictions.labelled])
    return {name: float(value) for name, value in metrics.compute().items()}
